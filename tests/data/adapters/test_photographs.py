"""PASCAL VOC, Cityscapes, ImageNet: layouts, label maps with void, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.registry import find_adapter
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.errors import DatasetError, ManifestError


def picture(path: Path, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(path)
    return path


def label_map(path: Path, values: np.ndarray, *, palette: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if palette:
        image = image.convert("P")
        image.putpalette(np.random.default_rng(0).integers(0, 255, 768).tolist())
        image.putdata(values.ravel().tolist())
    image.save(path)
    return path


def write_voc(folder: Path) -> None:
    for seed, name in enumerate(("2007_000001", "2007_000002", "2007_000003")):
        picture(folder / f"JPEGImages/{name}.jpg", seed=seed)
    values = np.zeros((24, 24), dtype=np.uint8)
    values[4:10, 4:10], values[3, 4:10] = 15, 255
    label_map(folder / "SegmentationClass/2007_000001.png", values, palette=True)
    for kind, side, names in (
        ("Segmentation", "train", ["2007_000001"]),
        ("Segmentation", "val", ["2007_000002"]),
        ("Main", "train", ["2007_000001", "2007_000003"]),
        ("Main", "val", ["2007_000002"]),
    ):
        table = folder / f"ImageSets/{kind}/{side}.txt"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(names) + "\n")
    (folder / "ImageSets/Main/person_train.txt").write_text("2007_000001  1\n2007_000003 -1\n")
    (folder / "ImageSets/Main/person_val.txt").write_text("2007_000002  0\n")


def test_pascal_voc(here: Path, tmp_path: Path) -> None:
    write_voc(here / "VOC2012")
    adapter = find_adapter("auto", here)
    assert adapter.name == "pascal-voc"
    first, second = adapter.samples(here)
    assert (first.split, first.labels["person"], set(first.masks)) == ("train", 1, {"@labelmap"})
    assert (second.split, second.labels["person"], second.masks) == ("val", None, {})
    assert any("1 images that the lists of Segmentation do not name" in note for note in adapter.notes)
    assert len(find_adapter("auto", here).samples(here, images="main")) == 3
    prepare(here, tmp_path / "store", size=24, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    parts = store.info["arrays"]["masks"]["parts"]
    assert len(parts) == 22
    row = int(np.flatnonzero(store.manifest["has_masks"])[0])
    found = store.masks[np.array([row])][0]
    assert ((found == parts.index("person")).sum(), (found == parts.index("void")).sum()) == (36, 6)
    (here / "VOC2012/ImageSets/Main/person_val.txt").write_text("2007_000002  7\n")
    with pytest.raises(ManifestError, match="expected an image and 1, 0 or -1"):
        find_adapter("auto", here).samples(here)
    (here / "VOC2012/ImageSets/Segmentation/val.txt").write_text("../../away\n")
    with pytest.raises(ManifestError, match=r"names '\.\./\.\./away'"):
        find_adapter("auto", here).samples(here)


def test_voc_without_lists(here: Path) -> None:
    picture(here / "JPEGImages/1.jpg")
    (here / "ImageSets").mkdir()
    assert find_adapter("auto", here).name == "folder"  # another set in this format
    (here / "SegmentationClass").mkdir()
    with pytest.raises(DatasetError, match=r"no list train.txt, val.txt or test.txt in ImageSets/Segmentation"):
        find_adapter("pascal-voc", here).samples(here)


def test_cityscapes(here: Path, tmp_path: Path) -> None:
    values = np.zeros((24, 24), dtype=np.uint8)
    values[:8], values[8:16], values[16:20] = 7, 26, 4  # road, car, static, unlabelled
    for side, city in (("train", "ulm"), ("val", "lindau"), ("test", "bonn")):
        picture(here / f"leftImg8bit/{side}/{city}/{city}_000000_000019_leftImg8bit.png", seed=len(city))
        label_map(here / f"gtFine/{side}/{city}/{city}_000000_000019_gtFine_labelIds.png", values)
    adapter = find_adapter("auto", here)
    assert adapter.name == "cityscapes"
    found = {sample.patient: sample for sample in adapter.samples(here)}
    assert {city: sample.split for city, sample in found.items()} == {"ulm": "train", "lindau": "val", "bonn": "test"}
    assert found["bonn"].masks == {}
    prepare(here, tmp_path / "store", size=24, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    parts = store.info["arrays"]["masks"]["parts"]
    assert len(parts) == 21  # background, which no pixel is, 19 classes and void
    row = int(np.flatnonzero(store.manifest["source"].str.contains("ulm"))[0])
    found_values = store.masks[np.array([row])][0]
    counts = {name: int((found_values == parts.index(name)).sum()) for name in ("background", "road", "car", "void")}
    assert counts == {"background": 0, "road": 192, "car": 192, "void": 192}


def test_the_val_lists_of_pascal_voc_can_be_scored(here: Path, tmp_path: Path) -> None:
    write_voc(here)
    (here / "ImageSets/Segmentation/test.txt").write_text("2007_000003\n")
    label_map(here / "SegmentationClass/2007_000002.png", np.full((24, 24), 3), palette=True)
    published = {sample.patient: sample.split for sample in find_adapter("auto", here).samples(here, score="test")}
    assert published == {"2007_000001": "train", "2007_000002": "val", "2007_000003": "test"}
    summary = prepare(here, tmp_path / "store", size=24, workers=1, progress=False, adapter_options={"score": "val"})
    assert summary.splits == {"train": 1, "val": 0, "test": 1}
    assert any("published val side is this store's test side" in note for note in summary.notes)
    assert "1 images of the published test side are left out (score=val)" in summary.notes
    table = open_store(tmp_path / "store").manifest
    assert table.loc[table["split"] == "test", "source"].tolist() == ["JPEGImages/2007_000002.jpg"]
    assert table["has_masks"].all()
    main = {one.path.stem: one.split for one in find_adapter("auto", here).samples(here, images="main", score="val")}
    assert main == {"2007_000001": "train", "2007_000003": "train", "2007_000002": "test"}
    (here / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(DatasetError, match=r"score=val: no image of the val side in ImageSets/Segmentation"):
        find_adapter("auto", here).samples(here, score="val")
    with pytest.raises(DatasetError, match=r"score='vall'.*did you mean 'val'"):
        find_adapter("auto", here).samples(here, score="vall")


def test_the_val_side_of_cityscapes_can_be_scored(here: Path) -> None:
    for side, city in (("train", "ulm"), ("val", "lindau"), ("test", "bonn")):
        picture(here / f"leftImg8bit/{side}/{city}/{city}_000000_000019_leftImg8bit.png", seed=len(city))
        label_map(here / f"gtFine/{side}/{city}/{city}_000000_000019_gtFine_labelIds.png", np.full((24, 24), 7))
    adapter = find_adapter("auto", here)
    found = {sample.patient: sample for sample in adapter.samples(here, score="val")}
    assert {city: sample.split for city, sample in found.items()} == {"ulm": "train", "lindau": "test"}
    assert all(sample.masks for sample in found.values())
    assert any("1 images of the published test side are left out" in note for note in adapter.notes)
    (here / "leftImg8bit/val").rename(here / "leftImg8bit/extra")
    with pytest.raises(DatasetError, match="score=val: no image of the val side in leftImg8bit"):
        find_adapter("auto", here).samples(here, score="val")


def test_imagenet_100(here: Path) -> None:
    for seed, (side, synset) in enumerate(
        [("train.X1", "n01440764"), ("train.X2", "n02012849"), ("val.X", "n02012849"), ("val.X", "n03126707")]
    ):
        picture(here / f"{side}/{synset}/{synset}_{seed}.JPEG", seed=seed)
    names = {"n01440764": "tench, Tinca tinca", "n02012849": "crane"}
    (here / "Labels.json").write_text(json.dumps(names))
    adapter = find_adapter("auto", here)
    assert adapter.name == "imagenet"
    samples = adapter.samples(here)
    assert adapter.labels["class"].classes == ("tench", "crane")
    assert [(one.split, one.labels["class"]) for one in samples] == [
        ("train", 0), ("train", 1), ("val", 1), ("val", None),
    ]  # fmt: skip
    assert any("1 validation images are of no class" in text for text in adapter.warnings)
    (here / "Labels.json").write_text("[1]")
    with pytest.raises(ManifestError, match="is not a table of synsets"):
        find_adapter("auto", here).samples(here)


def test_imagenet_with_a_flat_validation_side(here: Path) -> None:
    picture(here / "train/n01440764/a.JPEG")
    picture(here / "train/n02012849/b.JPEG", seed=1)
    picture(here / "val/ILSVRC2012_val_00000001.JPEG", seed=2)
    (here / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n02012849 85 1 499 272\n"
    )
    (here / "LOC_synset_mapping.txt").write_text("n01440764 crane, a bird\nn02012849 crane, a machine\n")
    adapter = find_adapter("auto", here)
    assert adapter.samples(here)[-1].labels["class"] == 1
    assert adapter.labels["class"].classes == ("crane (n01440764)", "crane (n02012849)")


def test_imagenet_as_published(here: Path) -> None:
    inside = here / "ILSVRC/Data/CLS-LOC"
    picture(inside / "train/n01440764/a.JPEG")
    picture(inside / "val/ILSVRC2012_val_00000001.JPEG", seed=2)
    (here / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 8 1 4 2\n")
    (here / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\n")
    adapter = find_adapter("auto", here)
    assert [(one.split, one.labels["class"]) for one in adapter.samples(here)] == [("train", 0), ("val", 0)]
    assert adapter.labels["class"].classes == ("tench",)


def test_a_set_with_folders_below_the_classes_stays_a_folder(here: Path) -> None:
    """Tiny-ImageNet: train/n01443537/images/."""
    picture(here / "train/n01443537/images/n01443537_0.JPEG")
    assert find_adapter("auto", here).name == "folder"


def test_lists_that_are_no_text_are_told(here: Path) -> None:
    write_voc(here)
    (here / "ImageSets/Segmentation/val.txt").write_bytes(b"2007_\xff\xfe")
    with pytest.raises(ManifestError, match=r"val.txt: not a readable text file"):
        find_adapter("auto", here).samples(here)
