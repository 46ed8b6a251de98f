"""A slice that was looked at, back in the volume of its file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float

from vesalius.atomic import replacing
from vesalius.data.read_nifti import orientation_of, world_axis
from vesalius.errors import UnreadableImageError

__all__ = ["write_slice"]


def write_slice(
    out: Path, plane: Float[np.ndarray, "rows columns"], *, source: Path, frame: int, axis: str | int = "axial"
) -> None:
    """Write a NIfTI volume of a file's shape and affine that holds a map on one slice, and 0 elsewhere.

    Args:
        out: `.nii.gz`, replaced whole.
        plane: The map as `vesalius.data.read_nifti.read_nifti` displays the slice.
        source: The file.
        frame: The slice.
        axis: As it was read.

    Raises:
        UnreadableImageError: The plane is not of the slice's size.
    """
    image: Any = nibabel.load(source)
    shape = (*image.shape[:3], 1, 1, 1)[:3]
    order, axes = orientation_of(image.affine)
    world = world_axis(axis, axes)
    arrays = [array_axis for array_axis, _ in order]
    flips = tuple(slice(None, None, -1) if flip else slice(None) for _, flip in order)
    volume = np.zeros([shape[one] for one in arrays], dtype=np.float32)
    # The reader turns both axes of the plane round and lays columns across; see there.
    turned = np.swapaxes(np.nan_to_num(plane), 0, 1)[::-1, ::-1]
    where = tuple(frame if one == world else slice(None) for one in (0, 1, 2))
    if volume[where].shape != turned.shape:
        raise UnreadableImageError(
            source,
            f"its slice has (columns, rows) {volume[where].shape}, the map {turned.shape}",
            "Read it by its own axis",
        )
    volume[where] = turned
    values = np.transpose(volume[flips], np.argsort(arrays))
    made: Any = nibabel.Nifti1Image(values, image.affine)  # type: ignore[no-untyped-call]
    for kind in ("sform", "qform"):  # which space the affine leads to: the scanner's, or an atlas's
        getattr(made, f"set_{kind}")(image.affine, code=int(image.header[f"{kind}_code"]) or 2)
    made.header["xyzt_units"] = image.header["xyzt_units"]
    with replacing(out) as partial, gzip.open(partial, "wb") as stream:
        stream.write(made.to_bytes())
