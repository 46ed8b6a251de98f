"""nnU-Net's folders of a store, read back as nnU-Net reads them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from vesalius import cli, pipeline
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, SplitError, StoreError


def test_images_masks_and_folds(phantom_store: Path, tmp_path: Path) -> None:
    store = open_store(phantom_store)
    done = pipeline.export(phantom_store, tmp_path, name="Phantom", number=7, progress=False)
    assert done.raw == tmp_path / "nnUNet_raw" / "Dataset007_Phantom"
    about = json.loads((done.raw / "dataset.json").read_text())
    names = store.info["arrays"]["masks"]["parts"]
    assert about["labels"] == {name: value for value, name in enumerate(names)}
    assert (about["file_ending"], about["channel_names"]) == (".png", {"0": "image"})
    cases = pd.read_csv(done.raw / "cases.csv").set_index("case")
    testing = {case for case, split in cases["split"].items() if split == "test"}
    for side, of_side in (("Tr", set(cases.index) - testing), ("Ts", testing)):
        assert {path.name.removesuffix("_0000.png") for path in (done.raw / f"images{side}").iterdir()} == of_side
        assert {path.stem for path in (done.raw / f"labels{side}").iterdir()} == of_side
    assert about["numTraining"] == done.training == len(cases) - len(testing)
    for case in list(cases.index)[::9]:
        row = int(case.removeprefix("case_"))
        side = "Ts" if case in testing else "Tr"
        assert store.manifest["image_id"].iloc[row] == cases.loc[case, "image_id"]
        image, mask = (done.raw / f"images{side}" / f"{case}_0000.png", done.raw / f"labels{side}" / f"{case}.png")
        assert np.array_equal(np.asarray(Image.open(image)), store.images[row])
        assert np.array_equal(np.asarray(Image.open(mask)), store.masks[row])
    splits = json.loads((done.preprocessed / "splits_final.json").read_text())
    assert len(splits) == 5
    assert sorted(case for one in splits for case in one["val"]) == sorted(set(cases.index) - testing)
    for one in splits:
        patients = [set(cases.loc[one[side], "patient"]) for side in ("train", "val")]
        assert not patients[0] & patients[1]
        assert sorted(one["train"] + one["val"]) == sorted(set(cases.index) - testing)


def test_void_becomes_the_last_label_and_colour_three_channels(tmp_path: Path) -> None:
    """Of Cityscapes' parts, `wall` stands behind `void` in a store; a city is one patient."""
    codes = np.zeros((24, 24), dtype=np.uint8)  # unlabelled
    codes[:8], codes[8:16] = 7, 12  # road, wall
    generator = np.random.default_rng(0)
    for city in ("ulm", "bonn"):
        for kind, ending, content in (
            ("leftImg8bit", "leftImg8bit", generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)),
            ("gtFine", "gtFine_labelIds", codes),
        ):
            path = tmp_path / "cities" / kind / "train" / city / f"{city}_000000_000019_{ending}.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(content).save(path)
    pipeline.prepare(tmp_path / "cities", tmp_path / "store", size=24, progress=False, workers=1)
    done = pipeline.export(tmp_path / "store", tmp_path / "out", name="cities", folds=2, progress=False)
    about = json.loads((done.raw / "dataset.json").read_text())
    labels = about["labels"]
    assert list(labels.values()) == list(range(21))
    assert labels["ignore"] == 20  # the last, as nnU-Net wants it
    assert about["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    written = np.asarray(Image.open(next((done.raw / "labelsTr").iterdir())))
    assert (written[:8] == labels["road"]).all()
    assert (written[8:16] == labels["wall"]).all()
    assert (written[16:] == labels["ignore"]).all()
    assert np.asarray(Image.open(next((done.raw / "imagesTr").iterdir()))).shape == (24, 24, 3)


def test_bad_input(phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"export to 'nnunett'.*did you mean 'nnunet'"):
        pipeline.export(phantom_store, tmp_path, to="nnunett")
    with pytest.raises(ConfigError, match=r"Dataset1_my set: nnU-Net wants"):
        pipeline.export(phantom_store, tmp_path, name="my set")
    with pytest.raises(ConfigError, match=r"Dataset1000_a: nnU-Net wants"):
        pipeline.export(phantom_store, tmp_path, name="a", number=1000)
    with pytest.raises(SplitError, match="10000 sides"):
        pipeline.export(phantom_store, tmp_path, name="a", folds=10_000, progress=False)
    assert not list(tmp_path.rglob("*.png"))
    pipeline.export(phantom_store, tmp_path, name="a", progress=False)
    with pytest.raises(ConfigError, match=r"Dataset001_a: data set 1 is there already"):
        pipeline.export(phantom_store, tmp_path, name="b", progress=False)
    scans = tmp_path / "scans"
    scans.mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 255, (16, 16), dtype=np.uint8)).save(scans / f"{number}.png")
    pipeline.prepare(scans, tmp_path / "bare", size=16, progress=False, workers=1)
    with pytest.raises(StoreError, match="mask"):
        pipeline.export(tmp_path / "bare", tmp_path, name="c", number=2, progress=False)


