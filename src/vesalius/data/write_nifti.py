"""Volumes of NIfTI: a slice that was looked at, back in that of its file, and one of slices of a store."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float, UInt

from vesalius.atomic import replacing
from vesalius.data.read_nifti import orientation_of, world_axis
from vesalius.errors import UnreadableImageError

__all__ = ["write_slice", "write_volume"]


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
    _write(out, made)


def write_volume(
    out: Path, slices: UInt[np.ndarray, "slices rows columns"], *, spacing_mm: tuple[float, float, float]
) -> None:
    """Write slices as a NIfTI volume whose axes are those that axial slices are displayed by.

    Columns run to the patient's left, rows to posterior and slices to superior; stores do not keep other directions.

    Args:
        out: `.nii.gz`, replaced whole.
        slices: In their order.
        spacing_mm: (slice, row, column) distance.
    """
    along, row, column = spacing_mm
    affine = np.diag([-column, -row, along, 1.0])
    made: Any = nibabel.Nifti1Image(np.transpose(slices), affine)  # type: ignore[no-untyped-call]
    made.set_qform(affine, code=2)
    made.header.set_xyzt_units("mm")
    _write(out, made)


def _write(out: Path, made: Any) -> None:
    with replacing(out) as partial, gzip.open(partial, "wb") as stream:
        stream.write(made.to_bytes())
