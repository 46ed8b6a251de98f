"""Find and decode the stored values of one DICOM frame, whatever its transfer syntax."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.codestream import check_codestream
from vesalius.data.limits import MAX_PIXELS
from vesalius.errors import UnreadableImageError

__all__ = ["decode_frame", "padding_mask", "read_header"]

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_COMPRESSED = "1.2.840.10008.1.2.4."
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_NEEDED = (
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
)


def read_header(path: Path) -> tuple[Any, bool]:
    """Read up to the pixel data, with or without preamble and file meta; also tell whether pixel data follow.

    Raises:
        UnreadableImageError: A deflated data set that inflates beyond the size limits.
    """
    from pydicom.filereader import read_partial

    found = False

    def at_pixels(tag: Any, _vr: str | None, _length: int) -> bool:
        nonlocal found
        found = found or int(tag) in _PIXEL_TAGS
        return found

    with path.open("rb") as file:
        if _DEFLATED.encode() in file.read(2048):
            _check_deflated(path)
        file.seek(0)
        head = read_partial(file, stop_when=at_pixels, force=True)
        start = file.read(2**16) if found else b""
    if str(getattr(head, "file_meta", {}).get("TransferSyntaxUID", "")).startswith(_COMPRESSED):
        check_codestream(path, start)
    return head, found


def decode_frame(path: Path, head: Any, frame: int, notes: list[str]) -> npt.NDArray[Any]:
    """Decode one frame to `[rows, columns]` stored values or `[rows, columns, 3]` RGB.

    Args:
        path: The file.
        head: Its header, from `read_header`.
        frame: Frame number from 0.
        notes: Receives what had to be assumed or shifted.

    Raises:
        UnreadableImageError: No decoder could read the pixel data.
    """
    try:
        stored = _decode(path, head, frame, notes)
        if str(head.get("PhotometricInterpretation")) == "PALETTE COLOR":
            from pydicom.pixels.processing import apply_color_lut

            stored = apply_color_lut(stored, head)[..., :3]
    except UnreadableImageError:
        raise
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        # Decoders of four projects raise whatever they like on damaged data; Rust's panic is no Exception.
        cause = " ".join(str(error).split())
        word = "truncated pixel data" if "less than expected" in cause else "pixel data cannot be decoded"
        raise UnreadableImageError(path, f"{word} ({cause[:300]})", "Convert it with another DICOM tool") from error
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if native.ndim not in {2, 3} or (native.ndim == 3 and native.shape[-1] != 3):
        raise UnreadableImageError(path, f"pixel data of shape {native.shape} is no gray or RGB image")
    return native


def padding_mask(head: Any, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Return where the stored values are pixel padding (one value or a range, PS3.3 C.7.5.1.1.2), or None."""
    value, limit = head.get("PixelPaddingValue"), head.get("PixelPaddingRangeLimit")
    try:
        first = int(value)
        last = first if limit is None else int(limit)
    except (TypeError, ValueError):
        return None
    mask = (stored >= min(first, last)) & (stored <= max(first, last))
    return np.asarray(mask) if mask.any() else None


def _decode(path: Path, head: Any, frame: int, notes: list[str]) -> npt.NDArray[Any]:
    import pydicom
    from pydicom.pixels.utils import pixel_array

    syntax = str(getattr(head, "file_meta", {}).get("TransferSyntaxUID", ""))
    missing = [name for name in _NEEDED if head.get(name) in (None, "")]
    multi = int(head.get("NumberOfFrames") or 1) > 1
    if syntax == _JPEG_EXTENDED and int(head.get("BitsStored") or 8) > 8:
        return _jpeg_extended(pydicom.dcmread(path, force=True), frame)
    shift = 0 if missing else int(head.HighBit) + 1 - int(head.BitsStored)
    compressed = bool(syntax) and pydicom.uid.UID(syntax).is_encapsulated
    if multi and not missing and syntax not in {"", _DEFLATED} and (shift == 0 or compressed):
        # From the path only this frame's bytes are read, not the whole file.
        return np.asarray(pixel_array(path, index=frame))
    full = pydicom.dcmread(path, force=True)
    _complete(full, missing, syntax, notes)
    if shift > 0 and not compressed and full.BitsAllocated in {8, 16, 32}:
        notes.append(f"values shifted down by {shift} bits (HighBit {full.HighBit})")
        return _shift(np.asarray(pixel_array(full, index=frame, correct_unused_bits=False)), full, shift)
    return np.asarray(pixel_array(full, index=frame))


