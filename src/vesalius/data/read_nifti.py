"""Cut 2-D slices from NIfTI volumes, turned by the affine to the display that radiologists are used to.

The axes are reordered and flipped to the nearest world axes (oblique volumes are not resampled). Slices are counted
from inferior to superior (axial), posterior to anterior (coronal) and the patient's left to right (sagittal).
Display: axial has anterior on top and the patient's left on the image's right; coronal superior on top and left on the
right; sagittal superior on top and anterior on the image's left.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.limits import check_finite, check_frame, check_size, check_volume
from vesalius.data.quiet import quiet
from vesalius.data.windows import WindowRequest, choose_window
from vesalius.errors import ConfigError, UnreadableImageError, nearest
from vesalius.records.sample import DecodedImage

__all__ = ["AXES", "count_nifti_frames", "orientation_of", "read_nifti", "world_axis"]

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""World axis (x to the patient's right, y to anterior, z to superior) that the slices follow."""

_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}


@dataclass(frozen=True, slots=True)
class _Volume:
    """A volume with its axes in world order and direction: right, anterior, superior."""

    values: npt.NDArray[Any]
    spacing_mm: tuple[float, float, float] | None
    header_window: tuple[float, float] | None
    volumes: int
    axes: str
    sample: npt.NDArray[Any]


def read_nifti(
    path: Path,
    *,
    frame: int = 0,
    window: WindowRequest = "auto",
    axis: str | int = "axial",
    volume: int = 0,
    like: Path | None = None,
) -> DecodedImage:
    """Read one slice of a .nii or .nii.gz file.

    Percentiles are those of the whole volume, so that slices stay comparable; the volume last read stays in memory.

    Args:
        path: The file.
        frame: Slice along `axis`, in the world direction given above also where `axis` is a number.
        window: See `vesalius.data.windows`; cal_min and cal_max are the header's window.
        axis: `axial`, `coronal`, `sagittal`, or the array axis 0, 1, 2 of the file.
        volume: Which volume of a 4-D file.
        like: The volume whose axes run as this one's, where an affine, of either, is the identity or none: what many
            programs write beside masks. Voxels then lie on voxels.

    Raises:
        ConfigError: Unknown axis.
        UnreadableImageError: Damaged, too large, complex-valued, not finite, or no such slice or volume.
    """
    stat = path.stat()
    held = _held(path, stat.st_mtime_ns, stat.st_size, volume, like)
    if isinstance(held, UnreadableImageError):
        raise UnreadableImageError(path, held.reason, held.advice)
    world = world_axis(axis, held.axes)
    frames = held.values.shape[world]
    check_frame(path, frame, frames)
    others = [a for a in (0, 1, 2) if a != world]
    check_size(path, held.values.shape[others[0]], held.values.shape[others[1]])
    # The plane comes as (column, row). Every display named above runs against both of its world axes: towards the
    # left, the posterior and the inferior.
    plane = np.take(held.values, frame, axis=world)
    pixels = np.ascontiguousarray(np.swapaxes(plane[::-1, ::-1], 0, 1))
    check_finite(path, pixels)
    header = {"axes": held.axes, "volumes": str(held.volumes)}
    if held.spacing_mm is None:
        header["notes"] = "identity affine: spacing and orientation are not known"
    chosen = choose_window(path, pixels, request=window, header=held.header_window, sample=held.sample)
    return DecodedImage(
        pixels=pixels,
        window=chosen,
        spacing_mm=held.spacing_mm and (held.spacing_mm[others[1]], held.spacing_mm[others[0]]),
        slice_mm=held.spacing_mm and frame * held.spacing_mm[world],
        bits=8 * held.values.dtype.itemsize,
        frame=frame,
        frames=frames,
        header=header,
    )


def count_nifti_frames(path: Path, *, axis: str | int = "axial", like: Path | None = None) -> int:
    """Return the number of slices along `axis`, reading the header only.

    Raises:
        ConfigError: Unknown axis.
        UnreadableImageError: Damaged.
    """
    with quiet("nibabel"), _stream(path) as file:
        image = _open(path, file)
        shape = _shape3(image.shape)
        order, axes = orientation_of(_affine(image, like))
        return shape[order[world_axis(axis, axes)][0]]


def world_axis(axis: str | int, axes: str) -> int:
    """Return the world axis (0 to 2) that slices follow, given the array axes' directions such as `LPS`.

    Raises:
        ConfigError: Unknown axis.
    """
    if isinstance(axis, str) and axis in AXES:
        return AXES[axis]
    if str(axis) in {"0", "1", "2"}:
        return ["LR", "PA", "IS"].index(next(pair for pair in ("LR", "PA", "IS") if axes[int(axis)] in pair))
    raise ConfigError(f"axis {axis!r} is not axial, coronal, sagittal, 0, 1 or 2{nearest(str(axis), AXES)}")


@lru_cache(maxsize=2)  # an image and its mask, slice by slice
def _held(path: Path, _modified: int, _size: int, volume: int, like: Path | None) -> _Volume | UnreadableImageError:
    """Keep the last volume, or why it is none, so that a damaged one is not unpacked again for each slice."""
    try:
        return _volume(path, volume, like)
    except UnreadableImageError as error:
        return UnreadableImageError(path, error.reason, error.advice)


