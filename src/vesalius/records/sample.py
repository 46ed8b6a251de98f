"""One decoded image with what is known of it, as a reader hands it to the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

__all__ = ["DecodedImage", "RunLengths", "Sample", "Window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The range of stored intensities that is mapped onto the store's full scale.

    Attributes:
        low: Intensity that becomes 0.
        high: Intensity that becomes the largest stored value.
        source: Where the range came from: `header` (VOI LUT or window), `bits` (stated bit depth), `percentiles`,
            `range` (the dtype's own range) or `user`.
    """

    low: float
    high: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """Pixels of one image, upright, brighter = denser (MONOCHROME1 already inverted), before windowing.

    Attributes:
        pixels: `[height, width]` or `[height, width, 3]`; any integer or floating dtype, in the file's own units.
        window: The range to be kept, see `Window`.
        spacing_mm: (row, column) spacing of the pixels, or None where the file does not say.
        slice_mm: Where along its volume the slice lies, from any origin, or None where the file does not say.
        stack: What tells the slices that it counts among from others of the file, or of the study where a file has one.
        bits: Bits that carry information in the source (12 for a 12-bit radiograph in a 16-bit file).
        inverted: Whether the reader inverted the polarity.
        frame: Which frame or slice of the file this is.
        frames: How many the file holds.
        header: Facts read from the file that adapters and the doctor use (patient id, study, modality, view, ...).
    """

    pixels: npt.NDArray[Any]
    window: Window
    spacing_mm: tuple[float, float] | None = None
    slice_mm: float | None = None
    stack: str = ""
    bits: int = 8
    inverted: bool = False
    frame: int = 0
    frames: int = 1
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLengths:
    """A mask as COCO writes it: how many pixels are outside, inside, outside, ..., column by column.

    Attributes:
        height: In pixels.
        width: Likewise.
        counts: The lengths, or the text that COCO's own code packs them in.
    """

    height: int
    width: int
    counts: tuple[int, ...] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image a dataset names: where it is, whose it is and what is known of it. Pixels are read later.

    Attributes:
        path: The image file.
        source: Its path inside the data set, with forward slashes; unique together with `frame`.
        patient: Patient id in clear (hashed when written), or None where the set does not say.
        study: Study id in clear (hashed when written), or None.
        split: `train`, `val`, `test` or None where the set makes none.
        labels: Label name to value; a missing or uncertain label is None.
        frame: Frame or slice to take from the file.
        masks: Part name (`left_lung`) to mask file, or to several whose union it is; the patient's left and right.
        outlines: (part name, corners x0, y0, x1, y1, ... in the image's pixels, or run lengths) where a set draws its
            masks instead of storing them; the later lie over the earlier. They are drawn over the `masks`.
        reader: Options for the reader (for example `{"format": "jsrt"}`).
    """

    path: Path
    source: str
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    labels: Mapping[str, float | int | str | None] = field(default_factory=dict)
    frame: int = 0
    masks: Mapping[str, Path | tuple[Path, ...]] = field(default_factory=dict)
    outlines: tuple[tuple[str, tuple[float, ...] | RunLengths], ...] = ()
    reader: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mask_files(self) -> tuple[tuple[str, Path], ...]:
        """(part name, file) of every mask file."""
        each = ((name, files if isinstance(files, tuple) else (files,)) for name, files in self.masks.items())
        return tuple((name, path) for name, files in each for path in files)
