from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.data.adapters.chexpert import CHEXPERT_FINDINGS, CheXpertAdapter
from vesalius.data.adapters.registry import ADAPTERS, find_adapter
from vesalius.errors import DatasetError, ManifestError

CHEXPERT_HEAD = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT_FINDINGS)
NIH_HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_kermany(tmp_path: Path) -> None:
    base = tmp_path / "chest_xray"
    touch(base / "train/NORMAL/IM-0115-0001.jpeg")
    touch(base / "train/PNEUMONIA/person7_bacteria_3.jpeg")
    touch(base / "train/PNEUMONIA/BACTERIA-1234567-0001.jpeg")
    touch(base / "test/NORMAL/NORMAL2-IM-0115-0001-0002.jpeg")
    touch(base / "test/PNEUMONIA/person7_virus_9.jpeg")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "kermany"
    found = {sample.path.name: sample for sample in adapter.samples(tmp_path)}
    assert found["person7_virus_9.jpeg"].source == "chest_xray/test/PNEUMONIA/person7_virus_9.jpeg"
    assert found["person7_virus_9.jpeg"].labels == {"pneumonia": 1, "subtype": 2}
    assert found["person7_virus_9.jpeg"].patient == found["person7_bacteria_3.jpeg"].patient == "person7"
    assert found["BACTERIA-1234567-0001.jpeg"].labels == {"pneumonia": 1, "subtype": 1}
    assert found["IM-0115-0001.jpeg"].labels == {"pneumonia": 0, "subtype": 0}
    assert {sample.split for sample in found.values()} == {"train", "test"}
    apart = {s.path.name: s.patient for s in adapter.samples(tmp_path, person_scope="split")}
    assert apart["person7_virus_9.jpeg"] != apart["person7_bacteria_3.jpeg"]


def test_nih_original_table(tmp_path: Path) -> None:
    touch(tmp_path / "images_001/images/00000001_000.png")
    touch(tmp_path / "images_002/images/00000002_000.png")
    touch(tmp_path / "images_002/images/00000009_000.png")
    touch(
        tmp_path / "Data_Entry_2017.csv",
        f"{NIH_HEAD}\n00000001_000.png,Cardiomegaly|Effusion,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
        "00000002_000.png,No Finding,0,2,411,F,AP,2500,2048,0.168,0.168,\n"
        "00000003_000.png,Hernia,0,3,81,F,PA,2500,2048,0.168,0.168,\n",
    )
    touch(tmp_path / "test_list.txt", "00000002_000.png\n")
    touch(tmp_path / "train_val_list.txt", "00000001_000.png\n")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "nih"
    first, second, third = adapter.samples(tmp_path)
    assert first.labels["cardiomegaly"] == first.labels["effusion"] == first.labels["any_finding"] == 1
    assert first.labels["hernia"] == 0
    assert (first.labels["sex"], first.labels["age"], first.labels["view"]) == (1, 58.0, 0)
    assert (first.patient, first.split, second.split, third.split) == ("1", "train", "test", None)
    assert second.labels["any_finding"] == 0
    assert second.labels["age"] is None
    assert not third.path.exists()
    assert len([name for name, spec in adapter.labels.items() if spec.kind == "binary"]) == 17
    assert any("1 images have no row" in text for text in adapter.warnings)
    assert any("1 images of Data_Entry_2017.csv are not in the folder" in text for text in adapter.warnings)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,Cardiomegalie,1,PA,4,F", "unknown finding 'Cardiomegalie'; did you mean 'Cardiomegaly'"),
        ("../a.png,Hernia,1,PA,4,F", "expected a plain file name"),
        ("b.png,Hernia,1,PA,4,F\nb.png,Hernia,1,PA,4,F", "has two rows"),
    ],
)
def test_nih_bad_rows(tmp_path: Path, row: str, message: str) -> None:
    touch(tmp_path / "labels.csv", f"image,nih_finding_labels,patient_id,view,age,sex\n{row}\n")
    with pytest.raises(ManifestError, match=message):
        find_adapter("nih", tmp_path).samples(tmp_path)


def make_chexpert(root: Path) -> Path:
    cells = ["1.0", "0.0", "-1.0", "", *[""] * 10]
    rows = [
        ("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg", "Frontal", "AP"),
        ("CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg", "Lateral", ""),
        ("CheXpert-v1.0-small/train/patient00002/study3/view1_frontal.jpg", "Frontal", "PA"),
    ]
    lines = [f"{path},Female,68,{view},{side},{','.join(cells)}" for path, view, side in rows]
    touch(root / "train.csv", "\n".join([CHEXPERT_HEAD, *lines]) + "\n")
    valid = "CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg"
    touch(root / "valid.csv", f"{CHEXPERT_HEAD}\n{valid},Male,73,Frontal,AP,{','.join(['1.0'] * 14)}\n")
    return root


