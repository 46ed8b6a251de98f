"""An explanation in the formats of other tools: NIfTI, DICOM, QuPath's GeoJSON, each in the geometry of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vesalius.data.write_nifti import write_slice
from vesalius.errors import ConfigError, UnreadableImageError, nearest
from vesalius.interpret.attention_maps import mass_mask
from vesalius.interpret.explained_image import ExplainedImage, ImageReader
from vesalius.interpret.explained_run import ExplainedRun, Look
from vesalius.interpret.guided_heads import Head, Joined
from vesalius.interpret.pictures import Sheet
from vesalius.interpret.source_canvas import SourceCanvas
from vesalius.interpret.write_dicom import check_dicom, write_capture, write_segmentation
from vesalius.interpret.write_geojson import write_geojson

__all__ = ["FORMATS", "Looked", "check_formats", "write_format"]

_MASS = 0.6
"""Share of a map that its outline holds, as DINO draws it, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Looked:
    """An image and where a run looks in it.

    Attributes:
        run: The run.
        file: The image's.
        reader: How it was read.
        image: What was read.
        seen: The maps.
        shown: Which of them.
    """

    run: ExplainedRun
    file: Path
    reader: ImageReader
    image: ExplainedImage
    seen: Look
    shown: Sequence[Head | Joined]

    def maps(self) -> dict[str, Float[np.ndarray, "rows columns"]]:
        """Return the maps in the file's pixels, by their files' names; NaN where the backbone saw nothing."""
        canvas = SourceCanvas(self.image.source)
        return {one.file_stem: canvas.project(self.seen.map_of(one), self.seen.cells) for one in self.shown}

    def regions(self, mass: float) -> dict[str, Bool[np.ndarray, "rows columns"]]:
        """Return where the patches lie that hold a share of a map."""
        canvas, found = SourceCanvas(self.image.source), {}
        for one in self.shown:
            attention = self.seen.map_of(one)
            inside = mass_mask(attention.flatten(), mass=mass).reshape(attention.shape).float()
            found[one.file_stem] = canvas.project(inside, self.seen.cells, upsampling="nearest") > 0.5
        return found


def check_formats(names: Sequence[str], files: Sequence[Path]) -> None:
    """Refuse, before anything is computed, what could not be written.

    Raises:
        ConfigError: No such format, or a package that is not installed.
        UnreadableImageError: A file that a format cannot refer to.
    """
    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"no format '{name}'; formats: {', '.join(FORMATS)}{nearest(name, FORMATS)}")
        for file in files:
            if name == "nifti" and not file.name.lower().endswith((".nii", ".nii.gz")):
                raise UnreadableImageError(file, "no NIfTI file", "NIfTI output is of NIfTI input; use geojson")
            if name.startswith("dicom"):
                check_dicom(file)


def write_format(name: str, folder: Path, looked: Looked, sheet: Sheet, *, mass: float | None) -> list[str]:
    """Write one format and return the names of its files.

    Args:
        name: Of `FORMATS`.
        folder: Where to.
        looked: What was found.
        sheet: The picture of it, for secondary capture.
        mass: Share of a map that outlines hold; .6 by default.

    Raises:
        ConfigError: A package that is not installed.
        UnreadableImageError: A source that the format cannot refer to.
    """
    return FORMATS[name](folder, looked, sheet, _MASS if mass is None else mass)


def _nifti(folder: Path, looked: Looked, sheet: Sheet, mass: float) -> list[str]:
    del sheet, mass
    frame, axis = looked.image.source.frame, looked.reader.reader.get("axis", "axial")
    for stem, values in looked.maps().items():
        write_slice(folder / f"{stem}.nii.gz", values, source=looked.file, frame=frame, axis=axis)
    return [f"{one.file_stem}.nii.gz" for one in looked.shown]


def _dicom_seg(folder: Path, looked: Looked, sheet: Sheet, mass: float) -> list[str]:
    del sheet, mass
    maps = {one.caption: values for one, values in zip(looked.shown, looked.maps().values(), strict=True)}
    write_segmentation(folder / "attention_seg.dcm", maps, source=looked.file, weights=looked.run.weights)
    return ["attention_seg.dcm"]


def _dicom_sc(folder: Path, looked: Looked, sheet: Sheet, mass: float) -> list[str]:
    del mass
    write_capture(folder / "sheet_sc.dcm", sheet, source=looked.file, description="vesalius attention")
    return ["sheet_sc.dcm"]


def _geojson(folder: Path, looked: Looked, sheet: Sheet, mass: float) -> list[str]:
    del sheet
    words = f"attention of {looked.run.whose_row}, the patches that hold {mass:.0%}"
    write_geojson(folder / "attention.geojson", looked.regions(mass), of=words)
    return ["attention.geojson"]


FORMATS: dict[str, Callable[[Path, Looked, Sheet, float], list[str]]] = {
    "nifti": _nifti,
    "dicom-seg": _dicom_seg,
    "dicom-sc": _dicom_sc,
    "geojson": _geojson,
}
"""NIfTI volumes with the source's affine; a DICOM segmentation and a secondary capture of the source's patient and
study; outlines for QuPath."""
