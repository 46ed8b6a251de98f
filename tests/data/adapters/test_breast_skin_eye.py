"""APTOS, ISIC, PH2, CBIS-DDSM, CSAW-S: layouts, labels, who belongs together, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from vesalius.data.adapters.registry import find_adapter
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.errors import DatasetError, ManifestError


def picture(path: Path, *, seed: int = 0, size: tuple[int, int] = (24, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return path


def mask(path: Path, rows: slice, columns: slice, *, size: tuple[int, int] = (24, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size, dtype=np.uint8)
    values[rows, columns] = 255
    Image.fromarray(values).save(path)
    return path


def test_aptos(here: Path) -> None:
    for seed, name in enumerate(("aa", "bb", "cc")):
        picture(here / f"train_images/{name}.png", seed=seed)
    picture(here / "test_images/zz.png", seed=9)
    (here / "train.csv").write_text("id_code,diagnosis\naa,0\nbb,4\ncc,2\n")
    (here / "test.csv").write_text("id_code\nzz\n")
    (here / "sample_submission.csv").write_text("id_code,diagnosis\nzz,0\n")
    adapter = find_adapter("auto", here)
    assert adapter.name == "aptos"
    found = {sample.path.stem: sample for sample in adapter.samples(here)}
    assert {name: sample.labels["retinopathy"] for name, sample in found.items()} == {
        "aa": 0, "bb": 4, "cc": 2, "zz": None,
    }  # fmt: skip
    assert {sample.split for sample in found.values()} == {None}
    assert adapter.labels["retinopathy"].kind == "ordinal"
    assert any("1 images have no grade" in note for note in adapter.notes)
    (here / "valid.csv").write_text("id_code,diagnosis\ncc,2\n")
    with pytest.raises(ManifestError, match="1 ids have two rows in its tables"):
        find_adapter("aptos", here).samples(here)
    (here / "train.csv").write_text("id_code,diagnosis\naa,0\nbb,4\n")
    sides = {sample.path.stem: sample.split for sample in find_adapter("aptos", here).samples(here)}
    assert sides == {"aa": "train", "bb": "train", "cc": "val", "zz": None}
    (here / "train.csv").write_text("id_code,diagnosis\naa,5\n")
    with pytest.raises(ManifestError, match=r"'aa' has diagnosis '5'; expected a grade from 0 to 4"):
        find_adapter("aptos", here).samples(here)


def write_isic(folder: Path) -> None:
    """2018's task 3, with the masks of task 1 for one image."""
    for number, side in ((1, "Training"), (2, "Training"), (3, "Test")):
        picture(folder / f"ISIC2018_Task3_{side}_Input/ISIC_000000{number}.jpg", seed=number)
    mask(folder / "ISIC2018_Task1_Training_GroundTruth/ISIC_0000001_segmentation.png", slice(4, 12), slice(6, 18))
    head = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
    for side, rows in (("Training", ((1, 0), (2, 1))), ("Test", ((3, 3),))):
        table = folder / f"ISIC2018_Task3_{side}_GroundTruth/ISIC2018_Task3_{side}_GroundTruth.csv"
        table.parent.mkdir()
        ones = [
            f"ISIC_000000{number}," + ",".join("1.0" if one == place else "0.0" for one in range(7))
            for number, place in rows
        ]
        table.write_text(head + "\n".join(ones) + "\n")
    (folder / "ISIC2018_Task3_Training_LesionGroupings.csv").write_text(
        "image,lesion_id,diagnosis_confirm_type\nISIC_0000001,HAM_1,histopathology\nISIC_0000002,HAM_1,consensus\n"
    )


