"""What data sets as people keep them hold beside the published layout: found all the same, or told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.clinical_readings import read_clinical
from vesalius.data.adapters.listing import named_once, with_any_extension
from vesalius.data.adapters.registry import find_adapter
from vesalius.errors import DatasetError

NIH = "image,nih_finding_labels,patient_id,view,age,sex\n"


def _image(path: Path, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, dtype=np.uint8)).save(path)
    return path


def test_folders_of_other_classes_are_told(tmp_path: Path) -> None:
    for name in ("train/NORMAL/IM-1-1.png", "train/PNEUMONIA/person1_virus_1.png", "train/COVID/c.png"):
        _image(tmp_path / name)
    adapter = find_adapter("kermany", tmp_path)
    assert len(adapter.samples(tmp_path)) == 2
    assert any("folders of other classes are left out: train/COVID" in text for text in adapter.warnings)


def test_lists_of_nih_may_begin_with_a_mark(tmp_path: Path) -> None:
    rows = "".join(f"{one}.png,No Finding,{one},PA,40,F\n" for one in (1, 2))
    for one in (1, 2):
        _image(tmp_path / "images" / f"{one}.png")
    (tmp_path / "labels.csv").write_text(NIH + rows)
    (tmp_path / "train_val_list.txt").write_text("1.png\n", encoding="utf-8-sig")
    (tmp_path / "test_list.txt").write_text("2.png\n")
    assert [sample.split for sample in find_adapter("nih", tmp_path).samples(tmp_path)] == ["train", "test"]


def test_one_name_in_two_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(NIH + "1.png,No Finding,1,PA,40,F\n")
    _image(tmp_path / "images" / "1.png")
    _image(tmp_path / "images_002" / "1.png", 50)
    with pytest.raises(DatasetError, match=r"images/1.png and images_002/1.png are named alike"):
        find_adapter("nih", tmp_path).samples(tmp_path)
    with pytest.raises(DatasetError, match="named alike"):
        named_once([tmp_path / "a" / "x.png", tmp_path / "b" / "x.jpg"], lambda path: path.stem, tmp_path)


def test_masks_may_have_another_extension(tmp_path: Path) -> None:
    _image(tmp_path / "CXR_png" / "MCUCXR_0001_0.png")
    _image(tmp_path / "ManualMask" / "leftMask" / "MCUCXR_0001_0.PNG")
    _image(tmp_path / "ManualMask" / "rightMask" / "MCUCXR_0001_0.png")
    [sample] = find_adapter("montgomery", tmp_path).samples(tmp_path)
    assert set(sample.masks) == {"left_lung", "right_lung"}
    assert with_any_extension(tmp_path / "none.png") == tmp_path / "none.png"


def test_images_without_a_row_of_chexpert_are_told(tmp_path: Path) -> None:
    findings = (
        "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
        "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
    )
    head = f"Path;Sex;Age;Frontal/Lateral;AP/PA;{findings.replace(',', ';')}"
    row = "CheXpert-v1.0/train/patient00001/study1/{};Female;68;{};AP" + ";1.0" * 14
    (tmp_path / "train.csv").write_text(
        "\n".join([head, row.format("a.png", "Frontal"), row.format("b.png", "Lateral")])
    )
    for name in "abc":
        _image(tmp_path / "train/patient00001/study1" / f"{name}.png")
    adapter = find_adapter("auto", tmp_path)
    assert (adapter.name, len(adapter.samples(tmp_path))) == ("chexpert", 1)
    [told] = [text for text in adapter.warnings if "have no row" in text]
    assert told == "1 images have no row in the tables and are left out (first: train/patient00001/study1/c.png)"


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("male 45yrs\n", 45.0),
        ("Patient's Age: 027Y", 27.0),
        ("F 6 months", 0.5),
        ("male 63\nmultiple nodules", None),
        ("Age: 45\nMale", None),
        ("female 12 days old", 12 / 365.25),
        ("30 yo male", 30.0),
        ("male 3 weeks", 3 / 52.18),
    ],
)
def test_units_of_ages_are_whole_words(tmp_path: Path, text: str, age: float | None) -> None:
    (tmp_path / "reading.txt").write_text(text)
    assert read_clinical(tmp_path / "reading.txt")["age"] == pytest.approx(age)
    (tmp_path / "wide.txt").write_text(text, encoding="utf-16")
    assert read_clinical(tmp_path / "wide.txt")["age"] == pytest.approx(age)
