"""The files of nnU-Net's cases: a PNG an image, or a NIfTI volume of the slices of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.data.masks import VOID
from vesalius.data.store import Store
from vesalius.data.volumes import volumes_of
from vesalius.data.write_nifti import write_volume
from vesalius.errors import ConfigError, StoreError, nearest

__all__ = ["FORMS", "Case", "Cases", "cases_of", "label_names", "write_case"]

FORMS = ("auto", "volumes", "images")
"""`volumes`: a NIfTI file a volume. `images`: a PNG file an image. `auto`: the former where every image allows it."""


@dataclass(frozen=True, slots=True)
class Case:
    """What nnU-Net takes as one image.

    Attributes:
        rows: Of the store: one, or the slices of a volume in their order.
        spacing_mm: (slice, row, column) distance of the store's pixels; None of a single image.
    """

    rows: npt.NDArray[np.int64]
    spacing_mm: tuple[float, float, float] | None = None

    @property
    def name(self) -> str:
        """Made of its first row."""
        return f"case_{self.rows.min():06d}"


@dataclass(frozen=True, slots=True)
class Cases:
    """All of them.

    Attributes:
        training: To train on.
        testing: Of the test side.
        form: `volumes` or `images`.
        why: What speaks against volumes, where they were not asked against.
    """

    training: tuple[Case, ...]
    testing: tuple[Case, ...]
    form: str
    why: str = ""


def cases_of(
    store: Store, training: npt.NDArray[np.int64], testing: npt.NDArray[np.int64], *, form: str = "auto"
) -> Cases:
    """Divide rows into cases.

    Args:
        store: Images with masks.
        training: Rows to train on.
        testing: Rows of the test side.
        form: One of `FORMS`.

    Raises:
        ConfigError: Another form.
        StoreError: Volumes are asked for, and some images are no slices of whole ones; colour of 16 bits as images.
    """
    if form not in FORMS:
        raise ConfigError(f"form = {form!r}{nearest(form, FORMS)}; known: {', '.join(FORMS)}")
    sides = [] if form == "images" else [volumes_of(store, rows) for rows in (training, testing)]
    why = "; ".join(one.why for one in sides if one.why)
    if why and form == "volumes":
        raise StoreError(
            f"{store.path}: not all images are slices of whole volumes: {why}; prepare it with every slice "
            "(--frames all), or take --form images"
        )
    if sides and not why:
        train, test = (tuple(Case(one.rows, one.spacing_mm) for one in side.whole) for side in sides)
        return Cases(train, test, "volumes")
    if store.channels == 3 and store.dtype != np.uint8:
        raise StoreError(f"{store.path}: PNG holds no colour of {store.dtype}; prepare it with --bits 8")
    train, test = (tuple(Case(np.array([row])) for row in rows.tolist()) for rows in (training, testing))
    return Cases(train, test, "images", why)


def label_names(store: Store) -> list[str]:
    """Return the parts by their value in nnU-Net's label maps: `void` is `ignore` there, and must be the last."""
    parts = list(store.info["arrays"]["masks"]["parts"])
    return [one for one in parts if one != VOID] + ["ignore"] * (VOID in parts)


def write_case(store: Store, case: Case, folder: Path, side: str) -> None:
    """Write the channels of a case and its label map.

    Args:
        store: Where it is.
        case: Which.
        folder: `DatasetNNN_<name>`, with `images<side>` and `labels<side>` in it.
        side: `Tr` or `Ts`.
    """
    images, labels = folder / f"images{side}", folder / f"labels{side}"
    pixels, masks = store.images[case.rows], _labels(store, store.masks[case.rows])
    if case.spacing_mm is None:
        Image.fromarray(pixels[0]).save(images / f"{case.name}_0000.png")
        Image.fromarray(masks[0]).save(labels / f"{case.name}.png")
        return
    for channel, values in enumerate([pixels] if store.channels == 1 else np.moveaxis(pixels, -1, 0)):
        write_volume(images / f"{case.name}_{channel:04d}.nii.gz", values, spacing_mm=case.spacing_mm)
    write_volume(labels / f"{case.name}.nii.gz", masks, spacing_mm=case.spacing_mm)


def _labels(store: Store, masks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return label maps by nnU-Net's values: `void` becomes the last, and those after it move down."""
    parts, names = list(store.info["arrays"]["masks"]["parts"]), label_names(store)
    values = [names.index("ignore" if part == VOID else part) for part in parts]
    return np.array(values, dtype=np.uint8)[masks]