def test_isic(here: Path, tmp_path: Path) -> None:
    write_isic(here)
    adapter = find_adapter("auto", here)
    assert adapter.name == "isic"
    first, second, third = sorted(adapter.samples(here), key=lambda sample: sample.path.stem)
    names = adapter.labels["diagnosis"].classes
    assert [names[one.labels["diagnosis"]] for one in (first, second, third)] == [
        "melanoma",
        "nevus",
        "actinic_keratosis",
    ]
    assert [one.labels["melanoma"] for one in (first, second, third)] == [1, 0, 0]
    assert [one.split for one in (first, second, third)] == ["train", "train", "test"]
    assert first.patient == second.patient == "HAM_1"
    assert third.patient is None
    assert set(first.masks) == {"lesion"}
    prepare(here, tmp_path / "store", size=24, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    row = int(np.flatnonzero(store.manifest["source"].str.endswith("ISIC_0000001.jpg"))[0])
    assert store.masks[np.array([row])].sum() == 8 * 12
    table = here / "ISIC2018_Task3_Test_GroundTruth/ISIC2018_Task3_Test_GroundTruth.csv"
    table.write_text("image,MEL,NV\nISIC_0000003,1.0,1.0\n")
    with pytest.raises(ManifestError, match="expected a single 1 among zeros"):
        find_adapter("isic", here).samples(here)


def test_a_plain_table_of_isic_images_stays_a_folder(here: Path) -> None:
    picture(here / "ISIC_0000001.jpg")
    picture(here / "ISIC_0000002.jpg", seed=1)
    (here / "labels.csv").write_text("image,diagnosis\nISIC_0000001.jpg,nevus\nISIC_0000002.jpg,melanoma\n")
    assert find_adapter("auto", here).name == "folder"


PH2_TABLE = """
||   Name ||   Histological Diagnosis ||   Clinical Diagnosis ||   Asymmetry   ||
|| IMD003 ||                          ||                    0 ||             0 ||
|| IMD058 ||                 Melanoma ||                    2 ||             2 ||
|| IMD400 ||                          ||                    1 ||             1 ||
Legends:
|| Clinical Diagnosis || 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma ||
"""


def test_ph2_as_published(here: Path) -> None:
    for seed, name in enumerate(("IMD003", "IMD058")):
        one = here / "PH2 Dataset images" / name
        picture(one / f"{name}_Dermoscopic_Image/{name}.bmp", seed=seed)
        mask(one / f"{name}_lesion/{name}_lesion.bmp", slice(3, 9), slice(3, 9))
        mask(one / f"{name}_roi/{name}_R1_Label3.bmp", slice(3, 4), slice(3, 4))
    (here / "PH2_dataset.txt").write_text(PH2_TABLE)
    adapter = find_adapter("auto", here)
    assert adapter.name == "ph2"
    nevus, melanoma = adapter.samples(here)
    assert (nevus.labels, melanoma.labels) == (
        {"diagnosis": 0, "melanoma": 0},
        {"diagnosis": 2, "melanoma": 1},
    )
    assert melanoma.masks["lesion"].name == "IMD058_lesion.bmp"
    assert any("1 rows of PH2_dataset.txt have no image" in note for note in adapter.notes)
    (here / "PH2_dataset.txt").write_text("nothing\n")
    with pytest.raises(ManifestError, match="no line with the columns Name and Clinical Diagnosis"):
        find_adapter("ph2", here).samples(here)


def test_ph2_of_a_mirror(here: Path) -> None:
    picture(here / "images/IMD009.jpg")
    mask(here / "labels/IMD009.png", slice(0, 5), slice(0, 5))
    (here / "PH2_dataset.csv").write_text("\ufeffName,Clinical Diagnosis,Asymmetry\nIMD009,1,0\n")
    [sample] = find_adapter("auto", here).samples(here)
    assert (sample.labels["diagnosis"], sample.patient) == (1, "IMD009")
    assert sample.masks["lesion"].parent.name == "labels"
    (here / "PH2_dataset.csv").write_text("Name,Clinical Diagnosis\nIMD009,3\n")
    with pytest.raises(ManifestError, match=r"IMD009 has clinical diagnosis '3'; expected 0, 1 or 2"):
        find_adapter("ph2", here).samples(here)


def test_ph2_here(real_data: Path) -> None:
    samples = find_adapter("auto", real_data / "ph2").samples(real_data / "ph2")
    assert len(samples) > 100
    assert all(sample.masks for sample in samples)
    assert {sample.labels["diagnosis"] for sample in samples} >= {0, 1, 2}


def dicom(path: Path, pixels: np.ndarray) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    head = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    head.Rows, head.Columns = pixels.shape
    head.SamplesPerPixel, head.PhotometricInterpretation, head.PixelRepresentation = 1, "MONOCHROME2", 0
    head.BitsAllocated = head.BitsStored = 8 * pixels.itemsize
    head.HighBit, head.PixelData = head.BitsStored - 1, pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, head, enforce_file_format=True)
    return path


