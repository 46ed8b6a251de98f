"""Which column of a table is what, and which tables are read at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.folder import FolderAdapter
from vesalius.errors import ManifestError


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(6, dtype=np.uint8)).save(root / name)
    return root


def test_the_likeliest_name_is_the_patient_not_the_first_column(tmp_path: Path) -> None:
    _folder(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "t.csv").write_text("image,case,patient_id,y\na.png,1,p,0\nb.png,2,q,1\nc.png,3,r,1\n")
    adapter = FolderAdapter()
    assert [sample.patient for sample in adapter.samples(tmp_path)] == ["p", "q", "r"]
    assert any("column 'patient_id' taken as the patient" in note for note in adapter.notes)
    assert "case" in adapter.labels


def test_two_columns_that_group_otherwise_are_asked_about(tmp_path: Path) -> None:
    _folder(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "t.csv").write_text("image,case,patient_id,y\na.png,1,p,0\nb.png,2,p,1\nc.png,3,r,1\n")
    with pytest.raises(ManifestError, match=r"columns 'patient_id' and 'case' may both be the patient.*patient_column"):
        FolderAdapter().samples(tmp_path)
    assert [one.patient for one in FolderAdapter().samples(tmp_path, patient_column="patient_id")] == ["p", "p", "r"]


def test_a_fold_beside_a_split_is_no_split(tmp_path: Path) -> None:
    _folder(tmp_path, "a.png", "b.png")
    (tmp_path / "t.csv").write_text("image,fold,split\na.png,0,train\nb.png,1,test\n")
    assert [sample.split for sample in FolderAdapter().samples(tmp_path)] == ["train", "test"]


def test_cells_that_say_nothing_are_no_patient(tmp_path: Path) -> None:
    _folder(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "t.csv").write_text("image,patient\na.png,nan\nb.png,NA\nc.png,7\n")
    assert [sample.patient for sample in FolderAdapter().samples(tmp_path)] == [None, None, "7"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "﻿image;patient;y\n1.2.840.1;p1;1\nb;p2;0\n"),
        ("t.csv", "image,patient,y\n 1.2.840.1 ,p1,1\nb.png ,p2,0\n"),
        ("T.CSV", "image,patient,y\n1.2.840.1.png,p1,1\nb.png,p2,0\n"),
        ("t.tsv", "image\tpatient\ty\n1.2.840.1\tp1\t1\nb\tp2\t0\n"),
    ],
)
def test_tables_as_programs_write_them(tmp_path: Path, name: str, text: str) -> None:
    _folder(tmp_path, "1.2.840.1.png", "b.png")
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = FolderAdapter().samples(tmp_path)
    assert [(one.source, one.patient, one.labels) for one in found] == [
        ("1.2.840.1.png", "p1", {"y": 1}),
        ("b.png", "p2", {"y": 0}),
    ]


def test_a_table_that_names_no_image_is_told(tmp_path: Path) -> None:
    _folder(tmp_path, "001.png")
    (tmp_path / "t.csv").write_text("id,y\n1,0\n")
    adapter = FolderAdapter()
    assert adapter.samples(tmp_path)[0].labels == {}
    assert any("t.csv names no image of the folder (its columns: id, y)" in text for text in adapter.warnings)


def test_long_texts_are_no_paths(tmp_path: Path) -> None:
    _folder(tmp_path, "a.png")
    (tmp_path / "t.csv").write_text(f"image,report\na.png,{'long text ' * 300}\n")
    assert FolderAdapter().samples(tmp_path)[0].labels
