"""Tell what a file is by its first bytes, whatever it is called."""

from __future__ import annotations

import gzip
import stat
import zipfile
import zlib
from pathlib import Path

from vesalius.data.limits import JSRT_BYTES
from vesalius.errors import UnreadableImageError

__all__ = ["FORMATS", "image_suffixes", "sniff", "unopened"]

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
        UnreadableImageError: Missing, a folder, a pipe, empty, or not permitted.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            # Opening a pipe would wait for ever, and reading a device may never end.
            raise UnreadableImageError(path, "not a regular file (a pipe, socket or device)", "Leave it out")
        with path.open("rb") as file:
            head = file.read(1024)
        size = found.st_size
    except OSError as error:
        raise unopened(path, error) from error
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


def unopened(path: Path, error: OSError) -> UnreadableImageError:
    """Return the refusal that says why the system did not hand out the file."""
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