@pytest.mark.parametrize(
    ("policy", "expected"), [("ones", 1.0), ("zeros", 0.0), ("ignore", None), ("soft", "between .55 and .85")]
)
def test_chexpert_policies(tmp_path: Path, policy: str, expected: object) -> None:
    make_chexpert(tmp_path / "CheXpert-v1.0-small")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "chexpert"
    found = adapter.samples(tmp_path, uncertain=policy)
    assert len(found) == 3
    first = found[0]
    assert first.source == "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    assert (first.patient, first.study, first.split) == ("patient00001", "patient00001/study1", "train")
    assert (first.labels["no_finding"], first.labels["enlarged_cardiomediastinum"]) == (1.0, 0.0)
    uncertain = first.labels["cardiomegaly"]
    if policy == "soft":
        assert isinstance(uncertain, float)
        assert 0.55 <= uncertain <= 0.85
        assert uncertain != found[1].labels["cardiomegaly"]
        again = find_adapter("auto", tmp_path).samples(tmp_path, uncertain="soft", frontal_only=False)
        assert again[0].labels["cardiomegaly"] == uncertain
        assert again[2].labels["cardiomegaly"] == found[1].labels["cardiomegaly"]
    else:
        assert uncertain == expected
    assert first.labels["lung_opacity"] == 0.0
    assert (first.labels["sex"], first.labels["age"], first.labels["view"]) == (0, 68.0, 1)
    assert found[-1].split == "val"
    assert found[-1].labels["view"] == 1


def test_chexpert_views_and_blanks(tmp_path: Path) -> None:
    make_chexpert(tmp_path)
    adapter = CheXpertAdapter()
    assert len(adapter.samples(tmp_path, frontal_only=False, blank="ignore")) == 4
    assert adapter.samples(tmp_path, blank="ignore")[0].labels["lung_opacity"] is None
    assert any("1 lateral images left out" in note for note in adapter.notes)
    with pytest.raises(DatasetError, match="did you mean 'ones'"):
        adapter.samples(tmp_path, uncertain="one")


def test_chexpert_refuses_paths_that_climb_out(tmp_path: Path) -> None:
    row = f"CheXpert-v1.0/../../etc/passwd,Male,1,Frontal,AP,{','.join(['1'] * 14)}"
    touch(tmp_path / "train.csv", f"{CHEXPERT_HEAD}\n{row}\n")
    with pytest.raises(ManifestError, match="leads out"):
        CheXpertAdapter().samples(tmp_path)
    touch(tmp_path / "train.csv", f"{CHEXPERT_HEAD}\na/b.jpg,Male,1,Frontal,AP,{','.join(['2'] * 14)}\n")
    with pytest.raises(ManifestError, match="holds '2'; expected 1, 0, -1 or blank"):
        CheXpertAdapter().samples(tmp_path)


def test_shenzhen(tmp_path: Path) -> None:
    touch(tmp_path / "CXR_png/CHNCXR_0001_0.png")
    touch(tmp_path / "CXR_png/CHNCXR_0327_1.png")
    touch(tmp_path / "mask/CHNCXR_0001_0_mask.png")
    touch(tmp_path / "ClinicalReadings/CHNCXR_0001_0.txt", "male 45yrs\n\nnormal")
    touch(tmp_path / "ClinicalReadings/CHNCXR_0327_1.txt", "female 6mos\nbilateral PTB")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "shenzhen"
    healthy, ill = adapter.samples(tmp_path)
    assert healthy.labels == {"tb": 0, "sex": 1, "age": 45.0}
    assert ill.labels == {"tb": 1, "sex": 0, "age": 0.5}
    assert healthy.masks == {"lungs": tmp_path / "mask/CHNCXR_0001_0_mask.png"}
    assert ill.masks == {}
    assert healthy.patient == "CHNCXR_0001"


def test_montgomery(tmp_path: Path) -> None:
    base = tmp_path / "MontgomerySet"
    touch(base / "CXR_png/MCUCXR_0001_0.png")
    touch(base / "CXR_png/Thumbs.db")
    touch(base / "ManualMask/leftMask/MCUCXR_0001_0.png")
    touch(base / "ManualMask/rightMask/MCUCXR_0001_0.png")
    touch(base / "ClinicalReadings/MCUCXR_0001_0.txt", "Patient's Sex: F\nPatient's Age: 027Y\nnormal\n")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "montgomery"
    (sample,) = adapter.samples(tmp_path)
    assert sample.labels == {"tb": 0, "sex": 0, "age": 27.0}
    assert set(sample.masks) == {"left_lung", "right_lung"}
    assert sample.masks["left_lung"].parent.name == "leftMask"
    assert adapter.ignored == ("MontgomerySet/CXR_png/Thumbs.db",)


def test_jsrt_raw_with_scr_masks(tmp_path: Path) -> None:
    touch(tmp_path / "All247images/JPCLN001.IMG")
    touch(tmp_path / "All247images/JPCNN002.IMG")
    for organ in ("left lung", "right lung", "heart", "left clavicle", "right clavicle"):
        touch(tmp_path / "scr/fold1/masks" / organ / "JPCLN001.gif")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "jsrt"
    nodule, clear = adapter.samples(tmp_path)
    assert nodule.labels == {"nodule": 1}
    assert clear.labels == {"nodule": 0}
    assert set(nodule.masks) == {"left_lung", "right_lung", "heart", "left_clavicle", "right_clavicle"}
    assert nodule.reader == {"format": "jsrt"}
    assert clear.masks == {}


