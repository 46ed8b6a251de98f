"""Mask R-CNN on a run's backbone: trained beside its twin, scored by COCO, kept, resumed, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import BackboneError, ConfigError, LabelError, ManifestError, SplitError
from vesalius.evaluation import fit_detection
from vesalius.evaluation.coco_objects import read_objects
from vesalius.evaluation.detection_network import detection_network
from vesalius.evaluation.detection_options import DetectTraining

QUICK = {
    "overrides": ("size=64", "batch_size=2", "steps=4", "lr=0.01", "proposals=32"),
    "bootstrap": 20,
    "progress": False,
}


@pytest.fixture(scope="module")
def objects(write_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("coco") / "shapes", {"train": 8, "val": 4})


@pytest.fixture(scope="module")
def run(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    overrides = ["backbone={name: test_resnet, image_size: 32}", "views.options={size: 32, locals: 0}",
                 "method={name: dino, prototypes: 32, hidden: 32, bottleneck: 16}",
                 "training={batch_size: 16, steps: 2, precision: fp32, accelerator: cpu}"]  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "run"
    return pipeline.pretrain("dino", data=f"{phantom_store}@all", out=folder, overrides=overrides)


def test_both_networks_are_trained_scored_and_kept(run: Path, objects: Path) -> None:
    result = pipeline.evaluate_detect(run, data=objects, **QUICK)
    assert {one.arm for one in result.scores} == {"pretrained", "random_init"}
    assert {one.metric for one in result.scores} >= {"ap_box", "ap_mask"}
    assert all(0 <= one.value <= 1 for one in result.scores)
    assert (result.train_images, result.test_images) == (8, 4)
    assert result.settings["changed"]["training"] == {
        "size": 64,
        "batch_size": 2,
        "steps": 4,
        "lr": 0.01,
        "proposals": 32,
    }
    kept = sorted((run / "detected").glob("*.*"))
    assert [path.suffix for path in kept if path.is_file()] == [".npz", ".npz"]
    kept = [path for path in kept if path.is_file()]
    before = [path.stat().st_mtime_ns for path in kept]
    assert pipeline.evaluate_detect(run, data=objects, **QUICK) == result
    assert [path.stat().st_mtime_ns for path in kept] == before
    [folder] = (run / "evaluations").glob("detect-objects-*")
    found = pd.read_parquet(folder / "predictions.parquet")
    assert set(found["image"]) <= {10, 11, 12, 13}
    assert set(found["category"]) <= {3, 7}


def test_amounts_of_labels_are_trained_each(run: Path, objects: Path) -> None:
    before = set((run / "detected").glob("*.npz"))
    whole = pipeline.evaluate_detect(run, data=objects, **QUICK)
    result = pipeline.evaluate_detect(run, data=objects, **QUICK | {"fractions": (4.0, 1.0)})
    assert len(set((run / "detected").glob("*.npz")) - before) == 2 + (0 if before else 2)  # all labels stay done
    learned = {(one.arm, one.fraction): one.images for one in result.scores}
    assert learned == {(arm, at): n for arm in ("pretrained", "random_init") for at, n in ((4.0, 4), (1.0, 8))}
    assert [one for one in result.scores if one.fraction == 1] == list(whole.scores)
    with pytest.raises(LabelError, match="9 labelled images are asked for, and a training side has 8"):
        pipeline.evaluate_detect(run, data=objects, **QUICK | {"fractions": (9.0,)})


def test_an_interrupted_training_goes_on(
    run: Path, objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the third of four steps, it takes the fourth and detects what the undisturbed one does."""
    whole = pipeline.evaluate_detect(run, data=objects, **QUICK)  # kept by the run
    monkeypatch.setattr(fit_detection, "_KEPT_EVERY", 3)
    taken: list[float] = []
    step = fit_detection.optimizer_step

    def counted(*given: Any, most: int, **options: Any) -> None:
        if len(taken) == most:
            raise KeyboardInterrupt
        taken.append(options["lr"])
        step(*given, **options)

    monkeypatch.setattr(fit_detection, "optimizer_step", partial(counted, most=3))
    with pytest.raises(KeyboardInterrupt):
        pipeline.evaluate_detect(run, data=objects, cache=tmp_path / "killed", **QUICK)
    assert len(list((tmp_path / "killed" / "detected").glob("*.ckpt"))) == 1
    monkeypatch.setattr(fit_detection, "optimizer_step", partial(counted, most=99))
    again = pipeline.evaluate_detect(run, data=objects, cache=tmp_path / "killed", **QUICK)
    assert len(taken) == 3 + 1 + 4  # one left of the first network, four of the second
    assert again.scores == whole.scores
    assert not list((tmp_path / "killed" / "detected").glob("*.ckpt"))


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 64), ("test_vit", 64), ("vitae_v2_half", 64)])
def test_every_family_detects(name: str, size: int) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=size, in_chans=1))
    network = detection_network(backbone, 2, size=size, proposals=32)
    images = [torch.rand(1, 40, 52), torch.rand(1, 30, 20)]
    boxes = torch.tensor([[2.0, 3.0, 16.0, 18.0]])
    masks = torch.zeros(1, 40, 52, dtype=torch.uint8)
    masks[0, 3:18, 2:16] = 1
    targets = [
        {"boxes": boxes, "labels": torch.tensor([1]), "masks": masks},
        {"boxes": boxes, "labels": torch.tensor([2]), "masks": masks[:, :30, :20]},
    ]
    losses = network.train()(images, targets)
    torch.stack(list(losses.values())).sum().backward()
    first = next(one for one in backbone.parameters() if one.requires_grad)
    assert first.grad is not None
    assert float(first.grad.abs().sum()) > 0
    found = network.eval()(images)
    assert [set(one) for one in found] == [{"boxes", "labels", "scores", "masks"}] * 2
    assert found[0]["masks"].shape[2:] == (40, 52)  # in the file's own pixels, whatever the network saw


