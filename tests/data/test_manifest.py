from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vesalius.data.manifest import check_manifest, hashed_id, read_manifest, safe_source, write_manifest
from vesalius.errors import ManifestError

LABELS = {"tb": {"kind": "binary", "classes": ["no", "yes"]}, "grade": {"kind": "ordinal", "classes": ["0", "1", "2"]}}


def table(rows: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"{row:016x}" for row in range(rows)],
            "source": [f"a/{row}.png" for row in range(rows)],
            "frame": 0,
            "sha256": "0" * 64,
            "pixel_sha256": [f"{row:064x}" for row in range(rows)],
            "patient": [f"{row:016x}" for row in range(rows)],
            "patient_known": True,
            "study": None,
            "volume": None,
            "slice_mm": None,
            "split": "train",
            "original_width": 300,
            "original_height": 200,
            "spacing_x_mm": [None, 0.175, 0.2][:rows],
            "spacing_y_mm": [None, 0.175, 0.2][:rows],
            "scale_x": 1.0,
            "scale_y": 1.0,
            "offset_x": 0.0,
            "offset_y": 0.0,
            "window_low": 0.0,
            "window_high": 255.0,
            "window_source": "range",
            "bits": 8,
            "inverted": False,
            "colour": False,
            "has_masks": False,
            "label_tb": [1, None, 0][:rows],
            "label_grade": [2, 0, None][:rows],
        }
    )


def test_types_and_missing_values_survive_the_file(tmp_path: Path) -> None:
    checked = check_manifest(table(), LABELS)
    write_manifest(tmp_path / "m.parquet", checked)
    back = read_manifest(tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(back, checked)
    assert back["label_grade"].dtype == "Int64"
    assert back["label_tb"].isna().tolist() == [False, True, False]
    assert back["spacing_x_mm"].isna().tolist() == [True, False, False]


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_manifest(tmp_path / name, check_manifest(table(), LABELS))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="patient"), "missing columns \\['patient'\\]"),
        (lambda t: t.assign(diagnosis=1), "unknown columns \\['diagnosis'\\]"),
        (lambda t: t.assign(image_id="0" * 16), "2 images are named twice, for example \\['a/1.png', 'a/2.png'\\]"),
        (lambda t: t.assign(split=["train", "dev", "test"]), "splits \\['dev'\\]"),
        (lambda t: t.assign(label_grade=[0, 1, 3]), "'grade' has values outside its 3 classes"),
        (lambda t: t.assign(label_tb=["yes", "no", "no"]), "wrong type"),
        (lambda t: t.assign(source=["a.png", "../b.png", "c.png"]), "does not stay inside"),
        (lambda t: t.assign(patient=["1", None, "2"]), "1 rows have no patient"),
    ],
)
def test_what_does_not_fit_is_named(change, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        check_manifest(change(table()), LABELS)


def test_unreadable_manifest_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ManifestError, match=r"m\.parquet.*prepare the store again"):
        read_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize("source", ["/etc/passwd", "../x.png", "a/../../x.png", "C:\\x.png", "", ".", "a\x00b"])
def test_paths_stay_inside_the_set(source: str) -> None:
    with pytest.raises(ManifestError, match="inside the data set"):
        safe_source(source)


def test_paths_are_normalised() -> None:
    assert safe_source("a\\b/./c.png") == "a/b/c.png"


def test_hashes_depend_on_salt_kind_and_every_part() -> None:
    ids = {
        hashed_id(b"salt one", "patient", "nih", "17"),
        hashed_id(b"salt two", "patient", "nih", "17"),
        hashed_id(b"salt one", "study", "nih", "17"),
        hashed_id(b"salt one", "patient", "nih1", "7"),
        hashed_id(b"salt one", "patient", "nih", "18"),
    }
    assert len(ids) == 5
    assert hashed_id(b"salt one", "patient", "nih", "17") == hashed_id(b"salt one", "patient", "nih", "17")
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in ids)
