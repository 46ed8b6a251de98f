"""A disk that is too small, and one that fills up under way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.array_writer import ArrayLayout, human_bytes
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.data.store_writer import StoreWriter
from vesalius.errors import StoreError

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 256, 256), dtype=np.uint8)


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(PIXELS[number]).save(folder / f"{number:02d}.png", compress_level=1)
    return folder


def test_too_little_room_is_said_before_the_work(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    source, disk = write_images(tmp_path / "source", 40), small_disk(2)
    with pytest.raises(StoreError, match=r"about 2\.8 MB are needed, 2\.\d MB are free.*already decoded is kept"):
        prepare(source, disk / "s", size=256, workers=1, progress=False)
    prepare(source, disk / "t", size=64, workers=1, progress=False)
    assert len(open_store(disk / "t")) == 40


def commit_all(writer: StoreWriter, first: int) -> None:
    for start in range(first, 20, 4):
        writer.commit({"images": PIXELS[start : start + 4]}, {}, needed_bytes=1_310_720)


def test_a_disk_that_fills_up_loses_nothing(small_disk: Callable[[int], Path]) -> None:
    disk, layouts = small_disk(2), [ArrayLayout(name="images", row_shape=(256, 256), dtype="uint8")]
    other = disk / "someone-elses.bin"
    other.write_bytes(b"x" * 1_000_000)
    with StoreWriter(disk / "s", plan={}, layouts=layouts) as writer:
        with pytest.raises(StoreError, match=r"disk is full \(No space left on device\).*1\.3 MB more.*goes on where"):
            commit_all(writer, 0)
        done = writer.rows
    assert 4 <= done < 20
    other.unlink()
    with StoreWriter(disk / "s", plan={}, layouts=layouts) as writer:
        assert writer.rows == done
        commit_all(writer, done)
        arrays = writer._arrays[0].finish()
    stored = np.load(disk / "s.partial" / arrays["shards"][0]["file"])
    np.testing.assert_array_equal(stored, PIXELS[:20])


LIMITED = """
import resource, sys
from vesalius.data.prepare import prepare
from vesalius.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (2_200_000, 2_200_000))
try:
    prepare(sys.argv[1], sys.argv[2], size=256, workers=1, progress=False)
except StoreError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_stops_with_advice_and_resumes(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 40)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(source), str(tmp_path / "s")], capture_output=True, text=True, check=True
    )
    assert "the disk is full (File too large)" in done.stdout
    assert "it goes on where it stopped" in done.stdout
    assert not (tmp_path / "s").exists()
    summary = prepare(source, tmp_path / "s", size=256, workers=1, progress=False)
    assert (summary.read, summary.resumed) == (40, 32)
    np.testing.assert_array_equal(open_store(tmp_path / "s").images[:], PIXELS)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    layouts = [ArrayLayout(name="images", row_shape=(8, 8), dtype="uint8")]
    with pytest.raises(StoreError, match=r"cannot be written.*choose another --out"):
        StoreWriter(tmp_path / "file" / "s", plan={}, layouts=layouts)


def test_rows_of_another_shape_are_not_written(tmp_path: Path) -> None:
    layouts = [ArrayLayout(name="images", row_shape=(8, 8), dtype="uint8")]
    with StoreWriter(tmp_path / "s", plan={}, layouts=layouts) as writer:
        with pytest.raises(ValueError, match="do not fit"):
            writer.commit({"images": PIXELS[:1]}, {}, needed_bytes=0)
        assert (writer.rows, writer.chunks) == (0, 0)


@pytest.mark.parametrize(("count", "shown"), [(999, "999 B"), (1_400_000, "1.4 MB"), (2.5e12, "2.5 TB")])
def test_bytes_for_people(count: float, shown: str) -> None:
    assert human_bytes(count) == shown