@pytest.mark.parametrize(("height", "width"), [(20, 64), (64, 20), (64, 64)])
def test_regions_are_read_where_they_lie_whatever_the_shape(height: int, width: int) -> None:
    """Maps that hold each place's own x, px, in the padded square: heads must read what a box says."""
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=64, in_chans=1))
    network = detection_network(backbone, 1, size=64, proposals=8).eval()
    maps = {}
    for level, stride in enumerate((4, 8, 16, 32)):
        places = (torch.arange(64 // stride) + 0.5) * stride
        maps[str(level)] = places.expand(1, 1, 64 // stride, -1)
    found = network.roi_heads.box_roi_pool(maps, [torch.tensor([[8.0, 4.0, 16.0, 16.0]])], [(height, width)])
    assert abs(float(found.mean()) - 12) <= 2  # half a place is torchvision's own


@pytest.mark.slow
def test_it_learns_to_find_the_shapes(write_shapes: Callable[..., Path], run: Path, tmp_path: Path) -> None:
    objects = write_shapes(tmp_path / "shapes", {"train": 60, "val": 20}, side=96)
    options = QUICK | {
        "overrides": ("size=96", "batch_size=4", "steps=300", "lr=0.04", "warmup_steps=30", "proposals=100")
    }
    result = pipeline.evaluate_detect(run, data=objects, **options)
    score = {(one.arm, one.metric): one.value for one in result.scores}
    assert score["pretrained", "ap50_box"] > 0.5


def test_the_schedule() -> None:
    options = DetectTraining(batch_size=8)
    assert options.steps_of(1600) == 2400
    assert options.rate(0, 12_000) == pytest.approx(0.01 / 500)
    assert [options.rate(step, 12_000) for step in (500, 7999, 8000, 10_999, 11_000)] == pytest.approx(
        [0.01, 0.01, 0.001, 0.001, 0.0001]
    )
    with pytest.raises(ValueError, match="size = 100: give a multiple of 32"):
        DetectTraining(size=100)


def test_patients_are_told_and_drawn(
    run: Path, write_shapes: Callable[..., Path], name_patients: Callable[..., None], tmp_path: Path
) -> None:
    folder = write_shapes(tmp_path / "two", {"train": 8, "val": 4})
    by_image = pipeline.evaluate_detect(run, data=folder, **QUICK)
    assert (by_image.protocol, by_image.train_patients, by_image.of_store) == ("images", 0, False)
    assert "patients are not known" in by_image.settings["notes"][0]
    name_patients(folder, "train", [1, 1, 2, 2, 3, 3, 4, 4])
    name_patients(folder, "val", [5, 5, 5, 6])
    by_patient = pipeline.evaluate_detect(run, data=folder, **QUICK)
    assert (by_patient.protocol, by_patient.of_store, by_patient.settings["notes"]) == ("patients", False, [])
    assert (by_patient.train_patients, by_patient.test_patients) == (4, 2)


def test_bad_input(write_shapes: Callable[..., Path], run: Path, objects: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no annotations/instances_<set>.json"):
        pipeline.evaluate_detect(run, data=tmp_path, **QUICK)
    with pytest.raises(ConfigError, match=r"unknown key 'sise'.*did you mean 'size'"):
        pipeline.evaluate_detect(run, data=objects, overrides=["sise=64"])
    folder = tmp_path / "shapes"
    shutil.copytree(objects, folder)
    table = folder / "annotations" / "instances_train.json"
    good = json.loads(table.read_text())

    def told(change: dict, error: type[Exception], why: str) -> None:
        table.write_text(json.dumps(good | change))
        with pytest.raises(error, match=why):
            pipeline.evaluate_detect(run, data=folder, **QUICK)

    told({"annotations": [good["annotations"][0] | {"category_id": 5}]}, ManifestError, "class 5, which is not listed")
    told({"annotations": [{"image_id": 10}]}, ManifestError, r"annotations lacks category_id, bbox")
    told({"annotations": []}, LabelError, "no object to learn from")
    one = good["annotations"][0]
    told({"annotations": [one | {"segmentation": []}]}, ManifestError, "object 1 has an outline of fewer than three")
    told({"annotations": [one | {"segmentation": [[1, 2, 3, 4]]}]}, ManifestError, "fewer than three points")
    told({"annotations": [one | {"bbox": [1, 2]}]}, ManifestError, r"has the box \[1, 2\]")
    told({"annotations": [one | {"bbox": [1, 2, None, 4]}]}, ManifestError, r"has the box \[1, 2, None, 4\]")
    told({"annotations": [one | {"area": None}]}, ManifestError, "object 1 has the area None")
    told({"annotations": [one | {"segmentation": [1, 1, 5, 5, 9, 1]}]}, ManifestError, "that is no list of numbers")
    told(
        {"images": [one | {"height": None} for one in good["images"]]}, ManifestError, r"image \d+ is 56 x None pixels"
    )
    runs = {"counts": "abc", "size": [5, 5]}
    told({"annotations": [one | {"segmentation": runs}]}, ManifestError, "run lengths of another size")
    told({"annotations": [one | {"image_id": 99}]}, ManifestError, "is in image 99, which is not listed")
    told(
        {"images": [image | {"id": str(image["id"])} for image in good["images"]]},
        ManifestError,
        "has the id '10', no whole number",
    )
    told(
        {"categories": [{"id": 3, "name": "round"}, good["categories"][1]]}, ManifestError, "class 3 is tall, and else"
    )
    told(
        {"images": [*good["images"], {"id": 5, "file_name": "a.png", "height": 9, "width": 9}]},
        ManifestError,
        "not there",
    )
    larger = [one | {"height": 50} for one in good["images"]]
    told({"images": larger}, ManifestError, r"0.png: is 56 x 48, the table says 56 x 50|is 56 x 48, the table says")
    climbing = [good["images"][0] | {"file_name": "../../x.png"}]
    told({"images": climbing, "annotations": []}, ManifestError, r"\.\.")
    table.write_text("{")
    with pytest.raises(ManifestError, match="is no table of COCO"):
        read_objects(folder)
    table.unlink()
    (folder / "annotations" / "instances_b.json").write_text("{}")
    with pytest.raises(ManifestError):
        read_objects(folder)
    with pytest.raises(SplitError, match="2 images; at least 3"):
        read_objects(write_shapes(tmp_path / "few", {"val": 2}))
    dilated = BackboneConfig(name="resnet18", image_size=64, in_chans=1, arguments={"output_stride": 16})
    with pytest.raises(BackboneError, match="maps at strides 4 to 32"):
        detection_network(create_backbone(dilated), 2, size=64)


@pytest.mark.real
def test_photographs_are_learned_from_and_scored(run: Path, real_data: Path, tmp_path: Path) -> None:
    """COCO's own file, of one folder of 68 images: half of them learned from for two steps, the others scored."""
    whole = real_data / "coco128"
    told = json.loads((whole / "annotations" / "instances_val2017.json").read_text())
    (tmp_path / "annotations").mkdir()
    for split, images in (("train", told["images"][::2]), ("val", told["images"][1:12:2])):
        numbers = {one["id"] for one in images}
        mine = [one for one in told["annotations"] if one["image_id"] in numbers]
        (tmp_path / f"{split}2017").mkdir()
        for one in images:
            shutil.copy(whole / "val2017" / one["file_name"], tmp_path / f"{split}2017")
        content = {"images": images, "annotations": mine, "categories": told["categories"]}
        (tmp_path / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
    objects = read_objects(tmp_path)
    assert len(objects.classes) == len(told["categories"])
    assert len(objects.train) >= 30  # two of the set show nothing
    assert len(objects.test) == 6
    overrides = ("size=128", "batch_size=2", "steps=2", "lr=0.01", "proposals=32")
    result = pipeline.evaluate_detect(run, data=tmp_path, **QUICK | {"overrides": overrides})
    figures = {(one.arm, one.metric): one.value for one in result.scores}
    assert {arm for arm, _ in figures} == {"pretrained", "random_init"}
    assert all(0 <= value <= 1 for value in figures.values())
