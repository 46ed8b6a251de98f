"""One function for every file: find out what it is by its content, and decode one image of it."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

from vesalius.data.limits import JSRT_BYTES, check_size
from vesalius.data.windows import WindowRequest, check_request
from vesalius.errors import ConfigError, UnreadableImageError, VesaliusError, nearest
from vesalius.records.sample import DecodedImage

__all__ = ["FORMATS", "count_frames", "image_suffixes", "read_image", "sniff"]

FORMATS = ("png", "jpeg", "tiff", "bmp", "gif", "dicom", "nifti", "hdf5", "npz", "npy", "jsrt")
"""What `sniff` can find and `format` can name."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "npy"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
)
_SUFFIXES = (
    ".bmp",
    ".dcm",
    ".dicom",
    ".gif",
    ".h5",
    ".hdf5",
    ".ima",
    ".img",
    ".jpeg",
    ".jpg",
    ".nii",
    ".nii.gz",
    ".npy",
    ".npz",
    ".png",
    ".tif",
    ".tiff",
)
_NIFTI_MAGIC = {b"n+1\x00": 344, b"n+2\x00": 4}


def image_suffixes() -> tuple[str, ...]:
    """Return the file name endings, lower case, that image files usually bear (DICOM files often bear none)."""
    return _SUFFIXES


