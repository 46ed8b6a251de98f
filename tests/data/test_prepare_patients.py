"""Patients, labels, splits and duplicates in a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vesalius.data.prepare import prepare
from vesalius.data.splits import ImageSplitWarning
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, ManifestError, SplitError

GENERATOR = np.random.default_rng(0)


def write_png(path: Path, pixels: np.ndarray | None = None, *, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = GENERATOR.integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


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


def kermany(folder: Path, *, leak: bool) -> Path:
    for number in range(12):
        split = "test" if number % 3 == 0 else "train"
        write_png(folder / split / "NORMAL" / f"IM-{number:04d}-0001.png")
        write_png(folder / split / "PNEUMONIA" / f"person{number}_virus_{number}.png")
    if leak:
        write_png(folder / "train" / "PNEUMONIA" / "person0_virus_99.png")
    return folder


def test_a_published_split_is_kept(tmp_path: Path) -> None:
    run(kermany(tmp_path / "set", leak=False), tmp_path / "s")
    manifest = open_store(tmp_path / "s").manifest
    assert (manifest["split"] == manifest["source"].str.split("/").str[0]).all()
    assert "val" not in set(manifest["split"])


def test_val_is_cut_out_of_train_when_asked(tmp_path: Path) -> None:
    run(kermany(tmp_path / "set", leak=False), tmp_path / "s", split="given+val")
    manifest = open_store(tmp_path / "s").manifest
    side = manifest["source"].str.split("/").str[0]
    assert ((manifest["split"] == "test") == (side == "test")).all()
    assert 1 <= (manifest["split"] == "val").sum() <= 3


def test_a_published_split_that_shares_a_patient_is_an_error_before_the_work(tmp_path: Path) -> None:
    source = kermany(tmp_path / "set", leak=True)
    with pytest.raises(SplitError, match=r"1 of 24 patients \(2 images\).*1 in test and train.*split='patient'"):
        run(source, tmp_path / "s")
    assert not (tmp_path / "s.partial").exists()
    run(source, tmp_path / "s", split="patient")
    manifest = open_store(tmp_path / "s").manifest
    assert manifest.groupby("patient")["split"].nunique().max() == 1


def test_a_random_split_must_be_named_and_warns(source: Path, tmp_path: Path) -> None:
    with pytest.warns(ImageSplitWarning):
        run(source, tmp_path / "s", split="image")
    with pytest.raises(ConfigError, match=r"split 'images'.*did you mean 'image'"):
        run(source, tmp_path / "t", split="images")
    with pytest.raises(SplitError, match="gives none for 12 of 12"):
        run(source, tmp_path / "t", split="given")


def test_labels_of_a_table_join_a_known_set(tmp_path: Path) -> None:
    source = kermany(tmp_path / "set", leak=False)
    table = tmp_path / "more.csv"
    table.write_text("image,severity\nIM-0000-0001.png,2\ntrain/NORMAL/IM-0001-0001.png,1\nperson1_virus_1,1\n")
    run(source, tmp_path / "s", labels_csv=table)
    manifest = open_store(tmp_path / "s").manifest.set_index("source")
    assert manifest["label_severity"].notna().sum() == 3
    assert manifest["label_pneumonia"].notna().all()


def test_a_table_of_a_known_set_tells_patients_under_their_usual_names(tmp_path: Path) -> None:
    source = tmp_path / "covidgr"
    for number in range(12):
        write_png(source / ("N" if number % 2 else "P") / f"i{number}.png")
    table = tmp_path / "more.csv"
    table.write_text("image,patient_id,smoker\n" + "".join(f"i{one},p{one // 4},{one % 2}\n" for one in range(12)))
    summary = run(source, tmp_path / "s", labels_csv=table)
    manifest = open_store(tmp_path / "s").manifest
    assert (summary.patients, summary.patients_unknown) == (3, 0)
    assert "label_patient_id" not in manifest
    assert manifest.groupby("patient")["split"].nunique().max() == 1


def test_images_of_a_study_stay_together_where_no_patient_is_known(tmp_path: Path) -> None:
    for number in range(12):
        write_png(tmp_path / "f" / f"{number}.png")
    rows = "".join(f"{one}.png,s{one // 3},{one % 2}\n" for one in range(12))
    (tmp_path / "f" / "t.csv").write_text(f"image,study_id,y\n{rows}")
    summary = run(tmp_path / "f", tmp_path / "s")
    manifest = open_store(tmp_path / "s").manifest
    assert (manifest["patient"].nunique(), summary.patients_unknown) == (4, 12)
    assert manifest.groupby("study")["split"].nunique().max() == 1


def test_a_split_of_some_images_is_told_to_be_drawn_anew(tmp_path: Path) -> None:
    for number in range(10):
        write_png(tmp_path / "f" / f"{number}.png")
    (tmp_path / "f" / "t.csv").write_text("image,split\n" + "".join(f"{one}.png,train\n" for one in range(9)))
    summary = run(tmp_path / "f", tmp_path / "s")
    assert any(
        "a side for 9 of 10 images (not for 9.png), so all sides are drawn anew" in text for text in summary.warnings
    )
    assert set(open_store(tmp_path / "s").manifest["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,x\na,1\n", r"no column 'image'"),
        ("image,x\nperson1_virus_1,1\nperson1_virus_1,0\n", r"1 image \('person1_virus_1'\) in more than one row"),
        (
            "image,x\n" + "".join(f"n{i},1\n" for i in range(7)),
            r"7 images \('n0', 'n1', 'n2', 'n3', 'n4', \.\.\.\) not in",
        ),
        ("image,pneumonia\nperson1_virus_1,1\n", r"already has labels \['pneumonia'\]"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "more.csv").write_text(text)
    with pytest.raises(ManifestError, match=said):
        run(kermany(tmp_path / "set", leak=False), tmp_path / "s", labels_csv=tmp_path / "more.csv")


def test_duplicates_are_left_out_listed_and_said_loudly(source: Path, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(source / "04.png"))
    write_png(source / "xx-rgb.png", np.repeat(pixels[..., None], 3, axis=2))  # other bytes, same picture
    table = pd.read_csv(source / "labels.csv")
    table.loc[len(table)] = ["xx-rgb.png", "BERTA", 1]
    table.to_csv(source / "labels.csv", index=False)
    summary = run(source, tmp_path / "s")
    found = open_store(tmp_path / "s").duplicates.to_dict("records")
    assert [(row["file"], row["duplicate_of"]) for row in found] == [("xx-rgb.png", "04.png")]
    assert (found[0]["patient_differs"], found[0]["labels_differ"]) == ("True", "True")
    assert (summary.read, summary.duplicated) == (12, 1)
    said = " ".join(summary.warnings)
    assert "have other labels" in said
    assert "belong to another patient" in said


def test_unknown_patients_are_counted_and_each_file_is_one(tmp_path: Path) -> None:
    np.save(write_png(tmp_path / "f" / "a.png").with_suffix(".npy"), GENERATOR.random((3, 20, 20)))
    write_png(tmp_path / "f" / "b.png")
    summary = run(tmp_path / "f", tmp_path / "s", frames="all")
    manifest = open_store(tmp_path / "s").manifest
    assert not manifest["patient_known"].any()
    assert manifest.groupby("source")["patient"].nunique().tolist() == [1, 1, 1]
    assert manifest["patient"].nunique() == 3
    assert (summary.patients, summary.patients_unknown) == (3, 5)
    assert "5 of 5 images have no known patient" in " ".join(summary.warnings)


def test_nothing_but_the_source_column_names_a_patient(source: Path, tmp_path: Path) -> None:
    write_png(source / "zz.png", np.asarray(Image.open(source / "00.png")))  # a duplicate, listed
    table = pd.read_csv(source / "labels.csv")
    table.loc[len(table)] = ["zz.png", "ANNA-9", 1]
    table.to_csv(source / "labels.csv", index=False)
    run(source, tmp_path / "s")
    for path in (tmp_path / "s").iterdir():
        assert b"ANNA" not in path.read_bytes()
    assert "ANNA" not in open_store(tmp_path / "s").manifest.to_csv()


def test_one_salt_gives_one_patient_one_name_in_two_stores(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "a")
    run(source, tmp_path / "b", size=20)
    run(source, tmp_path / "c", salt_file=tmp_path / "other")
    first, second, third = (set(open_store(tmp_path / name).manifest["patient"]) for name in "abc")
    assert first == second
    assert not first & third


def test_the_salt_lies_beside_the_store_by_default(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "s", salt_file=None)
    assert (tmp_path / "s.salt").exists()
    assert not [path for path in (tmp_path / "s").iterdir() if "salt" in path.name]
