"""PatchCamelyon: small patches of lymph nodes, with or without tumour in their centre."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.adapters.tables import column, read_table
from vesalius.data.labels import LabelSpec
from vesalius.data.read import count_frames
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["PatchCamelyonAdapter"]

_STEM = "camelyonpatch_level_2_split"
_SIDES = {"train": "train", "valid": "val", "test": "test"}


class PatchCamelyonAdapter(Adapter):
    """`camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`, unpacked, with `_meta.csv` where it is there.

    A label says whether the central 32 px of the 96 show tumour. The slide, which the tables tell, counts as the
    patient.
    """

    name: ClassVar[str] = "patch-camelyon"
    title: ClassVar[str] = "PatchCamelyon"
    layout: ClassVar[str] = "camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5 (+ *_meta.csv with wsi)"
    citation: ClassVar[str] = "Veeling et al., MICCAI 2018; Ehteshami Bejnordi et al., JAMA 318(22), 2017"
    licence: ClassVar[str] = "CC0"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Tumour in the centre."""
        return {"tumour": LabelSpec(kind="binary", description="tumour in the central 32 px")}

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A file of patches, here or in a folder of its own."""
        return any(next(folder.glob(name), None) is not None for name in (f"{_STEM}_*_x.h5", f"*/{_STEM}_*_x.h5"))

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample a patch.

        Raises:
            ManifestError: Labels or slides that do not fit the patches.
        """
        base = self.base(root)
        listed = self.list_images(base, root)
        files = {path.name: path for path in (*listed, *base.rglob(f"{_STEM}_*_meta.csv"))}
        found = []
        for word, side in _SIDES.items():
            patches, labels = files.get(f"{_STEM}_{word}_x.h5"), files.get(f"{_STEM}_{word}_y.h5")
            if patches is None:
                continue
            if labels is None:
                raise ManifestError(f"{patches}: no {_STEM}_{word}_y.h5 with its labels in {base}; download it as well")
            values = _labels(labels)
            there = count_frames(patches, key="x")
            if there != len(values):
                raise ManifestError(f"{labels}: {len(values)} labels for the {there} patches of {patches.name}")
            slides = self._slides(files.get(f"{_STEM}_{word}_meta.csv"), word, len(values))
            found += [
                Sample(
                    path=patches,
                    source=source_of(patches, root),
                    patient=slide,
                    split=side,
                    labels={"tumour": int(value)},
                    frame=number,
                    reader={"key": "x"},
                )
                for number, (value, slide) in enumerate(zip(values, slides, strict=True))
            ]
        return found

    def _slides(self, table: Path | None, side: str, patches: int) -> list[str]:
        if table is None:
            self.warn("no *_meta.csv tells the slide of a patch: each patch counts as its own patient in intervals")
            return [f"{side}/{number}" for number in range(patches)]
        slides = [str(one).strip() for one in column(read_table(table, required=("wsi",)), "wsi", table=table)]
        if len(slides) != patches:
            raise ManifestError(f"{table}: {len(slides)} rows for {patches} patches; download both again")
        return slides


def _labels(path: Path) -> np.ndarray:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            values = np.asarray(file["y"]).reshape(-1)
    except (OSError, KeyError) as error:
        raise ManifestError(f"{path}: no readable array 'y' ({error}); download it again") from error
    if not np.isin(values, (0, 1)).all():
        raise ManifestError(f"{path}: labels {np.unique(values)[:5].tolist()}; expected 0 and 1")
    return values