def sniff(path: Path) -> str:
    """Tell the format by the first bytes, whatever the file is called.

    Returns:
        One of `FORMATS`, or `unknown`.

    Raises:
        UnreadableImageError: Missing, a folder, empty, or not permitted.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
        size = path.stat().st_size
    except OSError as error:
        raise _unopened(path, error) from error
    if not head:
        raise UnreadableImageError(path, "empty file: 0 bytes", "Was the copy interrupted?")
    kind = _by_magic(head)
    if kind == "gzip":
        return _sniff_gzip(path)
    if kind == "zip":
        return _sniff_zip(path)
    if kind == "unknown" and size == JSRT_BYTES and path.suffix.lower() == ".img":
        return "jsrt"
    return kind


def read_image(
    path: Path,
    *,
    frame: int = 0,
    window: WindowRequest = "auto",
    format: str | None = None,
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
    allow_constant: bool = False,
) -> DecodedImage:
    """Decode one image of a file.

    Args:
        path: The file.
        frame: Frame, page, slice or index along the first axis.
        window: `auto`, `header`, `bits`, `percentiles`, `range` or (low, high); see `vesalius.data.windows`.
        format: One of `FORMATS` instead of what the content says.
        axis: Slicing of NIfTI volumes: `axial`, `coronal`, `sagittal`, or array axis 0, 1, 2.
        volume: Volume of a 4-D NIfTI file.
        key: Array of an HDF5 or NPZ file.
        allow_constant: Accept an image whose pixels are all the same (empty masks).

    Returns:
        Upright pixels in the file's own units and the window to be applied, see `DecodedImage`.

    Raises:
        ConfigError: An option that no file could satisfy (unknown window, format or axis).
        UnreadableImageError: Everything that is wrong with the file, with a short reason.
    """
    path = Path(path)
    check_request(window)
    kind = _kind(path, format)
    try:
        image = _read(path, kind, frame=frame, window=window, axis=axis, volume=volume, key=key)
    except VesaliusError:
        raise
    except MemoryError as error:
        raise UnreadableImageError(
            path, f"not enough memory to decode this {kind} file", "Use fewer workers"
        ) from error
    except OSError as error:
        raise _unopened(path, error) from error
    except Exception as error:
        # A damaged file must never end a run of thousands, whatever its decoder raises.
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UnreadableImageError(path, f"damaged {kind} file ({cause})", "Copy it again") from error
    check_size(path, image.pixels.shape[1], image.pixels.shape[0])
    if not allow_constant and _is_constant(image):
        value = image.pixels.reshape(-1, *image.pixels.shape[2:])[0]
        shown = value.tolist() if image.pixels.ndim == 3 else value.item()
        raise UnreadableImageError(path, f"constant image: every pixel is {shown}", "Leave it out")
    return image


def count_frames(
    path: Path,
    *,
    format: str | None = None,
    axis: str | int = "axial",
    key: str | None = None,
) -> int:
    """Return how many images the file holds, reading headers only.

    Raises:
        ConfigError: Unknown format or axis.
        UnreadableImageError: As `read_image`.
    """
    path = Path(path)
    kind = _kind(path, format)
    try:
        return _count(path, kind, axis=axis, key=key)
    except VesaliusError:
        raise
    except OSError as error:
        raise _unopened(path, error) from error
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UnreadableImageError(path, f"damaged {kind} file ({cause})", "Copy it again") from error


def _kind(path: Path, given: str | None) -> str:
    if given is not None and given not in FORMATS:
        raise ConfigError(f"format {given!r} is not one of {', '.join(FORMATS)}{nearest(given, FORMATS)}")
    found = sniff(path)
    if given is not None:
        return given
    if found == "unknown":
        named = f" (named {path.suffix})" if path.suffix.lower() in _SUFFIXES else ""
        raise UnreadableImageError(
            path, f"not an image: the content is none of {', '.join(FORMATS)}{named}", "Check what wrote the file"
        )
    return found


def _read(
    path: Path, kind: str, *, frame: int, window: WindowRequest, axis: str | int, volume: int, key: str | None
) -> DecodedImage:
    # Imported one by one: a worker that reads PNGs should not wait for pydicom, nibabel, h5py and tifffile.
    if kind == "dicom":
        from vesalius.data.read_dicom import read_dicom

        return read_dicom(path, frame=frame, window=window)
    if kind == "nifti":
        from vesalius.data.read_nifti import read_nifti

        return read_nifti(path, frame=frame, window=window, axis=axis, volume=volume)
    if kind in {"hdf5", "npz", "npy"}:
        from vesalius.data.read_array import read_array

        return read_array(path, kind, frame=frame, window=window, key=key)
    if kind == "jsrt":
        from vesalius.data.read_raw import read_jsrt

        return read_jsrt(path, frame=frame, window=window)
    if kind == "tiff":
        from vesalius.data.read_tiff import read_tiff

        return read_tiff(path, frame=frame, window=window)
    from vesalius.data.read_raster import read_raster

    return read_raster(path, kind, frame=frame, window=window)


def _count(path: Path, kind: str, *, axis: str | int, key: str | None) -> int:
    if kind == "dicom":
        from vesalius.data.read_dicom import count_dicom_frames

        return count_dicom_frames(path)
    if kind == "nifti":
        from vesalius.data.read_nifti import count_nifti_frames

        return count_nifti_frames(path, axis=axis)
    if kind in {"hdf5", "npz", "npy"}:
        from vesalius.data.read_array import count_array_frames

        return count_array_frames(path, kind, key=key)
    if kind == "tiff":
        from vesalius.data.read_tiff import count_tiff_frames

        return count_tiff_frames(path)
    if kind == "jsrt":
        return 1
    from vesalius.data.read_raster import count_raster_frames

    return count_raster_frames(path, kind)


def _is_constant(image: DecodedImage) -> bool:
    pixels = image.pixels
    corner = pixels[0, 0]
    # Most images differ within their first rows; only those that do not are looked at wholly.
    return bool(np.all(pixels[:2] == corner)) and bool(np.all(pixels == corner))


def _unopened(path: Path, error: OSError) -> UnreadableImageError:
    if isinstance(error, FileNotFoundError):
        return UnreadableImageError(path, "no such file", "Check the path, or the list that names it")
    if isinstance(error, IsADirectoryError):
        return UnreadableImageError(path, "a folder, not a file", "Name a file in it")
    if isinstance(error, PermissionError):
        return UnreadableImageError(path, "permission denied", "Ask for read access")
    return UnreadableImageError(path, f"cannot be read ({error.strerror or error})", "Check the disk or the connection")


def _by_magic(head: bytes) -> str:
    # DICOM first: its preamble is free for another format's header, and files that are TIFF as well do exist.
    if head[128:132] == b"DICM":
        return "dicom"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _has_nifti_magic(head):
        return "nifti"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in {12, 40, 52, 56, 64, 108, 124}:
        return "bmp"
    return "dicom" if _is_bare_dicom(head) else "unknown"


def _has_nifti_magic(head: bytes) -> bool:
    return any(head[at : at + 4] == magic for magic, at in _NIFTI_MAGIC.items())


def _sniff_gzip(path: Path) -> str:
    try:
        with gzip.open(path, "rb") as file:
            head = file.read(512)
    except (OSError, EOFError, zlib.error):
        return "nifti" if path.name.lower().endswith(".nii.gz") else "unknown"
    return "nifti" if _has_nifti_magic(head) else "unknown"


def _sniff_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "npz" if path.suffix.lower() == ".npz" else "unknown"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "unknown"


def _is_bare_dicom(head: bytes) -> bool:
    """Recognise a data set without preamble: a first element of group 2 or 8 with a plausible element and length."""
    if len(head) < 16:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[0:2], order)
        element = int.from_bytes(head[2:4], order)
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        length = int.from_bytes(head[4:8], order)
        if group in {2, 8} and element <= 0x2000 and (explicit or (order == "little" and length <= 256)):
            return True
    return False