def _complete(full: Any, missing: list[str], syntax: str, notes: list[str]) -> None:
    """Fill in what the pixel module should say, as other readers do, and tell it."""
    samples = int(full.get("SamplesPerPixel") or 1)
    allocated = int(full.get("BitsAllocated") or (8 if samples == 3 else 16))
    stored = int(full.get("BitsStored") or allocated)
    defaults: dict[str, Any] = {
        "SamplesPerPixel": samples,
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": "RGB" if samples == 3 else "MONOCHROME2",
    }
    for name in missing:
        setattr(full, name, defaults[name])
    if samples > 1 and full.get("PlanarConfiguration") is None:
        full.PlanarConfiguration = 0
    if missing:
        notes.append(f"assumed, as the file does not say: {', '.join(missing)}")
    if not syntax:
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

        implicit, little = full.original_encoding
        encoding = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        full.file_meta.TransferSyntaxUID = encoding
        notes.append("no transfer syntax in the file; taken from its encoding")


def _shift(raw: npt.NDArray[Any], full: Any, shift: int) -> npt.NDArray[Any]:
    """Move values that end at HighBit down to bit 0, dropping what other bits hold (old files keep overlays there)."""
    bits, width = int(full.BitsStored), raw.dtype.itemsize
    codes = (
        raw.view(raw.dtype.newbyteorder("=").str.replace("i", "u")) if raw.dtype.isnative else raw.astype(f"u{width}")
    )
    values = (codes.astype(np.int64) >> shift) & (2**bits - 1)
    if int(full.PixelRepresentation) == 1:
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
        return np.asarray(values.astype(f"i{width}"))
    return np.asarray(values.astype(f"u{width}"))


def _jpeg_extended(full: Any, frame: int) -> npt.NDArray[Any]:
    """Decode JPEG of 9 to 12 bits with GDCM, which reads it although pydicom's plugin does not ask it to."""
    import gdcm
    from pydicom.encaps import get_frame

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    frames = int(full.get("NumberOfFrames") or 1)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(get_frame(full.PixelData, frame, number_of_frames=frames))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((int(full.Columns), int(full.Rows), 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(full.PhotometricInterpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(
        gdcm.PixelFormat(
            int(full.SamplesPerPixel),
            int(full.BitsAllocated),
            int(full.BitsStored),
            int(full.HighBit),
            int(full.PixelRepresentation),
        )
    )
    raw = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    values = np.frombuffer(raw, np.int16 if full.PixelRepresentation else np.uint16)
    return values.reshape(int(full.Rows), int(full.Columns))


def _check_deflated(path: Path) -> None:
    """Inflate in pieces, keeping nothing, and refuse what would not fit the size limits."""
    from pydicom.filereader import read_file_meta_info

    limit, total = 8 * MAX_PIXELS, 0
    meta = read_file_meta_info(path)
    with path.open("rb") as file:
        # Preamble, magic, the group length element, and the group it counts.
        file.seek(128 + 4 + 12 + int(meta.FileMetaInformationGroupLength))
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        while piece := file.read(2**20):
            while piece and total <= limit:
                total += len(inflate.decompress(piece, 2**24))
                piece = inflate.unconsumed_tail
            if total > limit:
                raise UnreadableImageError(
                    path, f"too large: the data inflate beyond {limit} bytes", "Such a file can be an attack"
                )