def _volume(path: Path, volume: int, like: Path | None) -> _Volume:
    with quiet("nibabel"), _stream(path) as file:
        image = _open(path, file)
        shape = _shape3(image.shape)
        check_volume(path, shape)
        volumes = int(np.prod(image.shape[3:], dtype=np.int64))
        if not 0 <= volume < volumes:
            raise UnreadableImageError(
                path, f"no volume {volume}: the file holds {volumes}", "Choose one with volume= (--volume)"
            )
        _check_complete(path, image, shape)
        values = _load(path, image, shape, volume)
        order, axes = orientation_of(_affine(image, like))
        window = _header_window(image.header)
        spacing = _spacing(image, order)
    values = np.transpose(values, [array_axis for array_axis, _ in order])
    flips = tuple(slice(None, None, -1) if flip else slice(None) for _, flip in order)
    flat = values.ravel(order="K")
    sample = flat[:: -(-flat.size // 2**20)]
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    return _Volume(values[flips], spacing, window, volumes, axes, sample)


def _affine(image: Any, like: Path | None) -> npt.NDArray[Any]:
    """Return the affine of a volume, or that of `like` where one of the two says nothing."""
    own = np.asarray(image.affine)
    if like is None:
        return own
    with _stream(like) as file:
        other = np.asarray(_open(like, file).affine)
    return other if _says_nothing(own) or _says_nothing(other) else own


def _says_nothing(affine: npt.NDArray[Any]) -> bool:
    return np.array_equal(affine, np.eye(4)) or not np.linalg.det(affine[:3, :3])


def _check_complete(path: Path, image: Any, shape: tuple[int, int, int]) -> None:
    """Refuse a header that promises more than the file can hold, before memory is taken for it."""
    needed = int(np.prod(shape, dtype=np.int64)) * image.get_data_dtype().itemsize
    # Deflate packs 1032 bytes into one at the very most.
    at_most = path.stat().st_size * (1032 if _packed(path) else 1)
    if needed > at_most:
        raise UnreadableImageError(path, f"truncated NIfTI data: {needed} bytes promised", "Copy it again")


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _load(path: Path, image: Any, shape: tuple[int, int, int], volume: int) -> npt.NDArray[Any]:
    index = np.unravel_index(volume, image.shape[3:], order="F") if len(image.shape) > 3 else ()
    try:
        proxy = image.dataobj
        picked = proxy[(..., *(int(i) for i in index))] if index else np.asanyarray(proxy)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise UnreadableImageError(path, f"truncated NIfTI data ({error})", "Copy it again") from error
    values = np.asarray(picked).reshape(shape)
    if values.dtype.kind not in "buif":
        raise UnreadableImageError(path, f"NIfTI data type {values.dtype} is no gray image", "Save magnitudes")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return values.astype(np.float32) if values.dtype.kind == "f" and values.dtype.itemsize != 4 else values


def _open(path: Path, file: BufferedIOBase) -> Any:
    import nibabel

    try:
        head = file.read(4)
        file.seek(0)
        kind = (
            nibabel.Nifti2Image if 540 in {int.from_bytes(head, o) for o in ("little", "big")} else nibabel.Nifti1Image
        )
        return kind.from_stream(file)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        raise UnreadableImageError(path, f"damaged NIfTI header ({error})", "Copy it again") from error
    except (OSError, ValueError, EOFError, zlib.error, KeyError) as error:
        raise UnreadableImageError(path, f"damaged NIfTI file ({error})", "Copy it again") from error


def _stream(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if _packed(path) else path.open("rb")


def _shape3(shape: tuple[int, ...]) -> tuple[int, int, int]:
    sides = [*map(int, shape[:3]), 1, 1, 1]
    return sides[0], sides[1], sides[2]


def orientation_of(affine: npt.NDArray[Any]) -> tuple[list[tuple[int, bool]], str]:
    """Return, for each world axis, (array axis, flipped), and the array axes' directions such as `LPS`."""
    from nibabel.orientations import io_orientation, ornt2axcodes

    found = io_orientation(affine)  # type: ignore[no-untyped-call]
    if np.isnan(found).any():
        # A singular affine (zeros) says nothing; keep the file's order.
        found = np.array([[0, 1], [1, 1], [2, 1]])
    order = [int(np.flatnonzero(found[:, 0] == world)[0]) for world in (0, 1, 2)]
    return [(axis, bool(found[axis, 1] < 0)) for axis in order], "".join(ornt2axcodes(found))  # type: ignore[no-untyped-call]


def _spacing(image: Any, order: list[tuple[int, bool]]) -> tuple[float, float, float] | None:
    from nibabel.affines import voxel_sizes

    if _says_nothing(np.asarray(image.affine)):
        return None
    try:
        unit = _MM.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError:
        unit = 1.0
    sizes = voxel_sizes(image.affine) * unit  # type: ignore[no-untyped-call]
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        return None
    x, y, z = (float(sizes[axis]) for axis, _ in order)
    return x, y, z


def _header_window(header: Any) -> tuple[float, float] | None:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return (low, high) if np.isfinite([low, high]).all() and high > low else None
