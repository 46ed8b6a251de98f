"""HDF5, NPZ and NPY: shapes, keys, and what must never be read."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from vesalius.data.read import count_frames, read_image
from vesalius.errors import UnreadableImageError

STACK = np.random.default_rng(0).integers(0, 4096, (5, 20, 24)).astype(np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 20, 24, 3)).astype(np.uint8)


def write(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values, compression="gzip" if values.ndim > 2 else None)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        np.save(path, arrays["x"])
    return path


@pytest.fixture(params=["h5", "npz", "npy"])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("big", [False, True])
def test_frames_of_a_stack(tmp_path: Path, suffix: str, big: bool) -> None:
    stack = STACK.astype(">u2") if big else STACK
    path = write(tmp_path / f"a.{suffix}", x=stack)
    assert count_frames(path) == 5
    image = read_image(path, frame=3)
    np.testing.assert_array_equal(image.pixels, STACK[3])
    assert (image.frame, image.frames, image.window.source) == (3, 5, "percentiles")
    with pytest.raises(UnreadableImageError, match="no frame 5"):
        read_image(path, frame=5)


@pytest.mark.parametrize(
    ("values", "frames", "expected"),
    [
        (COLOUR, 5, COLOUR[1]),
        (np.moveaxis(COLOUR, -1, 1), 5, COLOUR[1]),
        (STACK[..., None], 5, STACK[1]),
        (STACK[:, None], 5, STACK[1]),
        (np.concatenate([COLOUR, COLOUR[..., :1]], -1), 5, COLOUR[1]),
        (COLOUR[1], 1, COLOUR[1]),
        (STACK[1], 1, STACK[1]),
        (np.asfortranarray(STACK), 5, STACK[1]),
        (STACK > 2000, 5, STACK[1] > 2000),
        (STACK.astype(np.float64), 5, STACK[1]),
    ],
)
def test_shapes(tmp_path: Path, suffix: str, values: np.ndarray, frames: int, expected: np.ndarray) -> None:
    path = write(tmp_path / f"a.{suffix}", x=values)
    assert count_frames(path) == frames
    np.testing.assert_array_equal(read_image(path, frame=1 if frames > 1 else 0).pixels, expected)


@pytest.mark.parametrize("ending", ["h5", "npz"])
def test_keys(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", images=STACK, others=STACK + 1, y=np.arange(5))
    np.testing.assert_array_equal(read_image(path, key="others").pixels, STACK[0] + 1)
    with pytest.raises(UnreadableImageError, match="2 arrays could be images: images, others, y"):
        read_image(path)
    with pytest.raises(UnreadableImageError, match="did you mean 'images'"):
        read_image(path, key="image")
    one = write(tmp_path / f"b.{ending}", images=STACK, y=np.arange(5))
    np.testing.assert_array_equal(read_image(one).pixels, STACK[0])


def test_nan_and_shapes_that_are_no_image(tmp_path: Path, suffix: str) -> None:
    values = STACK.astype(np.float32)
    values[0, 2, 2] = np.nan
    values[1] = np.nan
    path = write(tmp_path / f"a.{suffix}", x=values)
    with pytest.raises(UnreadableImageError, match="not finite: 1 of 480"):
        read_image(path)
    with pytest.raises(UnreadableImageError, match="every pixel is NaN"):
        read_image(path, frame=1)
    assert read_image(path, frame=2).pixels.dtype == np.float32
    for bad in (np.zeros((2, 3, 4, 9, 9)), np.zeros((3, 20, 24, 7)), np.zeros((9, 9), np.complex64)):
        with pytest.raises(UnreadableImageError, match=r"is no image|could be images"):
            read_image(write(tmp_path / f"b.{suffix}", x=bad))


def test_pickles_are_never_read(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (Path.touch, (tmp_path / "fired",))  # type: ignore[return-value]

    values = np.empty((9, 9), object)
    values[:] = Bomb()
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=values)
    assert pickle.dumps(Bomb())
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UnreadableImageError, match="pickled Python objects"):
            read_image(tmp_path / name)
    assert not (tmp_path / "fired").exists()


def test_bombs_are_refused_from_the_header(tmp_path: Path) -> None:
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (100_000, 100_000)})
    (tmp_path / "a.npy").write_bytes(member.getvalue() + bytes(100))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", member.getvalue() + bytes(100))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (100_000, 100_000), "u1", chunks=(1000, 1000))
    for name in ("a.npy", "a.npz", "a.h5"):
        with pytest.raises(UnreadableImageError, match="too large: the header says 100000 x 100000"):
            read_image(tmp_path / name)


def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", x=STACK)
    data = path.read_bytes()
    for share in (0.02, 0.4, 0.95):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableImageError):
            read_image(path, frame=4)


def test_hdf5_never_leaves_its_file(tmp_path: Path) -> None:
    write(tmp_path / "secret.h5", x=STACK)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("secret.h5", "/x")
    with pytest.raises(UnreadableImageError, match="0 arrays"):
        read_image(tmp_path / "a.h5")
    with pytest.raises(UnreadableImageError, match="no array 'link'"):
        read_image(tmp_path / "a.h5", key="link")
    layout = h5py.VirtualLayout(shape=STACK.shape, dtype=STACK.dtype)
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", shape=STACK.shape)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    with pytest.raises(UnreadableImageError, match="lie in other files"):
        read_image(tmp_path / "b.h5")
