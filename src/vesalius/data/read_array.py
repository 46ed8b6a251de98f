"""Read images from HDF5, NPZ and NPY arrays, one frame at a time and without ever unpickling anything."""

from __future__ import annotations

import atexit
import math
import zipfile
import zlib
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from vesalius.data.limits import MAX_VOXELS, check_finite, check_frame, check_size
from vesalius.data.windows import WindowRequest, choose_window
from vesalius.errors import UnreadableImageError, nearest
from vesalius.records.sample import DecodedImage

__all__ = ["count_array_frames", "read_array"]

_COLOUR = (3, 4)


def read_array(
    path: Path, kind: str, *, frame: int = 0, window: WindowRequest = "auto", key: str | None = None
) -> DecodedImage:
    """Read one image of an array file.

    Shapes: `[height, width]`; `[height, width, 3 or 4]` (one colour image); `[frames, height, width]`;
    `[frames, height, width, 1, 3 or 4]`; `[frames, 1 or 3, height, width]`. A fourth channel is left out.

    Args:
        path: The file.
        kind: `hdf5`, `npz` or `npy`, from the file's content.
        frame: Index along the first axis.
        window: See `vesalius.data.windows`.
        key: Name of the array in an HDF5 or NPZ file; not needed where only one array has two or more axes.

    Raises:
        UnreadableImageError: No such array, a shape that is no image, NaN or infinite values, pickled objects.
    """
    try:
        shape, dtype, pixels = _OPENERS[kind](path, key, frame)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        cause = " ".join(str(error).split())
        raise UnreadableImageError(path, f"damaged {kind.upper()} file ({cause})", "Write it again") from error
    if pixels is None:
        raise UnreadableImageError(path, f"array of shape {shape} and type {dtype} is no image")
    pixels = _to_image(np.asarray(pixels))
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8)
    pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize != 4:
        pixels = pixels.astype(np.float32)
    check_finite(path, pixels)
    frames = _frames(shape)
    return DecodedImage(
        pixels=pixels,
        window=choose_window(path, pixels, request=window, stated=(0.0, 1.0) if dtype.kind == "b" else None),
        bits=1 if dtype.kind == "b" else 8 * dtype.itemsize,
        frame=frame,
        frames=frames,
    )


def count_array_frames(path: Path, kind: str, *, key: str | None = None) -> int:
    """Return how many images the array holds, reading its header only.

    Raises:
        UnreadableImageError: As `read_array`.
    """
    try:
        shape, _, _ = _OPENERS[kind](path, key, None)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        cause = " ".join(str(error).split())
        raise UnreadableImageError(path, f"damaged {kind.upper()} file ({cause})", "Write it again") from error
    return _frames(shape)


def _is_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 or (len(shape) == 3 and shape[-1] not in _COLOUR)


def _frames(shape: tuple[int, ...]) -> int:
    return shape[0] if _is_stack(shape) else 1


def _plan(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], frame: int | None) -> bool:
    """Check shape, type and size before anything is read; return whether the first axis counts frames."""
    if dtype.hasobject:
        raise UnreadableImageError(path, "holds pickled Python objects", "Save plain numbers; pickles are never read")
    one = shape[1:] if _is_stack(shape) else shape
    flat = len(one) == 2 or (len(one) == 3 and (one[-1] in (1, *_COLOUR) or one[0] in (1, 3)))
    if dtype.kind not in "buif" or not flat or len(shape) > 4:
        raise UnreadableImageError(
            path,
            f"array of shape {shape} and type {dtype} is no image",
            "Expected [height, width], [frames, height, width] or [frames, height, width, channels]",
        )
    if frame is not None:
        height, width = one[-2:] if len(one) == 2 or one[-1] not in (1, *_COLOUR) else one[:2]
        check_frame(path, frame, _frames(shape))
        check_size(path, width, height)
    return _is_stack(shape)


def _to_image(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if pixels.ndim == 3:
        if pixels.shape[-1] not in (1, *_COLOUR):
            pixels = np.moveaxis(pixels, 0, -1)
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3]
    return pixels


def _choose(path: Path, names: dict[str, int], key: str | None) -> str:
    """Pick the array: the one asked for, or the only one with two or more axes."""
    if key is not None:
        if key not in names:
            raise UnreadableImageError(path, f"no array {key!r}; it holds {_listing(names)}{nearest(key, names)}")
        return key
    images = [name for name, axes in names.items() if axes >= 2]
    if len(images) != 1:
        raise UnreadableImageError(
            path, f"{len(images)} arrays could be images: {_listing(names)}", "Name one with key= (--key)"
        )
    return images[0]


def _listing(names: dict[str, int]) -> str:
    shown = ", ".join(sorted(names)[:8])
    return (shown + ", ..." if len(names) > 8 else shown) or "none"


_Opened = tuple[tuple[int, ...], np.dtype[Any], "npt.NDArray[Any] | None"]


