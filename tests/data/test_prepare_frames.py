"""Files with several frames: which become rows, each on its own, and how volumes and arrays are addressed."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image

from vesalius.data.doctor import doctor
from vesalius.data.prepare import prepare
from vesalius.data.prepare_job import READER_DEFAULTS
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, StoreError

GENERATOR = np.random.default_rng(0)
SIDE = 20


def run(source: Path, out: Path, **options):
    fixed = {"size": SIDE, "window": (0, 255), "workers": 1, "progress": False, "salt_file": out.parent / "salt"}
    return prepare(source, out, **(fixed | options))


def stack(frames: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, (frames, SIDE, SIDE), dtype=np.uint8)


def write_nifti(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])).to_filename(path)
    return path


def write_array(path: Path, values: np.ndarray, **others: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez_compressed(path, images=values, **others)
    else:
        with h5py.File(path, "w") as file:
            for name, array in {"images": values, **others}.items():
                file[name] = array
    return path


@pytest.mark.parametrize(
    ("frames", "expected"), [("auto", [0, 1, 2, 3]), ("first", [0]), ("middle", [2]), ("all", [0, 1, 2, 3])]
)
@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
def test_frames_of_an_array(tmp_path: Path, ending: str, frames: str, expected: list[int]) -> None:
    images = stack(4)
    write_array(tmp_path / "f" / f"stack{ending}", images)
    summary = run(tmp_path / "f", tmp_path / "s", frames=frames)
    store = open_store(tmp_path / "s")
    assert store.manifest["frame"].tolist() == expected
    np.testing.assert_array_equal(store.images[:], images[expected])
    said = [line for line in summary.warnings if "left out" in line]
    missing = f"{4 - len(expected)} frames or slices of 1 {ending} files were left out"
    assert len(said) == (len(expected) < 4)
    assert all(line.startswith(missing) for line in said)


def test_volumes_give_their_middle_slice_and_the_rest_is_counted(tmp_path: Path) -> None:
    for number in range(2):
        write_nifti(tmp_path / "f" / f"{number}.nii.gz", np.moveaxis(stack(5), 0, -1))
    write_array(tmp_path / "f" / "a.npy", stack(3))
    summary = run(tmp_path / "f", tmp_path / "s")
    manifest = open_store(tmp_path / "s").manifest
    assert manifest["frame"].tolist() == [2, 2, 0, 1, 2]
    assert "8 frames or slices of 2 .nii.gz files were left out; frames='all' (--frames all) takes every one" in (
        summary.warnings
    )


def test_each_frame_stands_alone(tmp_path: Path) -> None:
    volume = stack(6)
    volume[0], volume[4] = 0, 7
    write_nifti(tmp_path / "f" / "a.nii.gz", np.moveaxis(volume, 0, -1))
    pages = [Image.fromarray(page) for page in stack(3)]
    pages[0] = Image.fromarray(np.zeros((SIDE, SIDE), np.uint8))
    pages[0].save(tmp_path / "f" / "b.tif", save_all=True, append_images=pages[1:])
    summary = run(tmp_path / "f", tmp_path / "s", frames="all")
    store = open_store(tmp_path / "s")
    kept = store.manifest.groupby("source")["frame"].apply(list).to_dict()
    assert kept == {"a.nii.gz": [1, 2, 3, 5], "b.tif": [1, 2]}
    assert [(one.file, one.frame) for one in summary.refused] == [("a.nii.gz", 0), ("a.nii.gz", 4), ("b.tif", 0)]
    assert all("constant image" in one.reason for one in summary.refused)
    assert not any("left out" in line for line in summary.warnings)
    np.testing.assert_array_equal(store.images[0], volume[1].T)


def test_a_long_file_is_cut_into_chunks_that_are_committed(tmp_path: Path) -> None:
    images = stack(80)
    write_array(tmp_path / "f" / "a.npz", images)
    run(tmp_path / "f", tmp_path / "one")
    run(tmp_path / "f", tmp_path / "two", workers=2)
    for name in ("one", "two"):
        np.testing.assert_array_equal(open_store(tmp_path / name).images[:], images)
    assert open_store(tmp_path / "one").fingerprint == open_store(tmp_path / "two").fingerprint


def test_a_run_killed_within_a_file_goes_on_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = stack(80)
    write_array(tmp_path / "f" / "a.npy", images)
    from vesalius.data import store_writer

    whole, calls = store_writer.StoreWriter.commit, []

    def commit(self, *arguments, **options):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(1)
        whole(self, *arguments, **options)

    monkeypatch.setattr(store_writer.StoreWriter, "commit", commit)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "f", tmp_path / "s")
    monkeypatch.undo()
    summary = run(tmp_path / "f", tmp_path / "s")
    assert (summary.resumed, summary.read) == (32, 80)
    np.testing.assert_array_equal(open_store(tmp_path / "s").images[:], images)


def test_packed_arrays_are_unpacked_once(tmp_path: Path) -> None:
    from vesalius.data.read import read_image

    path = write_array(tmp_path / "a.npz", GENERATOR.integers(0, 256, (400, 128, 128), dtype=np.uint8))
    start = time.process_time()
    for frame in range(100):
        read_image(path, frame=frame)
    first = time.process_time() - start
    start = time.process_time()
    for frame in range(300, 400):
        read_image(path, frame=frame)
    last = time.process_time() - start
    assert last < 4 * first  # one by one from the beginning, the last hundred would take seven times the first


def test_volumes_of_4d_files_that_are_left_out_are_counted(tmp_path: Path) -> None:
    write_nifti(tmp_path / "f" / "a.nii.gz", GENERATOR.integers(0, 256, (SIDE, SIDE, 3, 5), dtype=np.uint8))
    summary = run(tmp_path / "f", tmp_path / "s", frames="all")
    assert summary.read == 3
    assert any("4 volumes of 1 4-D files were left out; volume (--volume)" in text for text in summary.warnings)


def test_the_axis_and_the_volume_are_chosen_and_recorded(tmp_path: Path) -> None:
    values = GENERATOR.integers(0, 256, (SIDE, 24, 28, 2), dtype=np.uint8)
    write_nifti(tmp_path / "f" / "a.nii", values)
    for axis, frames, plane in ((0, SIDE, values[10, :, :, 1]), ("coronal", 24, values[:, 12, :, 1])):
        out = tmp_path / f"s{axis}"
        run(tmp_path / "f", out, axis=axis, volume=1, size=28)
        store = open_store(out)
        assert {name: store.info["options"][name] for name in READER_DEFAULTS} == {
            "axis": axis,
            "volume": 1,
            "key": None,
        }
        row = store.manifest.iloc[0]
        assert row["frame"] == frames // 2
        assert sorted([row["original_width"], row["original_height"]]) == sorted(plane.shape)
        # the middle of an even number of slices depends on the direction they are counted in
        neighbours = [values[k, :, :, 1] for k in (9, 10)] if axis == 0 else [values[:, k, :, 1] for k in (11, 12)]
        assert any(np.array_equal(np.unique(store.images[0]), np.unique([*near.ravel(), 0])) for near in neighbours)
    with pytest.raises(StoreError, match="axis was 0, now 'axial'"):
        run(tmp_path / "f", tmp_path / "s0", volume=1, size=28)
    assert run(tmp_path / "f", tmp_path / "s0", volume=1, size=28, axis="0").already_complete


def test_a_volume_that_is_not_there_is_refused_with_the_option_to_set(tmp_path: Path) -> None:
    write_nifti(tmp_path / "f" / "a.nii", np.moveaxis(stack(5), 0, -1))
    write_array(tmp_path / "f" / "b.npy", stack(2))
    summary = run(tmp_path / "f", tmp_path / "s", volume=3, frames="all")
    assert (summary.read, len(summary.refused)) == (2, 5)
    assert "no volume 3" in summary.refused[0].reason
    assert "--volume" in summary.refused[0].advice


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_the_key_names_the_array(tmp_path: Path, ending: str) -> None:
    images, others = stack(3), stack(4)
    write_array(tmp_path / "f" / f"a{ending}", images, others=others)
    with pytest.raises(StoreError, match="2 arrays could be images"):
        run(tmp_path / "f", tmp_path / "s")
    run(tmp_path / "f", tmp_path / "s", key="others", resume=False)
    store = open_store(tmp_path / "s")
    np.testing.assert_array_equal(store.images[:], others)
    assert store.info["options"]["key"] == "others"
    assert "--key" in doctor(tmp_path / "f").refused[0].advice
    report = doctor(tmp_path / "f", key="others")
    assert (report.refused, report.rows) == ((), 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"axis": "axail"}, "did you mean 'axial'"),
        ({"axis": 3}, "axis must be"),
        ({"volume": -1}, "volume must be 0 or more"),
    ],
)
def test_an_axis_or_volume_out_of_range_is_an_error_before_the_work(tmp_path: Path, options: dict, said: str) -> None:
    write_nifti(tmp_path / "f" / "a.nii", np.moveaxis(stack(5), 0, -1))
    with pytest.raises(ConfigError, match=said):
        run(tmp_path / "f", tmp_path / "s", **options)
    with pytest.raises(ConfigError, match=said):
        doctor(tmp_path / "f", **options)
