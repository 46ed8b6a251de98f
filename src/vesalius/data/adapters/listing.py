"""Listing a folder's images, and keeping every path inside that folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from glob import escape
from pathlib import Path, PurePosixPath

from vesalius.errors import DatasetError, ManifestError

__all__ = [
    "FolderListing",
    "child_folders",
    "inside",
    "list_images",
    "named_once",
    "source_of",
    "stem_of",
    "with_any_extension",
]

_TABLES_AND_TEXT = (
    ".csv .tsv .txt .md .rst .json .jsonl .xml .yaml .yml .toml .html .htm .pdf .log .xlsx .xls .doc .docx"
)
_CODE = ".css .js .py .ipynb .sh .bat .m .r .exe .url .lnk .ppt .pptx"
_ARCHIVES = ".zip .tar .tgz .bz2 .xz .7z .rar .db .ini .sqlite .parquet .feather .md5 .sha1 .sha256 .sha512"
_WORK = ".pkl .pickle .pt .pth .ckpt .safetensors .onnx .salt .lock .tmp .part"
_NOT_IMAGES = frozenset(f"{_TABLES_AND_TEXT} {_CODE} {_ARCHIVES} {_WORK}".split())
_NOT_IMAGE_NAMES = frozenset({"thumbs.db", "desktop.ini", "dicomdir", "license", "licence", "readme", "makefile"})
_NOT_IMAGE_FOLDERS = frozenset({"__MACOSX", "__pycache__"})
_MOST_CHILDREN = 200
_PACKED = ".nii.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderListing:
    """The files under a folder.

    Attributes:
        images: Everything that may be an image, sorted; the reader has the last word.
        ignored: Hidden files and obvious non-images, relative to the folder, sorted.
        links: Linked folders, which are not entered, relative to the folder.
    """

    images: tuple[Path, ...]
    ignored: tuple[str, ...]
    links: tuple[str, ...]


def list_images(folder: Path) -> FolderListing:
    """List a folder and all below it; hidden files and obvious non-images are set apart, linked folders not entered.

    Raises:
        DatasetError: If the folder, or a folder in it, cannot be read.
    """
    images: list[Path] = []
    ignored: list[str] = []
    links: list[str] = []
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        at = Path(here)
        linked = (at / name for name in folders if (at / name).is_symlink())
        links.extend(path.relative_to(folder).as_posix() for path in linked)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_IMAGE_FOLDERS)
        for name in sorted(names):
            if _is_candidate(name):
                images.append(at / name)
            else:
                ignored.append((at / name).relative_to(folder).as_posix())
    return FolderListing(images=tuple(sorted(images)), ignored=tuple(sorted(ignored)), links=tuple(links))


def _is_candidate(name: str) -> bool:
    lowered = name.lower()
    if name.startswith((".", "~$")) or lowered in _NOT_IMAGE_NAMES:
        return False
    suffix = Path(lowered).suffix
    return suffix not in _NOT_IMAGES and not (suffix == ".gz" and not lowered.endswith(_PACKED))


def _unreadable(error: OSError) -> None:
    raise DatasetError(f"{error.filename}: cannot be listed ({error.strerror}). Check the folder's permissions")


def child_folders(folder: Path) -> list[Path]:
    """Return the visible sub-folders, sorted, at most 200."""
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        _unreadable(error)
    return [folder / name for name in found[:_MOST_CHILDREN]]


def stem_of(file: Path | str) -> str:
    """Return the name of a file without its extension; `.nii.gz` is one."""
    name = file if isinstance(file, str) else file.name
    if name.lower().endswith(_PACKED):
        return name[: -len(_PACKED)]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def named_once(paths: Iterable[Path], name_of: Callable[[Path], str], root: Path) -> dict[str, Path]:
    """Index files by a name.

    Raises:
        DatasetError: Two bear the same.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(name_of(path), path)
        if other is not path:
            both = " and ".join(source_of(one, root) for one in (other, path))
            raise DatasetError(f"{root}: {both} are named alike, and one name must be one image; take one of them away")
    return found


def with_any_extension(path: Path) -> Path:
    """Return the file, or where it is not there one beside it that differs in the extension alone."""
    if path.is_file():
        return path
    return next((one for one in sorted(path.parent.glob(f"{escape(path.stem)}.*")) if one.is_file()), path)


def source_of(path: Path, root: Path) -> str:
    """Return the path inside the root with forward slashes, as `Sample.source` wants it."""
    return path.relative_to(root).as_posix()


def inside(root: Path, written: str, *, table: Path) -> Path:
    """Return the path that a table names, refusing any that leaves the root.

    Args:
        root: The data set's folder.
        written: The path as the table has it, relative to the root, either slash.
        table: The table, for the message.

    Raises:
        ManifestError: If the path is empty, absolute, climbs out with `..`, or goes through a link that leads out.
    """
    text = written.strip().replace("\\", "/")
    pure = PurePosixPath(text)
    if not text or pure.is_absolute() or ".." in pure.parts or "\0" in text or (len(text) > 1 and text[1] == ":"):
        raise ManifestError(
            f"{table}: the path {written!r} leads out of {root}; paths must be relative and stay inside the data set"
        )
    path = root / pure
    if not _stays(root, path.parent) or (path.is_symlink() and not path.resolve().is_relative_to(root.resolve())):
        raise ManifestError(
            f"{table}: the path {written!r} goes through a link that leads out of {root}; put the files there instead"
        )
    return path


@lru_cache(maxsize=65536)
def _stays(root: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to(root.resolve())
