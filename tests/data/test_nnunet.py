"""nnU-Net's folders of a store, read back as nnU-Net reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vesalius import pipeline
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