def test_jsrt_png_pairs(tmp_path: Path) -> None:
    touch(tmp_path / "images/JPCLN001.png")
    touch(tmp_path / "labels/JPCLN001.png")
    adapter = find_adapter("auto", tmp_path)
    (sample,) = adapter.samples(tmp_path)
    assert sample.masks == {"@labelmap": tmp_path / "labels/JPCLN001.png"}
    assert adapter.parts == {1: "left_lung", 2: "right_lung", 3: "heart"}


@pytest.mark.parametrize("nested", [True, False])
def test_covid_radiography(tmp_path: Path, nested: bool) -> None:
    for folder in ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia"):
        inner = tmp_path / folder / "images" if nested else tmp_path / folder
        touch(inner / f"{folder}-1.png")
        if nested:
            touch(tmp_path / folder / "masks" / f"{folder}-1.png")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "covid-radiography"
    found = adapter.samples(tmp_path)
    classes = adapter.labels["finding"].classes
    assert {classes[int(s.labels["finding"] or 0)] for s in found} == set(classes)
    assert [s.labels["covid"] for s in found] == [1, 0, 0, 0]
    assert all(bool(s.masks) == nested and s.patient is None for s in found)
    assert any("class equals source" in text for text in adapter.warnings)


def test_ieee8023(tmp_path: Path) -> None:
    touch(
        tmp_path / "metadata.csv",
        "patientid,sex,age,finding,view,modality,folder,filename\n"
        "2,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg\n"
        "2,M,65,Pneumonia/Viral/COVID-19,L,X-ray,images,b.jpg\n"
        "4,F,,No Finding,AP Supine,X-ray,images,c.jpg\n"
        "5,F,52,Pneumonia/Viral/COVID-19,Axial,CT,volumes,d.nii.gz\n"
        "6,F,52,No Finding,PA,X-ray,images,gone.jpg\n",
    )
    for name in ("a", "b", "c", "extra"):
        touch(tmp_path / "images" / f"{name}.jpg")
    adapter = find_adapter("auto", tmp_path)
    assert adapter.name == "ieee8023-covid"
    found = adapter.samples(tmp_path)
    assert [sample.path.name for sample in found] == ["a.jpg", "c.jpg", "gone.jpg"]
    assert [sample.patient for sample in found] == ["2", "4", "6"]
    assert [sample.labels["covid"] for sample in found] == [1, 0, 0]
    assert found[1].labels["age"] is None
    assert any("1 images have no row" in text for text in adapter.warnings)
    assert any("2 rows of other views" in note for note in adapter.notes)


def test_unknown_name_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data set adapter 'kermani'; did you mean 'kermany'"):
        find_adapter("kermani", tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        find_adapter("auto", tmp_path / "none")
    with pytest.raises(DatasetError, match="not laid out as Montgomery"):
        find_adapter("montgomery", tmp_path).samples(tmp_path)


def test_several_layouts_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "CXR_png/CHNCXR_0001_0.png")
    touch(tmp_path / "CXR_png/MCUCXR_0001_0.png")
    with pytest.raises(DatasetError, match="'shenzhen', 'montgomery'"):
        find_adapter("auto", tmp_path)


def test_anything_else_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    assert find_adapter("auto", tmp_path).name == "folder"


def test_every_adapter_says_what_it_is() -> None:
    for name, adapter in ADAPTERS.items():
        assert adapter.name == name
        assert adapter.title
        assert adapter.layout
        assert adapter.licence


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "name", "images", "patients", "masks"),
    [
        ("chest_xray", "kermany", 3665, 1500, 0),
        ("nih1000", "nih", 1000, 500, 0),
        ("shenzhen", "shenzhen", 320, 320, 320),
        ("montgomery", "montgomery", 76, 76, 76),
        ("jsrt", "jsrt", 159, 159, 159),
    ],
)
def test_real_sets(real_data: Path, folder: str, name: str, images: int, patients: int, masks: int) -> None:
    adapter = find_adapter("auto", real_data / folder)
    assert adapter.name == name
    found = adapter.samples(real_data / folder)
    assert len(found) >= images
    assert len({sample.patient for sample in found}) >= patients
    assert sum(bool(sample.masks) for sample in found) >= masks
    assert len({sample.source for sample in found}) == len(found)
    assert all(sample.path.is_file() for sample in found)
    assert all(path.is_file() for sample in found for path in sample.masks.values())
    for sample in found:
        assert set(sample.labels) == set(adapter.labels)
    if name == "kermany":
        sides = {split: {s.patient for s in found if s.split == split} for split in ("train", "test")}
        assert not sides["train"] & sides["test"]