CBIS_HEAD = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,mass margins,"
    "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path\n"
)


def cbis_row(patient: str, case: str, number: int, *, kind: str, grade: int, pathology: str) -> str:
    region = f"{case}_{number}/1.3.6/1.3.7"
    told = f"{patient},3,LEFT,CC,{number},{kind},OVAL,SPICULATED,{grade},{pathology},4"
    return f'{told},{case}/1.3.6.1/1.3.6.2/000000.dcm,"{region}/000000.dcm\n","{region}/000001.dcm\n"\n'


def write_cbis(folder: Path) -> None:
    """Two masses in one training image; a patient whom the other table tests; the mask once first, once second.

    The film of the second patient is in both tables, as a copy: benign as a calcification, malignant as a mass.
    """
    generator = np.random.default_rng(0)
    films = {patient: generator.integers(0, 4000, (40, 30)).astype(np.uint16) for patient in ("P_00001", "P_00002")}
    for case in ("Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00002_LEFT_CC", "Calc-Test_P_00002_LEFT_CC"):
        pixels = next(film for patient, film in films.items() if patient in case)
        dicom(folder / f"CBIS-DDSM/{case}/07-20-2016-DDSM-30522/1.000000-full mammogram images-1/1-1.dcm", pixels)
        for number in (1, 2) if "00001" in case else (1,):
            whole = np.zeros((40, 30), dtype=np.uint8)
            whole[10 * number : 10 * number + 4, 5 + 9 * ("Calc" in case) : 9 + 9 * ("Calc" in case)] = 255
            crop = generator.integers(0, 4000, (8, 8)).astype(np.uint16)
            here = folder / f"CBIS-DDSM/{case}_{number}/07-20-2016-DDSM-1/1.000000-ROI mask images-2"
            first, second = (whole, crop) if number == 1 else (crop, whole)
            dicom(here / "1-1.dcm", first)
            dicom(here / "1-2.dcm", second)
    mass = cbis_row("P_00001", "Mass-Training_P_00001_LEFT_CC", 1, kind="mass", grade=4, pathology="MALIGNANT")
    mass += cbis_row("P_00001", "Mass-Training_P_00001_LEFT_CC", 2, kind="mass", grade=2, pathology="BENIGN")
    mass += cbis_row("P_00002", "Mass-Training_P_00002_LEFT_CC", 1, kind="mass", grade=5, pathology="MALIGNANT")
    (folder / "mass_case_description_train_set.csv").write_text(CBIS_HEAD + mass)
    told = {"kind": "calcification", "grade": 2, "pathology": "BENIGN_WITHOUT_CALLBACK"}
    calc = cbis_row("P_00002", "Calc-Test_P_00002_LEFT_CC", 1, **told)
    (folder / "calc_case_description_test_set.csv").write_text(CBIS_HEAD + calc)