@pytest.fixture(scope="module")
def cine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store at half the pixels of two frames of 5 slices of 4 patients to train on and one to test on."""
    root = tmp_path_factory.mktemp("cine") / "scans"
    generator = np.random.default_rng(0)
    for patient in range(1, 6):
        folder = root / ("testing" if patient == 5 else "training") / f"patient{patient:03d}"
        folder.mkdir(parents=True)
        for frame in (1, 9):
            for ending, highest in (("", 1000), ("_gt", 4)):
                values = generator.integers(0, highest, (32, 24, 5)).astype(np.int16)
                path = folder / f"patient{patient:03d}_frame{frame:02d}{ending}.nii.gz"
                nibabel.save(nibabel.Nifti1Image(values, np.diag([1.5, 1.25, 8.0, 1.0])), path)
    pipeline.prepare(root, root.with_name("store"), size=16, workers=1, progress=False)
    return root.with_name("store")


def test_slices_become_volumes_of_the_stores_voxels(cine: Path, tmp_path: Path) -> None:
    store = open_store(cine)
    done = pipeline.export(cine, tmp_path, name="cine", folds=2, progress=False)
    assert (done.form, done.why, done.training, done.testing) == ("volumes", "", 8, 2)
    about = json.loads((done.raw / "dataset.json").read_text())
    assert (about["file_ending"], about["numTraining"]) == (".nii.gz", 8)
    assert "overwrite_image_reader_writer" not in about
    cases = pd.read_csv(done.raw / "cases.csv")
    assert len(cases) == len(store)
    for case, own in cases.groupby("case"):
        side = "Ts" if (own["split"] == "test").all() else "Tr"
        rows = pd.Index(store.manifest["image_id"]).get_indexer(own.sort_values("slice")["image_id"])
        assert rows.tolist() == list(range(rows[0], rows[0] + 5))
        assert store.manifest["source"].iloc[rows].nunique() == 1
        image = nibabel.load(done.raw / f"images{side}" / f"{case}_0000.nii.gz")
        label = nibabel.load(done.raw / f"labels{side}" / f"{case}.nii.gz")
        assert image.shape == label.shape == (16, 16, 5)
        # The plane shows 32 columns of 1.5 mm, made 16.
        assert image.header.get_zooms() == label.header.get_zooms() == pytest.approx((3.0, 2.5, 8.0))
        assert image.header.get_xyzt_units()[0] == "mm"
        assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
        assert np.array_equal(image.affine, label.affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj).T, store.images[rows])
        np.testing.assert_array_equal(np.asarray(label.dataobj).T, store.masks[rows])
        assert image.get_data_dtype() == store.dtype
    splits = json.loads((done.preprocessed / "splits_final.json").read_text())
    patient_of = cases.groupby("case")["patient"].first()
    for one in splits:
        assert len(one["train"]) == len(one["val"]) == 4
        assert not set(patient_of[one["train"]]) & set(patient_of[one["val"]])
    assert {path.name for path in (done.raw / "imagesTr").iterdir()} == {
        f"{case}_0000.nii.gz" for one in splits for case in one["val"]
    }


def test_form_is_chosen_and_told(cine: Path, phantom_store: Path, tmp_path: Path) -> None:
    def said(store: Path, number: int, *options: str) -> str:
        given = ["export", str(store), "--out", str(tmp_path), "--folds", "2", "--number", str(number), *options]
        return CliRunner().invoke(cli.app, given).output

    assert "8 volumes to train on, 2 to test on\na NIfTI file a volume" in said(cine, 1)
    images = said(cine, 2, "--form", "images")
    assert "40 images to train on, 10 to test on\na PNG file an image, without spacing\n" in images
    assert "-d 2 -c 2d" in images
    assert "without spacing: of " in said(phantom_store, 3)
    assert pipeline.export(phantom_store, tmp_path, number=4, progress=False).why.count("tell no position") == 2
    with pytest.raises(StoreError, match=r"not all images are slices of whole volumes: .*--form images"):
        pipeline.export(phantom_store, tmp_path, number=5, form="volumes", progress=False)
    with pytest.raises(ConfigError, match=r"form = 'volume'; did you mean 'volumes'\?; known: auto, volumes, images"):
        pipeline.export(cine, tmp_path, number=5, form="volume", progress=False)
    assert not list((tmp_path / "nnUNet_raw").glob("*Dataset005*"))


def test_volumes_of_colour_have_a_file_a_channel(cine: Path, tmp_path: Path) -> None:
    pipeline.prepare(
        cine.with_name("scans"), tmp_path / "store", size=16, channels=3, bits=16, workers=1, progress=False
    )
    done = pipeline.export(tmp_path / "store", tmp_path, folds=2, progress=False)
    store = open_store(tmp_path / "store")
    case = json.loads((done.preprocessed / "splits_final.json").read_text())[0]["val"][0]
    rows = np.arange(5) + int(case.removeprefix("case_"))
    for channel in range(3):
        image = nibabel.load(done.raw / "imagesTr" / f"{case}_{channel:04d}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj).T, store.images[rows][..., channel])
    with pytest.raises(StoreError, match="PNG holds no colour of uint16"):
        pipeline.export(tmp_path / "store", tmp_path, number=2, form="images", progress=False)
