from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from vesalius.data.prepare import prepare
from vesalius.data.prepare_summary import summary_table
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, DatasetError, StoreError

GENERATOR = np.random.default_rng(0)


def write_png(path: Path, pixels: np.ndarray | None = None, *, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = GENERATOR.integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve images of six patients with labels, in a table."""
    folder = tmp_path / "source"
    names = [write_png(folder / f"{number:02d}.png").name for number in range(12)]
    patients = [f"ANNA-{number // 2}" for number in range(12)]
    tb = [number % 2 for number in range(12)]
    pd.DataFrame({"image": names, "patient": patients, "tb": tb}).to_csv(folder / "labels.csv", index=False)
    return folder


def run(source: Path, out: Path, **options):
    options = {"size": 16, "workers": 1, "progress": False, "salt_file": out.parent / "salt"} | options
    return prepare(source, out, **options)


def test_a_folder_becomes_a_store(source: Path, tmp_path: Path) -> None:
    summary = run(source, tmp_path / "s")
    store = open_store(tmp_path / "s")
    store.verify()
    assert (summary.read, summary.duplicated, summary.refused, summary.store) == (12, 0, (), tmp_path / "s")
    assert store.images.shape == (12, 16, 16)
    assert store.labels["tb"]["kind"] == "binary"
    assert store.manifest["label_tb"].tolist() == [number % 2 for number in range(12)]
    assert store.manifest["source"].tolist() == [f"{number:02d}.png" for number in range(12)]
    assert store.manifest.groupby("patient").size().tolist() == [2] * 6
    assert store.manifest.groupby("patient")["split"].nunique().eq(1).all()
    assert set(store.manifest["split"]) == {"train", "val", "test"}
    assert store.manifest["sha256"][3] == hashlib.sha256((source / "03.png").read_bytes()).hexdigest()
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600


def test_rows_are_the_images_they_say(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "s", size=24)
    store = open_store(tmp_path / "s")
    for row in range(12):
        np.testing.assert_array_equal(store.images[row], np.asarray(Image.open(source / f"{row:02d}.png")))


def test_the_same_bytes_for_any_number_of_workers(source: Path, tmp_path: Path) -> None:
    for number in range(70):
        write_png(source / "more" / f"{number:02d}.png")
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_workers_import_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, vesalius.data.prepare_worker; print(sorted({'torch', 'pandas', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def write_bad_files(folder: Path) -> dict[str, str]:
    """Write one file a kind of damage and return what the refusal must say."""
    folder.mkdir()
    whole = write_png(folder / "good.png", side=100).read_bytes()
    (folder / "really-a-png.jpg").write_bytes(write_png(folder / "tmp.png").read_bytes())
    (folder / "tmp.png").unlink()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not at all an image, but long enough to look like one" * 9)
    write_png(folder / "pixel.png", side=1)
    (folder / "bomb.png").write_bytes(huge_png())
    write_png(folder / "black.png", np.zeros((30, 30), np.uint8))
    nan = np.ones((30, 30), np.float32)
    nan[3, 4] = np.nan
    np.save(folder / "nan.npy", nan)
    return {
        "truncated.png": "truncated",
        "empty.png": "empty file",
        "text.png": "not an image",
        "pixel.png": "too small",
        "bomb.png": "too large",
        "black.png": "constant",
        "nan.npy": "not finite",
    }


def test_bad_files_are_refused_by_name_and_the_rest_is_read(tmp_path: Path) -> None:
    expected = write_bad_files(tmp_path / "bad")
    summary = run(tmp_path / "bad", tmp_path / "s")
    store = open_store(tmp_path / "s")
    assert store.manifest["source"].tolist() == ["good.png", "really-a-png.jpg"]
    refused = store.refused.set_index("file")
    assert set(refused.index) == set(expected)
    for name, reason in expected.items():
        assert reason in refused.loc[name, "reason"]
        assert refused.loc[name, "advice"]
    assert sum(summary.reasons.values()) == len(summary.refused) == len(expected)
    console = Console(width=100, record=True, file=(tmp_path / "log").open("w"))
    console.print(summary_table(summary))
    console.file.close()
    shown = console.export_text()
    assert "too small" in shown
    assert "refused (refused.csv)" in shown


def test_a_set_of_bad_files_only_makes_no_store(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"")
    with pytest.raises(StoreError, match=r"none of 1 images could be read.*empty file"):
        run(tmp_path / "bad", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_missing_or_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        run(tmp_path / "none", tmp_path / "s")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no images"):
        run(tmp_path / "empty", tmp_path / "s")


def test_sixteen_bits_keep_the_range_of_twelve(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 40 * 40).reshape(40, 40).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "f.png")
    (tmp_path / "f").mkdir()
    (tmp_path / "f.png").rename(tmp_path / "f" / "a.png")
    run(tmp_path / "f", tmp_path / "s", bits=16, size=40, window=(0, 4095))
    store = open_store(tmp_path / "s")
    assert store.dtype == np.uint16
    assert (store.images[0].min(), store.images[0].max()) == (0, 65535)
    assert len(np.unique(store.images[0])) == len(np.unique(ramp))


def test_colour_is_found_by_probing_and_gray_in_rgb_is_gray(tmp_path: Path) -> None:
    gray = GENERATOR.integers(0, 256, (20, 20), dtype=np.uint8)
    write_png(tmp_path / "f" / "a.png", np.repeat(gray[..., None], 3, axis=2))
    run(tmp_path / "f", tmp_path / "gray", size=20)
    store = open_store(tmp_path / "gray")
    assert store.channels == 1
    np.testing.assert_array_equal(store.images[0], gray)
    colour = GENERATOR.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    write_png(tmp_path / "f" / "b.png", colour)
    run(tmp_path / "f", tmp_path / "rgb", size=20)
    store = open_store(tmp_path / "rgb")
    assert store.channels == 3
    assert store.manifest["colour"].tolist() == [False, True]
    np.testing.assert_array_equal(store.images[1], colour)
    np.testing.assert_array_equal(store.images[0], np.repeat(gray[..., None], 3, axis=2))
    run(tmp_path / "f", tmp_path / "forced", size=20, channels=1)
    luminance = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    assert np.abs(open_store(tmp_path / "forced").images[1].astype(int) - luminance).max() <= 1


def test_masks_lie_where_the_image_lies(tmp_path: Path) -> None:
    folder = tmp_path / "MontgomerySet"
    for number in range(3):
        pixels = GENERATOR.integers(0, 30, (40, 60), dtype=np.uint8)
        left, right = np.zeros((2, 40, 60), np.uint8)
        left[8:30, 36:50], right[8:30, 6:20] = 255, 255
        pixels[left > 0], pixels[right > 0] = 250, 150
        name = f"MCUCXR_000{number}_{number % 2}.png"
        write_png(folder / "CXR_png" / name, pixels)
        if number == 2:
            continue
        # A mask may be half the image's size, but not of other proportions.
        write_png(folder / "ManualMask" / "leftMask" / name, left[::2, ::2] if number == 0 else left[:, :40])
        write_png(folder / "ManualMask" / "rightMask" / name, right)
    run(folder, tmp_path / "s", size=60)
    store = open_store(tmp_path / "s")
    parts = store.info["arrays"]["masks"]["parts"]
    assert parts == ["background", "left_lung", "right_lung"]
    assert store.manifest["has_masks"].tolist() == [True, False, False]
    image, mask = store.images[0], store.array("masks")[0]
    assert (image[mask == parts.index("left_lung")] > 200).all()
    assert (np.abs(image[mask == parts.index("right_lung")].astype(int) - 150) < 40).all()
    assert (mask > 0).sum() == 2 * 22 * 14
    assert not store.array("masks")[1].any()
    assert store.refused["reason"].str.contains(
        r"its mask \(MCUCXR_0001_1.png\): mask is 40 x 40, its image 60 x 40"
    ).tolist() == [True]


def test_a_complete_store_is_left_alone(source: Path, tmp_path: Path) -> None:
    first = run(source, tmp_path / "s")
    before = digest(tmp_path / "s")
    again = run(source, tmp_path / "s")
    assert again.already_complete
    assert (again.read, again.splits) == (first.read, first.splits)
    with pytest.raises(StoreError, match=r"already exists, made with other settings: size was 16, now 20"):
        run(source, tmp_path / "s", size=20)
    with pytest.raises(StoreError, match="seed was 0, now 1"):
        run(source, tmp_path / "s", seed=1)
    write_png(source / "new.png")
    with pytest.raises(StoreError, match="files was 12, now 13"):
        run(source, tmp_path / "s")
    with pytest.raises(StoreError, match="remove it first"):
        run(source, tmp_path / "s", resume=False)
    assert digest(tmp_path / "s") == before


def test_the_source_is_never_written_to(source: Path) -> None:
    with pytest.raises(StoreError, match="lies inside the data set"):
        run(source, source / "store")
    assert not (source / "store").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 4}, "size must be 8 to 4096"),
        ({"bits": 12}, "bits must be 8 or 16"),
        ({"fit": "padd"}, "did you mean 'pad'"),
        ({"channels": 2}, "channels must be auto, 1 or 3"),
        ({"window": "percentile"}, "did you mean 'percentiles'"),
        ({"frames": "last"}, "frames must be"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"engine": "loca"}, "did you mean 'local'"),
    ],
)
def test_options_out_of_range_say_what_would_do(source: Path, tmp_path: Path, options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(source, tmp_path / "s", **options)


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("dask://host:8786", "distributed")])
def test_an_engine_that_is_not_installed_is_named(source: Path, tmp_path: Path, engine: str, package: str) -> None:
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(ConfigError, match=r"not installed.*vesalius\[cluster\]"):
            run(source, tmp_path / "s", engine=engine)
    else:
        pytest.skip(f"{package} is installed")


def test_progress_goes_to_stderr_and_says_the_cost_first(source: Path, tmp_path: Path, capsys) -> None:
    run(source, tmp_path / "s", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "12 images; the store will take about" in err


@pytest.mark.real
def test_real_masks_and_labels(real_data: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = run(real_data / "montgomery", tmp_path / "s", size=64)
    store = open_store(tmp_path / "s")
    assert (summary.read, len(summary.refused)) == (76, 0)
    masks = store.array("masks")[:]
    columns = np.arange(64)
    left = (masks == 1).sum(axis=(0, 1)) @ columns / (masks == 1).sum()
    right = (masks == 2).sum(axis=(0, 1)) @ columns / (masks == 2).sum()
    assert right < 32 < left  # the patient's right lung is on the image's left
    assert store.manifest["label_tb"].notna().all()