class _Member(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def _open_npy(path: Path, _key: str | None, frame: int | None) -> _Opened:
    with path.open("rb") as file:
        shape, _, dtype = _npy_header(file)
    stack = _plan(path, shape, dtype, frame)
    if frame is None:
        return shape, dtype, None
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    return shape, dtype, np.array(values[frame] if stack else values)


def _open_npz(path: Path, key: str | None, frame: int | None) -> _Opened:
    with zipfile.ZipFile(path) as archive:
        name, member = _find_member(path, archive, key)
        stack = _plan(path, member.shape, member.dtype, frame)
        if frame is None:
            return member.shape, member.dtype, None
        if not stack:
            with archive.open(name + ".npy") as file:
                _npy_header(cast(BufferedIOBase, file))
                values = _read_values(path, cast(BufferedIOBase, file), member, member.shape)
            return member.shape, member.dtype, values
    stat = path.stat()
    try:
        return member.shape, member.dtype, _stack(path, name, stat.st_mtime_ns, stat.st_size).read(frame)
    except BaseException:
        _stack.cache_clear()  # where the stream stands is no longer known
        raise


def _find_member(path: Path, archive: zipfile.ZipFile, key: str | None) -> tuple[str, _Member]:
    headers = {}
    for member in archive.namelist():
        if member.endswith(".npy"):
            with archive.open(member) as file:
                headers[member.removesuffix(".npy")] = _Member(*_npy_header(cast(BufferedIOBase, file)))
    name = _choose(path, {name: len(header.shape) for name, header in headers.items()}, key)
    return name, headers[name]


@lru_cache(maxsize=1)
def _stack(path: Path, name: str, _modified: int, _size: int) -> _PackedStack:
    return _PackedStack(path, name)


atexit.register(_stack.cache_clear)  # lets go of the file while there still is an interpreter


class _PackedStack:
    """A stack in an NPZ member, read forwards: frame after frame the member is unpacked once, not once a frame.

    Of C-ordered stacks one frame at a time is in memory; Fortran-ordered ones are held whole.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._archive: zipfile.ZipFile | None = None
        self._file: BufferedIOBase | None = None
        self._values: npt.NDArray[Any] | None = None
        self._next = 0

    def __del__(self) -> None:
        self._close()

    def read(self, frame: int) -> npt.NDArray[Any]:
        """Return one frame; one before the last read starts again at the beginning."""
        if self._values is not None:
            return np.asarray(self._values[frame])
        file = self._file if self._file is not None and frame >= self._next else self._open()
        if self._member.fortran:
            self._values = _read_values(self._path, file, self._member, self._member.shape)
            self._close()
            return np.asarray(self._values[frame])
        part = self._member.shape[1:]
        to_skip = (frame - self._next) * math.prod(part) * self._member.dtype.itemsize
        while to_skip and (skipped := len(file.read(min(to_skip, 2**24)))):
            to_skip -= skipped
        values = _read_values(self._path, file, self._member, part)
        self._next = frame + 1
        if self._next == self._member.shape[0]:
            self._close()
        return values

    def _open(self) -> BufferedIOBase:
        self._close()
        self._archive = zipfile.ZipFile(self._path)
        self._file = file = cast(BufferedIOBase, self._archive.open(self._name + ".npy"))
        self._member = _Member(*_npy_header(file))
        self._next = 0
        return file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._archive is not None:
            self._archive.close()
        self._file = self._archive = None


def _read_values(path: Path, file: BufferedIOBase, member: _Member, part: tuple[int, ...]) -> npt.NDArray[Any]:
    count = math.prod(part)
    if count > MAX_VOXELS:
        raise UnreadableImageError(
            path, f"too large: shape {member.shape}, the limit is {MAX_VOXELS} values", "Split it"
        )
    size = count * member.dtype.itemsize
    data = file.read(size)
    if len(data) != size:
        raise UnreadableImageError(path, f"truncated: {len(data)} bytes of {size} in the array", "Write it again")
    return np.frombuffer(data, member.dtype).reshape(part, order="F" if member.fortran else "C")


def _npy_header(file: BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    return tuple(int(side) for side in shape), bool(fortran), dtype


def _open_hdf5(path: Path, key: str | None, frame: int | None) -> _Opened:
    import h5py

    with h5py.File(path, "r") as file:
        names: dict[str, int] = {}

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                names[name] = item.ndim

        # visititems follows neither soft nor external links: nothing outside this file is ever opened.
        file.visititems(note)
        chosen = file[_choose(path, names, key)]
        if chosen.external or chosen.is_virtual:
            raise UnreadableImageError(path, "the array's data lie in other files", "Copy them into this one")
        shape, dtype = tuple(int(side) for side in chosen.shape), np.dtype(chosen.dtype)
        stack = _plan(path, shape, dtype, frame)
        if frame is None:
            return shape, dtype, None
        return shape, dtype, np.asarray(chosen[frame] if stack else chosen[()])


_OPENERS = {"npy": _open_npy, "npz": _open_npz, "hdf5": _open_hdf5}
