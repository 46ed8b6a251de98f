"""A slice put back into its volume is the slice that is read there."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from vesalius.data.read_nifti import read_nifti
from vesalius.data.write_nifti import write_slice
from vesalius.errors import UnreadableImageError

SHAPE = (8, 9, 10)


def written(path: Path, codes: str) -> Path:
    values = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    affine = np.diag([0.5, 0.75, 2.0, 1.0])
    affine[:3, 3] = 10, -20, 30
    transform = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    image = nibabel.Nifti1Image(apply_orientation(values, transform), affine @ inv_ornt_aff(transform, SHAPE))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "PIL", "SLA"])
@pytest.mark.parametrize(("axis", "frame"), [("axial", 4), ("coronal", 1), ("sagittal", 3)])
def test_what_is_read_there_is_what_was_written(tmp_path: Path, codes: str, axis: str, frame: int) -> None:
    source = written(tmp_path / "volume.nii.gz", codes)
    plane = read_nifti(source, frame=frame, axis=axis).pixels
    write_slice(tmp_path / "map.nii.gz", plane, source=source, frame=frame, axis=axis)
    made, original = nibabel.load(tmp_path / "map.nii.gz"), nibabel.load(source)
    np.testing.assert_array_equal(made.affine, original.affine)
    assert made.shape == original.shape
    values = made.get_fdata()
    np.testing.assert_array_equal(values[values > 0], original.get_fdata()[values > 0])
    assert (values > 0).sum() == plane.size
    np.testing.assert_array_equal(read_nifti(tmp_path / "map.nii.gz", frame=frame, axis=axis).pixels, plane)


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "volume.nii.gz", "RAS")
    with pytest.raises(UnreadableImageError, match=r"its slice has \(columns, rows\) \(8, 9\), the map \(3, 3\)"):
        write_slice(tmp_path / "map.nii.gz", np.ones((3, 3), np.float32), source=source, frame=0)
    assert not (tmp_path / "map.nii.gz").exists()
