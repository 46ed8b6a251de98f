from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vesalius.data.doctor import doctor
from vesalius.data.doctor_report import report_tables
from vesalius.errors import DatasetError

GENERATOR = np.random.default_rng(0)


def write_png(path: Path, pixels: np.ndarray | None = None, *, shape: tuple[int, ...] = (24, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = GENERATOR.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.stat()
        found[str(path)] = (about.st_mtime_ns, about.st_mode, path.read_bytes() if path.is_file() else b"")
    return found


def shown(report, tmp_path: Path) -> str:
    with (tmp_path / "log.txt").open("w") as log:
        console = Console(width=160, record=True, file=log)
        console.print(report_tables(report))
        return console.export_text()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "mixed"
    good = write_png(folder / "a.png")
    (folder / "b.jpg").write_bytes(good.read_bytes())  # the same bytes, and a PNG
    write_png(folder / "c.png", shape=(100, 60))
    write_png(folder / "colour.png", shape=(30, 30, 3))
    bright = np.full((64, 64), 250, np.uint8)
    bright[16:48, 16:48] = GENERATOR.integers(0, 90, (32, 32))
    write_png(folder / "negative.png", bright)
    Image.fromarray(GENERATOR.integers(0, 4096, (40, 40)).astype(np.uint16)).save(folder / "deep.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello " * 200)
    whole = write_png(folder / "cut.png", shape=(200, 200)).read_bytes()
    (folder / "cut.png").write_bytes(whole[:9000])
    write_png(folder / "pixel.png", shape=(1, 1))
    np.save(folder / "stack.npy", GENERATOR.random((5, 30, 30)))
    (folder / "readme.txt").write_text("hello")
    return folder


def test_it_finds_what_is_there(mixed: Path, tmp_path: Path) -> None:
    report = doctor(mixed)
    assert (report.dataset, report.images, report.frames) == ("folder", 11, 13)
    reasons = {refusal.file: refusal.kind for refusal in report.refused}
    assert set(reasons) == {"empty.png", "text.png", "cut.png", "pixel.png"}
    assert reasons["empty.png"] == "empty file"
    assert report.types == {"png": 8, "npy": 1, "unknown": 1}
    assert report.misnamed == (("b.jpg", "png"),)
    assert report.duplicates == (("b.jpg", "a.png"),)
    assert report.sizes[0] == (24, 24)
    assert report.coloured == 1
    assert report.bright_background == 1
    assert (report.decoded, report.rows) == (7, 11)  # every one of the five images of the array
    assert report.bits[16] == 1
    assert (report.patients, report.patients_unknown) == (0, 11)
    assert report.ignored == 1
    assert report.store_bytes == 11 * 256 * 256 * 3
    assert report.problems == ()
    text = shown(report, tmp_path)
    assert "b.jpg is png" in text
    assert "empty file" in text


def test_it_agrees_with_prepare(mixed: Path, tmp_path: Path) -> None:
    from vesalius.data.prepare import prepare

    summary = prepare(mixed, tmp_path / "s", size=16, workers=1, progress=False)
    report = doctor(mixed)
    assert {(r.file, r.reason) for r in summary.refused} == {(r.file, r.reason) for r in report.refused}
    assert summary.read + summary.duplicated == report.rows


def test_it_changes_nothing(mixed: Path) -> None:
    before = snapshot(mixed)
    doctor(mixed)
    assert snapshot(mixed) == before


def test_it_names_the_set_its_labels_and_a_shared_patient(tmp_path: Path) -> None:
    folder = tmp_path / "chest_xray"
    for split in ("train", "test"):
        write_png(folder / split / "NORMAL" / f"IM-{len(split)}-0001.png")
        write_png(folder / split / "PNEUMONIA" / "person7_virus_1.png")
    write_png(folder / "extra" / "stray.png")
    report = doctor(folder)
    assert report.dataset == "kermany"
    assert report.labels["pneumonia"] == {"no": 2, "yes": 2}
    assert report.splits == {"train": 2, "test": 2}
    assert report.patients == 3
    assert report.unnamed == ("extra/stray.png",)
    assert "1 of 3 patients" in report.problems[0]
    assert "person7" not in report.problems[0]
    assert "would stop prepare: 1 of 3 patients" in shown(report, tmp_path)


def test_a_broken_table_is_a_problem_not_the_end(tmp_path: Path) -> None:
    write_png(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "labels.csv").write_text("image,tb\na.png,1\na.png,0\n")
    report = doctor(tmp_path / "set")
    assert report.images == 1
    assert "a.png" in report.problems[0]


def test_an_empty_and_a_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = doctor(tmp_path / "empty")
    assert report.images == 0
    assert report.problems
    shown(report, tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        doctor(tmp_path / "none")


def test_only_some_files_of_many_are_decoded(tmp_path: Path) -> None:
    for number in range(30):
        write_png(tmp_path / "set" / f"{number:02d}.png")
    report = doctor(tmp_path / "set", decode=10)
    assert (report.images, report.decoded) == (30, 10)


@pytest.mark.real
def test_four_thousand_real_files_in_seconds(real_data: Path) -> None:
    import time

    start = time.process_time()
    report = doctor(real_data / "chest_xray")
    assert time.process_time() - start < 20
    assert (report.dataset, report.images, report.refused) == ("kermany", 3665, ())