def test_cbis_ddsm(here: Path, tmp_path: Path) -> None:
    write_cbis(here)
    adapter = find_adapter("auto", here)
    assert adapter.name == "cbis-ddsm"
    first, second = adapter.samples(here)
    assert first.labels == {"malignant": 1, "density": 2, "assessment": 4}
    assert second.labels == {
        "malignant": 1,
        "density": 2,
        "assessment": 5,
    }  # by the mass, though a calcification is not
    assert [path.name for path in first.masks["mass"]] == ["1-1.dcm", "1-2.dcm"]
    assert set(second.masks) == {"mass", "calcification"}
    assert [(one.patient, one.split) for one in (first, second)] == [("P_00001", "train"), ("P_00002", "test")]
    assert any("1 training images of patients whom the other table tests" in note for note in adapter.notes)
    assert {one.split for one in find_adapter("auto", here).samples(here, abnormalities="mass")} == {None}
    prepare(here, tmp_path / "store", size=40, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    assert store.info["arrays"]["masks"]["parts"] == ["background", "calcification", "mass"]
    areas = {
        patient: [int((store.masks[np.array([row])] == value).sum()) for value in (1, 2)]
        for patient, row in zip(("P_00001", "P_00002"), store.manifest["source"].argsort(), strict=True)
    }
    assert sorted(areas.values()) == [[0, 32], [16, 16]]


def test_cbis_ddsm_bad_input(here: Path) -> None:
    write_cbis(here)
    mask = next(here.glob("CBIS-DDSM/Mass-Training_P_00001_LEFT_CC_2/*/*/1-2.dcm"))
    mask.write_bytes(mask.read_bytes()[:200])  # cut in its header
    adapter = find_adapter("auto", here)
    first = adapter.samples(here)[0]
    assert first.masks == {}  # the other region alone would make the lost one healthy
    assert any("P_00001_LEFT_CC_2: no mask of the mammogram's size" in text for text in adapter.warnings)
    table = here / "mass_case_description_train_set.csv"
    text = table.read_text()
    table.write_text(text.replace("MALIGNANT", "PERHAPS"))
    with pytest.raises(ManifestError, match="pathology 'PERHAPS'; expected MALIGNANT"):
        find_adapter("cbis-ddsm", here).samples(here)
    table.write_text(text)
    (here / "CBIS-DDSM").rename(here / "jpeg")
    for folder in (here / "jpeg").iterdir():
        folder.rename(folder.with_name(folder.name.replace("_P_", "-")))
    with pytest.raises(DatasetError, match="none of the folders that its tables name"):
        find_adapter("cbis-ddsm", here).samples(here)


def test_csaw_s(here: Path) -> None:
    training = here / "CsawS/anonymized_dataset"
    for patient in ("001", "002"):
        picture(training / f"{patient}/{patient}_0.png", seed=int(patient))
        mask(training / f"{patient}/{patient}_0_cancer.png", slice(5, 9), slice(5, 9))
        mask(training / f"{patient}/{patient}_0_non-mammary_tissue.png", slice(0, 3), slice(0, 24))
    adapter = find_adapter("auto", here / "CsawS")
    assert adapter.name == "csaw-s"
    first, _ = adapter.samples(here / "CsawS")
    assert (first.patient, first.split, set(first.masks)) == ("001", None, {"cancer", "non_mammary_tissue"})
    test = here / "CsawS/test_data"
    picture(test / "anonymized_dataset/090/090_0.png", seed=5)
    for number in (1, 2):
        mask(test / f"annotator_{number}/090/090_0_cancer.png", slice(number, 9), slice(5, 9))
    mask(test / "annotator_1/090/090_0_skin.png", slice(0, 1), slice(0, 24))
    last = find_adapter("auto", here / "CsawS").samples(here / "CsawS", annotator="2")[-1]
    assert (last.patient, last.split) == ("090", "test")
    assert [last.masks[part].parts[-3] for part in ("cancer", "skin")] == ["annotator_2", "annotator_1"]
    assert find_adapter("auto", here / "CsawS").samples(here / "CsawS")[-1].masks["cancer"].parts[-3] == "annotator_1"
    with pytest.raises(DatasetError, match="annotator='4'"):
        find_adapter("csaw-s", here / "CsawS").samples(here / "CsawS", annotator="4")


def test_tumours_lie_over_the_gland_that_holds_them(here: Path, tmp_path: Path) -> None:
    training = here / "anonymized_dataset/001"
    picture(training / "001_0.png")
    mask(training / "001_0_cancer.png", slice(5, 9), slice(5, 9))
    mask(training / "001_0_mammary_gland.png", slice(0, 20), slice(0, 20))
    prepare(here, tmp_path / "store", size=24, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    parts = store.info["arrays"]["masks"]["parts"]
    counts = [int((store.masks[np.array([0])] == parts.index(name)).sum()) for name in ("cancer", "mammary_gland")]
    assert counts == [16, 400 - 16]
