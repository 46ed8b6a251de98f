"""Attention scored against masks: the arms that stand beside it, what is refused, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from vesalius import pipeline
from vesalius.cli import app
from vesalius.data.store import open_store
from vesalius.errors import BackboneError, LabelError, StoreError
from vesalius.evaluation.attention_arms import baseline_arms, head_arms
from vesalius.evaluation.write_result import result_folder
from vesalius.interpret.localisation import average_precision, enlarge

QUICK = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50}


@pytest.fixture(scope="module")
def run(phantom_store: Path, tmp_path_factory) -> Path:
    """A tiny ViT after four steps."""
    overrides = (
        "views.options={size: 32}",
        "backbone={name: test_vit, image_size: 32, drop_path: 0}",
        "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16}",
        "training={batch_size: 16, epochs: 1, precision: fp32, accelerator: cpu}",
        "monitors={images: 16, knn_images: 16}",
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    return pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=folder, overrides=overrides)


def scores(result) -> dict[tuple[str, str], float]:
    return {(one.arm, one.metric): one.value for one in result.scores}


def test_every_part_stands_beside_what_costs_nothing(run: Path, phantom_store: Path) -> None:
    results = pipeline.evaluate_attention(run, data=phantom_store, **QUICK)
    assert {result.label for result in results} == {"left_lung", "right_lung", "heart"}
    truth = open_store(phantom_store).masks[np.arange(64)]
    names = list(open_store(phantom_store).info["arrays"]["masks"]["parts"])
    for result in results:
        found = scores(result)
        arms = {arm for arm, _ in found}
        assert arms == {
            "pretrained",
            "best_head",
            "fair_head",
            "random_init",
            "mean_template",
            "grid_ceiling",
            "chance",
        }
        inside = truth == names.index(result.label)
        area = inside.mean((1, 2))
        assert found["chance", "average_precision"] == pytest.approx(area[area > 0].mean(), abs=1e-4)
        key = "average_precision"
        assert found["best_head", key] >= found["fair_head", key] - 1e-6
        assert found["grid_ceiling", key] > found["pretrained", key]
        assert found["mean_template", key] > found["chance", key] + 0.2
        for one in result.scores:
            assert np.isnan(one.low) or one.low <= one.value <= one.high


def test_results_are_written_with_the_figures_of_every_image(run: Path, phantom_store: Path) -> None:
    (result,) = pipeline.evaluate_attention(run, data=phantom_store, parts=["heart"], image_size=48, **QUICK)
    where = {"fingerprint": open_store(phantom_store).fingerprint, "changed": result.settings["changed"]}
    folder = result_folder(run, task="attention", label="heart", **where)
    about = json.loads((folder / "result.json").read_text())
    assert about["settings"]["image_size"] == 48
    assert about["settings"]["seen_in_pretraining"]["test_images"] == 64
    assert "heart: average precision" in about["verdict"]
    table = pd.read_parquet(folder / "predictions.parquet")
    assert list(table.columns[:3]) == ["image_id", "patient", "arm"], "no names of files"
    again = pipeline.evaluate_attention(run, data=phantom_store, parts=["heart"], image_size=48, **QUICK, seed=1)[0]
    assert again.settings["changed"]["seed"] == 1  # another twin: a folder of its own
    assert json.loads((folder / "result.json").read_text())["settings"]["changed"] == result.settings["changed"]
    told = {one["baseline"]: one["word"] for one in result.settings["comparisons"]}
    assert {"random_init", "mean_template", "chance"} <= told.keys()


def test_knowledge_maps_are_scored_beside(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    scans = phantom_store.parent / "scans"
    image = sorted((scans / "images").iterdir())[0]
    parts = {"left_lung": 1, "right_lung": 2, "heart": 3}
    where = {"map_size": 20, "workers": 1, "progress": False, "device": "cpu", "out": tmp_path / "maps"}
    mask = scans / "masks" / image.name
    pipeline.guide(phantom_store, exemplars=[image], masks=[mask], parts=parts, **where)
    (result,) = pipeline.evaluate_attention(run, data=phantom_store, parts=["heart"], maps=tmp_path / "maps", **QUICK)
    found = scores(result)
    assert found["registered_exemplar", "average_precision"] > found["exemplar_unmoved", "average_precision"]


def test_the_fair_head_is_chosen_on_other_patients() -> None:
    truth = torch.zeros(6, 8, 8, dtype=torch.bool)
    truth[:, :, :4] = True
    attention = torch.rand(6, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    # Head 0 is right on one patient's images, head 1 on the other's: what is chosen on the other one is always wrong.
    attention[:3, 0, :, :2] += 1
    attention[3:, 1, :, :2] += 1
    given = {"upsampling": "bilinear", "patients": np.array(list("aaabbb"))}
    arms = {arm.name: arm for arm in head_arms("pretrained", attention, truth, assigned=None, **given)}
    right = average_precision(enlarge(attention[:, [0]], (8, 8))[:, 0], truth)[:3].mean()
    fair = average_precision(enlarge(arms["fair_head"].maps[:, None], (8, 8))[:, 0], truth).mean()
    assert right > 0.99
    assert fair < 0.8
    guided = head_arms("pretrained", attention, truth, assigned=1, **given)[0]
    assert guided.heads == (1,)


def test_the_mean_template_leaves_its_own_image_out() -> None:
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[0, :2], truth[1, 2:] = True, True
    arms = {arm.name: arm for arm in baseline_arms(truth, (2, 2), given={})}
    assert torch.equal(arms["mean_template"].maps, truth.flip(0).float())
    torch.testing.assert_close(arms["grid_ceiling"].maps[0], torch.tensor([[1.0, 1.0], [0.0, 0.0]]))


def test_what_cannot_be_scored_is_refused(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"no part .hart..*heart"):
        pipeline.evaluate_attention(run, data=phantom_store, parts=["hart"], **QUICK)
    from PIL import Image

    for number in range(4):
        (tmp_path / "scans").mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)).save(
            tmp_path / "scans" / f"{number}.png"
        )
    pipeline.prepare(tmp_path / "scans", tmp_path / "store", size=40, workers=1, progress=False)
    with pytest.raises(StoreError, match="has no masks"):
        pipeline.evaluate_attention(run, data=tmp_path / "store", **QUICK)


def test_a_network_without_cls_is_refused(phantom_store: Path, tmp_path: Path) -> None:
    overrides = (
        "views.options={size: 32}",
        "backbone={name: resnet18, image_size: 32, drop_path: 0}",
        "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16}",
        "training={batch_size: 16, epochs: 0.25, precision: fp32, accelerator: cpu}",
        "monitors={images: 16, knn_images: 16}",
    )
    run = pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=tmp_path / "run", overrides=overrides)
    with pytest.raises(BackboneError, match=r"no .CLS. token"):
        pipeline.evaluate_attention(run, data=phantom_store, **QUICK)


def test_from_the_command_line(run: Path, phantom_store: Path) -> None:
    words = ["evaluate", str(run), "--data", str(phantom_store), "--task", "attention", "--label", "heart"]
    done = CliRunner().invoke(app, [*words, "--bootstrap", "20", "--precision", "fp32"])
    assert done.exit_code == 0, done.output
    assert "ceiling" in done.output
    assert CliRunner().invoke(app, ["evaluate", str(run), "--data", str(phantom_store)]).exit_code == 2
