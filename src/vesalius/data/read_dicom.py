"""Read DICOM images: modality LUT, then VOI LUT or window, then polarity (PS3.3 C.7.6.3, C.11.1, C.11.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.dicom_pixels import decode_frame, padding_mask, read_header
from vesalius.data.dicom_position import slice_position
from vesalius.data.dicom_voi import functional_group, linear_window, look_up, nonlinear_voi
from vesalius.data.limits import check_finite, check_frame, check_size
from vesalius.data.quiet import quiet
from vesalius.data.read_raster import stated_range
from vesalius.data.windows import WindowRequest, choose_window, reflect
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import DecodedImage, Window

__all__ = ["count_dicom_frames", "read_dicom"]

_FACTS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "ViewPosition",
    "PatientSex",
    "PatientAge",
    "BodyPartExamined",
    "Laterality",
    "ImageLaterality",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
)
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def read_dicom(path: Path, *, frame: int = 0, window: WindowRequest = "auto") -> DecodedImage:
    """Decode one frame of a DICOM file.

    Stored values go through the modality LUT or rescale; a linear window (LINEAR, LINEAR_EXACT) becomes `window`; a VOI
    LUT or a SIGMOID is applied to the pixels, and `window` is then its output range. Pixel padding takes the darkest
    displayed value and is left out of the percentiles. MONOCHROME1 and PresentationLUTShape INVERSE are reflected about
    the window, so an explicit (low, high) speaks of the values before that. Palettes and YBR become RGB. Of a
    multi-frame file only the frame asked for is decoded. In `header`, `notes` tells what was unusual.

    Raises:
        UnreadableImageError: No image in it, a size beyond the limits, or pixel data no decoder could read.
    """
    with quiet("pydicom"):
        head = _header(path)
        frames = _frame_count(path, head)
        check_frame(path, frame, frames)
        notes: list[str] = []
        stored = decode_frame(path, head, frame, notes)
        check_finite(path, stored)
        return _render(path, head, stored, frame=frame, frames=frames, request=window, notes=notes)


def count_dicom_frames(path: Path) -> int:
    """Return NumberOfFrames (1 where it is missing) without reading pixel data."""
    with quiet("pydicom"):
        return _frame_count(path, _header(path))


def _header(path: Path) -> Any:
    try:
        head, has_pixels = read_header(path)
    except (EOFError, ValueError, NotImplementedError, AttributeError, TypeError, KeyError) as error:
        raise UnreadableImageError(path, f"damaged DICOM header ({error})", "Copy it again") from error
    if has_pixels and not (head.get("Rows") and head.get("Columns")):
        raise UnreadableImageError(path, "damaged DICOM header: Rows or Columns missing", "Copy it again")
    if not has_pixels:
        modality = head.get("Modality") or getattr(head, "file_meta", {}).get("MediaStorageSOPClassUID", "")
        kind = f" (a {getattr(modality, 'name', modality)} object)" if modality else ""
        raise UnreadableImageError(path, f"DICOM without pixel data{kind}", "Leave it out; it holds no image")
    check_size(path, int(head.Columns), int(head.Rows))
    return head


def _frame_count(path: Path, head: Any) -> int:
    try:
        return max(1, int(head.get("NumberOfFrames") or 1))
    except (TypeError, ValueError) as error:
        raise UnreadableImageError(path, "damaged DICOM header: NumberOfFrames is no number") from error


def _render(
    path: Path,
    head: Any,
    stored: npt.NDArray[Any],
    *,
    frame: int,
    frames: int,
    request: WindowRequest,
    notes: list[str],
) -> DecodedImage:
    colour = stored.ndim == 3
    bits = int(head.get("BitsStored") or head.get("BitsAllocated") or 8 * stored.dtype.itemsize)
    if colour:
        pixels, chosen, bits = _colour(path, head, stored, bits=bits, request=request)
        inverted = False
    else:
        pixels, chosen, inverted = _monochrome(path, head, stored, frame=frame, bits=bits, request=request, notes=notes)
    header = {name: str(head.get(name)) for name in _FACTS if head.get(name) not in (None, "")}
    spacing_mm = _spacing(head, frame, notes)
    slice_mm, stack = slice_position(head, frame)
    if notes:
        header["notes"] = "; ".join(notes)
    return DecodedImage(
        pixels=pixels,
        window=chosen,
        spacing_mm=spacing_mm,
        slice_mm=slice_mm,
        stack=stack,
        bits=bits,
        inverted=inverted,
        frame=frame,
        frames=frames,
        header=header,
    )


def _colour(
    path: Path, head: Any, stored: npt.NDArray[Any], *, bits: int, request: WindowRequest
) -> tuple[npt.NDArray[Any], Window, int]:
    if str(head.get("PhotometricInterpretation")) == "PALETTE COLOR":
        # The table's entries, not the indices, are the pixels now; 8-bit entries in 16-bit words are common.
        if stored.dtype == np.uint16:
            stored = (stored >> 8 if int(stored.max()) > 255 else stored).astype(np.uint8)
        bits = 8
    stated = stated_range(stored, bits) if stored.dtype == np.uint16 else None
    return stored, choose_window(path, stored, request=request, stated=stated), bits


def _monochrome(
    path: Path,
    head: Any,
    stored: npt.NDArray[Any],
    *,
    frame: int,
    bits: int,
    request: WindowRequest,
    notes: list[str],
) -> tuple[npt.NDArray[Any], Window, bool]:
    padding = padding_mask(head, stored)
    pixels, stated = _modality(head, stored, frame=frame, bits=bits)
    inside = pixels if padding is None else pixels[~padding]
    if padding is not None and inside.size == 0:
        raise UnreadableImageError(path, "constant image: every pixel is padding")
    shaped = nonlinear_voi(head, pixels, frame, notes) if request in ("auto", "header") else None
    if shaped is not None:
        pixels, output = shaped
        inside = pixels if padding is None else pixels[~padding]
        chosen = Window(low=output[0], high=output[1], source="header")
    else:
        given = linear_window(head, frame, notes)
        chosen = choose_window(path, inside, request=request, header=given, stated=stated)
        if request == "auto" and given is not None and chosen.source != "header":
            notes.append("header window ignored: it shows nothing of the image")
    inverted = _is_inverted(head)
    if padding is not None:
        # Darkest after the inversion: padding is no tissue, yet MONOCHROME1 would show its zeros as bright.
        pixels = np.where(padding, inside.max() if inverted else inside.min(), pixels)
        notes.append(f"{int(padding.sum())} padding pixels set to the darkest value")
    if inverted:
        pixels = reflect(pixels, chosen)
    return pixels, chosen, inverted


def _is_inverted(head: Any) -> bool:
    shape = str(head.get("PresentationLUTShape") or "").upper()
    return str(head.get("PhotometricInterpretation") or "").upper() == "MONOCHROME1" or shape == "INVERSE"


def _modality(
    head: Any, stored: npt.NDArray[Any], *, frame: int, bits: int
) -> tuple[npt.NDArray[Any], tuple[float, float] | None]:
    """Return the modality values and the range the stated bits give them, where those are below the container's."""
    if head.get("ModalityLUTSequence"):
        pixels, output = look_up(head, head.ModalityLUTSequence[0], stored)
        return pixels, output if output[1] < 65535 else None
    stated = None
    if stored.dtype.kind in "ui" and bits < 8 * stored.dtype.itemsize:
        signed = stored.dtype.kind == "i"
        stated = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    item = functional_group(head, frame, "PixelValueTransformationSequence") or head
    slope, intercept = _number(item, "RescaleSlope", 1.0), _number(item, "RescaleIntercept", 0.0)
    if slope == 0 or (slope == 1 and intercept == 0):
        return stored, stated
    ends = sorted(end * slope + intercept for end in stated) if stated else None
    range_ = (ends[0], ends[1]) if ends else None
    if slope == 1 and intercept.is_integer() and stored.dtype.kind in "ui" and stored.dtype.itemsize <= 2:
        return stored.astype(np.int32) + int(intercept), range_
    return np.asarray(stored * slope + intercept, np.float32), range_


def _number(item: Any, name: str, default: float) -> float:
    try:
        value = float(item.get(name, default))
    except (TypeError, ValueError):
        return default
    return value if np.isfinite(value) else default


def _spacing(head: Any, frame: int, notes: list[str]) -> tuple[float, float] | None:
    """Return (row, column) spacing: at the patient where known, else at the detector or the scanned film."""
    sources = [(functional_group(head, frame, "PixelMeasuresSequence"), "PixelSpacing")]
    for item, name in sources + [(head, name) for name in _SPACINGS]:
        value = item.get(name) if item is not None else None
        try:
            pair = tuple(float(v) for v in value) if value is not None else ()
        except (TypeError, ValueError):
            continue
        if len(pair) == 2 and all(np.isfinite(pair)) and min(pair) > 0:
            if name != "PixelSpacing":
                notes.append(f"spacing from {name}")
            return pair[0], pair[1]
    return None
