"""Cases of evaluations that kept their networks: what is chosen, drawn, compared, measured and refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.measure import label

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.normalise import to_input
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import Store, open_store
from vesalius.errors import BackboneError, ConfigError, LabelError, RunError
from vesalius.evaluation.explained_subject import ClassSubject, PartSubject
from vesalius.evaluation.explanation_trust import Figure
from vesalius.evaluation.kept_network import load_network
from vesalius.evaluation.networks_of_run import open_networks

QUICK: dict[str, Any] = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50, "seeds": 1}


def new_run(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1, drop_path=0.0))
    save_backbone(backbone, folder / "backbone", state=backbone.state_dict())
    return folder


@pytest.fixture(scope="module")
def classified(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classifiers know on which side the bright square lies."""
    run = new_run(tmp_path_factory.mktemp("classified") / "run")
    how = QUICK | {"task": "finetune", "label": "side", "folds": 2, "random_inits": 1, "keep_networks": True}
    how["overrides"] = ("rounds=3", "round_steps=12", "batch_size=16", "warmup_steps=2", "lr=0.003")
    pipeline.evaluate(run, data=store.path, **how)
    return run


@pytest.fixture(scope="module")
def segmented(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose networks draw hearts and lungs, more or less."""
    run = new_run(tmp_path_factory.mktemp("segmented") / "run")
    how = QUICK | {"protocol": "folds", "folds": 2, "decoder": "fpn", "keep_networks": True}
    how["overrides"] = ["rounds=2", "round_steps=15", "batch_size=8", "lr=0.01"]
    pipeline.evaluate_segment(run, data=phantom_store, **how)
    return run


def explain(run: Path, evaluation: str, store: Path, out: Path, **options: Any) -> tuple[Path, pd.DataFrame]:
    options = {"layer": "layer2"} | options  # 4 x 4 cells at 32 px
    path = pipeline.explain_cases(run, evaluation, store=store, out=out, device="cpu", progress=False, **options)
    return path, pd.read_csv(path.with_name("cases.csv"))


def test_cases_of_a_classifier(classified: Path, store: Store, tmp_path: Path) -> None:
    path, table = explain(classified, "finetune", store.path, tmp_path / "cases", arms=["pretrained", "random_init"])
    assert table.groupby("model")["kind"].value_counts().loc["run"].to_dict() == {"best": 5, "worst": 5, "median": 3}
    assert set(table["model"]) == {"run", "run, random_init".replace("_", " ")}
    [folder] = (classified / "evaluations").iterdir()
    predictions = pd.read_parquet(folder / "predictions.parquet")
    own = predictions[predictions.arm == "pretrained"].set_index("image_id")
    truth = np.where(own.truth_yes == 1, own.score_yes, own.score_no)
    ours = table[table.model == "run"].set_index("image_id")
    expected = pd.Series(truth, index=own.index)
    np.testing.assert_allclose(ours.score, expected[ours.index], atol=1e-4)
    assert ours[ours.kind == "best"].score.min() >= np.sort(truth)[-5] - 1e-4
    assert ours[ours.kind == "worst"].score.max() <= np.sort(truth)[4] + 1e-4
    arrays = np.load(path.with_name("cases.npz"))
    assert arrays["case 0, run, predicted"].shape == (32, 32)
    assert set(ours.explained.str.split().str[0]) == {"predicted"}
    with Image.open(path) as picture:
        assert picture.size[1] > 13 * 176
    trust = pd.read_csv(path.with_name("trust.csv")).set_index(["model", "metric"])
    for metric in ("deletion_area", "insertion_area", "randomised_weights"):
        row = trust.loc[("run", metric)]
        assert row.low <= row.value <= row.high
        assert row.images == 24 if metric != "randomised_weights" else row.images > 0
    assert trust.loc[("run", "insertion_area")].value > trust.loc[("run", "insertion_area")].baseline
    assert ("run", "energy_inside") not in trust.index
    assert str(tmp_path) not in path.with_name("cases.json").read_text()


def test_classes_of_a_store_are_found_by_their_names(classified: Path, store: Store) -> None:
    """A store scored after learning on another one may lack classes, so that its values count others."""
    how = {"name": "side", "arm": "pretrained", "store": store, "device": torch.device("cpu")}
    models = open_networks(classified, "finetune", **how)
    expected = ClassSubject("side").scores(models, store, lambda _: None)
    turned = replace(store, info={**store.info, "labels": {**store.labels}})
    turned.info["labels"]["side"] = {"kind": "multiclass", "classes": ["yes", "no"], "description": ""}
    vars(turned)["manifest"] = store.manifest.assign(label_side=1 - store.manifest["label_side"])
    np.testing.assert_array_equal(ClassSubject("side").scores(models, turned, lambda _: None), expected)
    turned.info["labels"]["side"]["classes"] = ["yes", "perhaps"]
    with pytest.raises(LabelError, match="leave out the images of perhaps"):
        ClassSubject("side").scores(models, turned, lambda _: None)


def dice_of(run: Path, path: Path, row: int) -> float:
    """Of the heart, drawn anew by the network that has never seen the image."""
    store = open_store(path)
    value = store.info["arrays"]["masks"]["parts"].index("heart")
    for file in (run / "segmented").glob("*.safetensors"):
        kept = load_network(file)
        if kept.about.arm == "pretrained" and row in kept.rows:
            with torch.no_grad():
                logits = kept.module(to_input(store.images[[row]], kept.backbone, torch.device("cpu"), (32, 32)))
            full = torch.nn.functional.interpolate(logits, size=(store.size,) * 2, mode="bilinear", align_corners=False)
            drawn = full.argmax(1)[0].numpy() == 1 + kept.about.names.index("heart")
            true = store.masks[row] == value
            return float(2 * (drawn & true).sum() / (drawn.sum() + true.sum()))
    raise AssertionError(f"row {row} was never held out")


def test_cases_of_a_segmentation(segmented: Path, phantom_store: Path, tmp_path: Path) -> None:
    """The same images under two runs; a map that is of a heart lies in it more than an even one would."""
    other = tmp_path / "other" / "run"
    shutil.copytree(segmented, other)
    how: dict[str, Any] = {"parts": ["heart"], "compare": [other], "trust_images": 12}
    path, table = explain(segmented, "segment", phantom_store, tmp_path / "cases", **how)
    assert list(table.columns) == ["case", "kind", "row", "score", "image_id", "model", "subject", "explained"]
    assert len(table) == 26
    assert set(table["explained"]) <= {"heart, class", "nothing predicted"}
    assert table["model"].nunique() == 2
    assert table[table.model == "other/run"].score.tolist() == table[table.model != "other/run"].score.tolist()
    arrays = np.load(path.with_name("cases.npz"))
    assert len(arrays) == (table["explained"] != "nothing predicted").sum()
    for score, row in zip(table.score, table.row, strict=True):
        assert score == pytest.approx(dice_of(segmented, phantom_store, row), abs=1e-3)
    trust = pd.read_csv(path.with_name("trust.csv")).drop_duplicates("metric").set_index("metric")
    assert trust.loc["energy_inside"].value > trust.loc["energy_inside"].baseline
    assert 0 < trust.loc["energy_inside"].baseline < 0.5
    first = path.stat().st_mtime_ns
    again, _ = explain(segmented, "segment", phantom_store, tmp_path / "cases", **how)
    assert again.stat().st_mtime_ns == first
    with pytest.raises(RunError, match=r"made otherwise \(different: .*subjects"):
        explain(segmented, "segment", phantom_store, tmp_path / "cases", parts=["left_lung"])


@pytest.mark.parametrize(
    ("region", "places"), [("component", {}), ("pixel", {"pixel": (20, 20)}), ("box", {"box": (0, 20, 39, 39)})]
)
def test_regions(segmented: Path, phantom_store: Path, region: Any, places: dict[str, Any]) -> None:
    store = open_store(phantom_store)
    how: dict[str, Any] = {"name": "run", "arm": "pretrained", "store": store, "device": torch.device("cpu")}
    models = open_networks(segmented, "segment", **how)
    whole, part = PartSubject("left_lung", store.size), PartSubject("left_lung", store.size, region, **places)
    seen = 0
    for row in models.rows[:12].tolist():
        network = models.never_saw(row)
        inputs = models.pixels(network, store, np.array([row]))
        everything, asked = whole.ask(models, network, inputs), part.ask(models, network, inputs)
        if region == "pixel":
            assert asked is not None
            assert asked.drawn.nonzero().tolist() == [[16, 16]]  # 40 stored pixels are 32 of the input
        if everything is None or asked is None:
            continue
        seen += 1
        if region == "box":
            assert asked.drawn.sum() == everything.drawn[:, 16:].sum()  # the left lung lies on the right
        if region == "component":
            assert label(asked.drawn.numpy(), connectivity=1).max() == 1
            assert bool((everything.drawn | ~asked.drawn).all())
        column = 1 + network.about.names.index("left_lung")
        logits = torch.arange(4 * 32 * 32.0).reshape(4, 32, 32)
        assert float(asked.target(logits)) == float(logits[column][asked.drawn].sum())
    assert seen > 0


def test_maps_that_randomised_weights_give_too_are_told() -> None:
    about = {"model": "run", "subject": "heart", "metric": "randomised_weights"}
    figure = Figure(**about, value=0.8, low=0.7, high=0.9, baseline=0.2, images=9)
    assert "tell of the image and the layers, not of what was learned" in figure.warning
    for quiet in ({"low": 0.4}, {"images": 5}, {"metric": "energy_inside"}):
        assert not replace(figure, **quiet).warning


def test_what_cannot_be_explained(
    classified: Path, segmented: Path, store: Store, phantom_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"no evaluation 'segment' that kept networks .* --keep-networks` first"):
        explain(classified, "segment", store.path, tmp_path)
    with pytest.raises(ConfigError, match="not the store that the networks of 'finetune' were scored on"):
        explain(classified, "finetune", phantom_store, tmp_path)
    with pytest.raises(ConfigError, match="no class 'maybe' of side; classes: no, yes"):
        explain(classified, "finetune", store.path, tmp_path, classes=["maybe"])
    with pytest.raises(ConfigError, match="regions are of segmentations"):
        explain(classified, "finetune", store.path, tmp_path, region="box")
    with pytest.raises(ConfigError, match=r"no part 'hart'.* did you mean 'heart'"):
        explain(segmented, "segment", phantom_store, tmp_path, parts=["hart"])
    with pytest.raises(ConfigError, match="no arm 'trained'"):
        explain(segmented, "segment", phantom_store, tmp_path, arms=["trained"])
    with pytest.raises(ConfigError, match="name parts"):
        explain(segmented, "segment", phantom_store, tmp_path, classes=["heart"])
    for places, words in (
        ({"box": [0, 0, 5, 5]}, "box is not of region 'class'"),
        ({"region": "box"}, "region 'box' needs a box"),
        ({"region": "pixel", "pixel": [40, 0]}, "outside the store's images of 40 x 40 pixels"),
    ):
        with pytest.raises(ConfigError, match=words):
            explain(segmented, "segment", phantom_store, tmp_path, **places)
    with pytest.raises(ConfigError, match="run: named twice"):
        explain(segmented, "segment", phantom_store, tmp_path, compare=[segmented])
    with pytest.raises(ConfigError, match="no region 'blob'"):
        explain(segmented, "segment", phantom_store, tmp_path, region="blob")
    [network, *_] = (classified / "finetuned").glob("*.safetensors")
    kept = network.read_bytes()
    network.write_bytes(kept[:100])
    with pytest.raises(RunError, match="no network that an evaluation kept"):
        explain(classified, "finetune", store.path, tmp_path, arms=["pretrained", "random_init"])
    network.write_bytes(kept)
    assert not list(tmp_path.glob("*.png"))


def test_a_layer_of_one_cell_points_nowhere(classified: Path, store: Store, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="layer4 has one cell for an image of 32 x 32"):
        explain(classified, "finetune", store.path, tmp_path, layer=None)


@pytest.mark.parametrize("kind", ["deep", "colour"])
def test_cases_of_other_pixels(store: Store, tmp_path: Path, kind: str) -> None:
    """The same radiographs in 16 bits, or in colours, are explained at the same places."""
    scans = tmp_path / "scans"
    shutil.copytree(store.path.parent / "scans", scans)
    for file in scans.glob("*.png"):
        pixels = np.asarray(Image.open(file))
        other = pixels.astype(np.uint16) * 257 if kind == "deep" else np.stack([pixels] * 3, axis=2)
        Image.fromarray(other).save(file)
    how: dict[str, Any] = {"bits": 16, "window": (0.0, 65535.0)} if kind == "deep" else {"channels": 3}
    salt = store.path.parent / "salt"
    pipeline.prepare(scans, tmp_path / "other", size=32, workers=1, salt_file=salt, progress=False, **how)
    maps = []
    for number, path in enumerate((store.path, tmp_path / "other")):
        run = new_run(tmp_path / f"run{number}")
        learn = QUICK | {"task": "finetune", "label": "side", "folds": 2, "random_inits": 1, "keep_networks": True}
        learn["overrides"] = ("rounds=1", "round_steps=8", "batch_size=16", "lr=0.003")
        pipeline.evaluate(run, data=path, **learn)
        picture, table = explain(run, "finetune", path, tmp_path / f"cases{number}", trust_images=0)
        arrays = np.load(picture.with_name("cases.npz"))
        maps.append({one.image_id: arrays[f"case {one.case}, {one.model}, predicted"] for one in table.itertuples()})
        with Image.open(picture) as drawn:
            assert drawn.size[1] > 13 * 176
    both = set(maps[0]) & set(maps[1])
    assert len(both) >= 8  # the same cases, but for scores that all but tie
    for image in both:
        assert np.corrcoef(maps[0][image].ravel(), maps[1][image].ravel())[0, 1] > 0.9
