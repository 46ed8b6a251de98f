"""One function for every file: find out what it is by its content, and decode one image of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vesalius.data.limits import check_size
from vesalius.data.sniff import FORMATS, image_suffixes, sniff, unopened
from vesalius.data.windows import WindowRequest, check_request
from vesalius.errors import ConfigError, UnreadableImageError, VesaliusError, nearest
from vesalius.records.sample import DecodedImage

__all__ = ["FORMATS", "count_frames", "image_suffixes", "read_image", "sniff"]


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
    codes: bool = False,
    like: Path | None = None,
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
        codes: Of PNG, GIF and BMP with colours from a palette, give its codes in their place (label maps).
        like: Of NIfTI: the volume whose axes run as this one's where either says nothing of its orientation (masks).

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
        image = _read(path, kind, frame=frame, window=window, axis=axis, volume=volume, key=key, codes=codes, like=like)
    except VesaliusError:
        raise
    except MemoryError as error:
        raise UnreadableImageError(
            path, f"not enough memory to decode this {kind} file", "Use fewer workers"
        ) from error
    except OSError as error:
        raise unopened(path, error) from error
    except Exception as error:
        # A damaged file must never end a run of thousands, whatever its decoder raises.
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UnreadableImageError(path, f"damaged {kind} file ({cause})", "Copy it again") from error
    check_size(path, image.pixels.shape[1], image.pixels.shape[0])
    if not allow_constant:
        _check_varies(path, image)
    return image


def count_frames(
    path: Path,
    *,
    format: str | None = None,
    axis: str | int = "axial",
    key: str | None = None,
    like: Path | None = None,
) -> int:
    """Return how many images the file holds, reading headers only.

    Raises:
        ConfigError: Unknown format or axis.
        UnreadableImageError: As `read_image`.
    """
    path = Path(path)
    kind = _kind(path, format)
    try:
        return _count(path, kind, axis=axis, key=key, like=like)
    except VesaliusError:
        raise
    except OSError as error:
        raise unopened(path, error) from error
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
        named = f" (named {path.suffix})" if path.suffix.lower() in image_suffixes() else ""
        raise UnreadableImageError(
            path, f"not an image: the content is none of {', '.join(FORMATS)}{named}", "Check what wrote the file"
        )
    return found


def _read(
    path: Path,
    kind: str,
    *,
    frame: int,
    window: WindowRequest,
    axis: str | int,
    volume: int,
    key: str | None,
    codes: bool,
    like: Path | None,
) -> DecodedImage:
    # Imported one by one: a worker that reads PNGs should not wait for pydicom, nibabel, h5py and tifffile.
    if kind == "dicom":
        from vesalius.data.read_dicom import read_dicom

        return read_dicom(path, frame=frame, window=window)
    if kind == "nifti":
        from vesalius.data.read_nifti import read_nifti

        return read_nifti(path, frame=frame, window=window, axis=axis, volume=volume, like=like)
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

    return read_raster(path, kind, frame=frame, window=window, codes=codes)


def _count(path: Path, kind: str, *, axis: str | int, key: str | None, like: Path | None) -> int:
    if kind == "dicom":
        from vesalius.data.read_dicom import count_dicom_frames

        return count_dicom_frames(path)
    if kind == "nifti":
        from vesalius.data.read_nifti import count_nifti_frames

        return count_nifti_frames(path, axis=axis, like=like)
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


def _check_varies(path: Path, image: DecodedImage) -> None:
    pixels = image.pixels
    corner = pixels[0, 0]
    # Most images differ within their first rows; only those that do not are looked at wholly.
    if np.all(pixels[:2] == corner) and np.all(pixels == corner):
        raise UnreadableImageError(path, f"constant image: every pixel is {corner.tolist()}", "Leave it out")
