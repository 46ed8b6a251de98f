from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.folder import FolderAdapter
from vesalius.errors import DatasetError, ManifestError


def put(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    return path


def test_plain_folder_is_read_recursively_and_non_images_are_set_apart(tmp_path: Path) -> None:
    for name in ("a.png", "deep/er/b.png", ".hidden.png", ".cache/c.png"):
        put(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "Thumbs.db").write_text("x")
    (tmp_path / "scan").write_bytes(b"no extension: may be DICOM")
    adapter = FolderAdapter()
    found = adapter.samples(tmp_path)
    assert [sample.source for sample in found] == ["a.png", "deep/er/b.png", "scan"]
    assert set(adapter.ignored) == {".hidden.png", "Thumbs.db", "notes.txt"}
    assert all(sample.patient is None and sample.labels == {} for sample in found)


def test_csv_columns_are_guessed_and_the_guess_is_said(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        put(tmp_path / "scans" / f"{name}.png")
    (tmp_path / "table.csv").write_text(
        "File,PatientID,split,sick,grade,weight,site\n"
        "a.png,p1,train,yes,0,61.5,north\nscans/b.png,p1,train,no,1,70.25,south\nc,p2,test,,2,80,east\n"
        "gone.png,p3,val,no,1,55,north\n"
    )
    adapter = FolderAdapter()
    found = {sample.source: sample for sample in adapter.samples(tmp_path)}
    assert list(found) == ["gone.png", "scans/a.png", "scans/b.png", "scans/c.png", "scans/d.png"]
    assert found["scans/a.png"].patient == "p1"
    assert found["scans/c.png"].split == "test"
    assert found["gone.png"].split == "val"
    assert not found["gone.png"].path.exists()
    assert found["scans/a.png"].labels == {"sick": 1, "grade": 0, "weight": 61.5, "site": 1}
    assert found["scans/c.png"].labels["sick"] is None
    assert found["scans/d.png"].labels == dict.fromkeys(("sick", "grade", "weight", "site"))
    assert {name: spec.kind for name, spec in adapter.labels.items()} == {
        "sick": "binary",
        "grade": "multiclass",
        "weight": "number",
        "site": "multiclass",
    }
    assert adapter.labels["site"].classes == ("east", "north", "south")
    assert any("'File' taken as the image" in note for note in adapter.notes)
    assert any("'PatientID' taken as the patient" in note for note in adapter.notes)
    assert any("1 images of table.csv are not in the folder (first: gone.png)" in text for text in adapter.warnings)
    assert any("1 images have no row" in text for text in adapter.warnings)


def test_named_columns_win_over_guesses(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    put(tmp_path / "b.png")
    (tmp_path / "t.csv").write_text("one,two,who,y,z\na.png,b.png,k,0,5\nb.png,a.png,l,1,6\n")
    found = FolderAdapter().samples(
        tmp_path, labels_csv=tmp_path / "t.csv", image_column="two", patient_column="who", label_columns=["y"]
    )
    assert [(sample.source, sample.patient, dict(sample.labels)) for sample in found] == [
        ("a.png", "l", {"y": 1}),
        ("b.png", "k", {"y": 0}),
    ]


def test_labels_from_folders(tmp_path: Path) -> None:
    put(tmp_path / "cat" / "1.png")
    put(tmp_path / "ant" / "1.png")
    put(tmp_path / "bee" / "1.png")
    adapter = FolderAdapter()
    found = adapter.samples(tmp_path, labels_from="folders")
    assert [sample.labels["folder"] for sample in found] == [0, 1, 2]
    assert adapter.labels["folder"].classes == ("ant", "bee", "cat")


def test_folders_named_masks_pair_with_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / "images" / f"{name}.png")
        put(tmp_path / "masks" / f"{name}_mask.png", 255)
    adapter = FolderAdapter()
    found = adapter.samples(tmp_path)
    assert [sample.source for sample in found] == ["images/a.png", "images/b.png"]
    assert found[0].masks == {"mask": tmp_path / "masks" / "a_mask.png"}
    assert any("taken as masks" in note for note in adapter.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,sick\na.png,1,2\n", "row 2 has 3 cells, the header 2"),
        ("image,sick\n../x.png,1\na.png,0\n", "leads out of"),
        ("image,sick\n/etc/passwd,1\na.png,0\n", "leads out of"),
        ("image,sick\na.png,1\na.png,0\n", "'a.png' has 2 rows"),
        ("image,split\na.png,holdout\n", "split 'holdout'"),
        ("image,image\na.png,1\n", "occurs twice"),
        ("", "the table is empty"),
        ("image,sick\nq.png,1\n", "none of its 1 images"),
    ],
)
def test_malformed_tables_are_named(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(text)
    options = {"split_column": "split"} if "split" in text else {}
    if "q.png" in text:
        options = {"image_column": "image"}
    with pytest.raises(ManifestError, match=message) as caught:
        FolderAdapter().samples(tmp_path, labels_csv=tmp_path / "t.csv", **options)
    assert "t.csv" in str(caught.value)


def test_a_wrong_column_names_the_nearest(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,patient_id\na.png,1\n")
    with pytest.raises(ManifestError, match=r"no column 'patient'.*did you mean 'patient_id'"):
        FolderAdapter().samples(tmp_path, labels_csv=tmp_path / "t.csv", patient_column="patient")


def test_a_binary_file_is_no_table(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ManifestError, match="not a readable text table"):
        FolderAdapter().samples(tmp_path, labels_csv=tmp_path / "t.csv")


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "secret.png")
    root = tmp_path / "set"
    put(root / "a.png")
    (root / "link.png").symlink_to(outside)
    (root / "t.csv").write_text("image\na.png\nlink.png\n")
    with pytest.raises(ManifestError, match="through a link"):
        FolderAdapter().samples(root, labels_csv=root / "t.csv")


def test_several_tables_ask_for_a_name(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("image,y\na.png,1\n")
    with pytest.raises(DatasetError, match=r"one\.csv, two\.csv"):
        FolderAdapter().samples(tmp_path)


def test_unknown_option_and_empty_folder(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="no option 'image_colum'; did you mean 'image_column'"):
        FolderAdapter().samples(tmp_path, image_colum="x")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="no images in it"):
        FolderAdapter().samples(empty)


def test_same_stem_in_two_folders_is_not_confused(tmp_path: Path) -> None:
    put(tmp_path / "x" / "1.png")
    put(tmp_path / "y" / "1.png")
    (tmp_path / "t.csv").write_text("image,y\nx/1.png,0\ny/1.png,1\n")
    found = FolderAdapter().samples(tmp_path)
    assert [(sample.source, sample.labels["y"]) for sample in found] == [("x/1.png", 0), ("y/1.png", 1)]
