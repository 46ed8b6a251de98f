"""Regions scored against masks: the overlap by hand, every arm beside, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vesalius import pipeline
from vesalius.data.store import open_store
from vesalius.errors import BackboneError, ConfigError, KnowledgeError
from vesalius.evaluation.mask_parts import mask_parts
from vesalius.evaluation.regions import RegionOptions, best_overlap, evaluate_regions

QUICK = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50}
ARMS = {"pretrained", "random_init", "joined_by_brightness", "prior_regions", "pixel_clusters", "prior_ceiling"}


@pytest.fixture(scope="module")
def run(guided_store: Path, tmp_path_factory) -> Path:
    """A tiny ResNet that has learned from regions."""
    overrides = (
        "views={plan: r2o-chest, options: {size: 40}}",
        "backbone={name: test_resnet, image_size: 40, drop_path: 0, pool: mean}",
        "method={name: r2o, hidden: 32, dim: 16, clusters: 8, teacher_momentum: 0.9}",
        "training={batch_size: 16, epochs: 2, precision: fp32, accelerator: cpu, log_every_steps: 1}",
        "monitors={images: 16, knn_images: 16, every_epochs: 100}",
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    return pipeline.pretrain("r2o/small", data=f"{guided_store}@all", out=folder, overrides=overrides)


def test_the_best_region_by_hand() -> None:
    """A mask of 8 pixels; region 1 holds six of them and two others: IoU 6 / 10."""
    regions = torch.zeros(2, 4, 4, dtype=torch.long)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    regions[0, 0, 1:], regions[0, 1, 1:], regions[0, 2, :2] = 1, 1, 1
    found = best_overlap(regions, mask)
    assert found[0] == pytest.approx(6 / 10)
    assert found[1].isnan()


def test_every_arm_is_scored(run: Path, guided_store: Path) -> None:
    results = {one.label: one for one in pipeline.evaluate_regions(run, data=guided_store, **QUICK)}
    assert set(results) == {"left_lung", "right_lung", "heart", "mean"}
    for result in results.values():
        found = {one.arm: one.value for one in result.scores}
        assert set(found) == ARMS
        assert all(0 < value < 1 for value in found.values())
        assert found["prior_ceiling"] > found["prior_regions"]
        assert found["prior_ceiling"] > found["pretrained"]
    written = json.loads(next((run / "evaluations").glob("regions-heart-*/result.json")).read_text())
    assert written["settings"]["prior"]["template"] == "slic"
    table = pd.read_parquet(next((run / "evaluations").glob("regions-heart-*/predictions.parquet")))
    store = open_store(guided_store)
    covered = (store.masks[:] == mask_parts(store, ["heart"])[0]["heart"]).mean(axis=(1, 2))
    of_images = table[table.arm == "pretrained"].set_index("image_id").share[store.manifest.image_id]
    np.testing.assert_allclose(of_images, covered, atol=1e-6)
    state = json.loads((run / "run.json").read_text())
    assert state["data"]["regions"]["template"] == "slic"


def test_the_exemplar_of_anatomical_regions_is_left_out(run: Path, guided_store: Path) -> None:
    given = {"data": guided_store, "parts": ["heart"], **QUICK}
    (heart,) = pipeline.evaluate_regions(run, prior="deformable", **given)
    assert heart.test_images == len(open_store(guided_store)) - 1
    assert heart.settings["notes"] == ["left out: 1 image whose own mask is the exemplar's"]
    (plain,) = pipeline.evaluate_regions(run, **given)
    assert (plain.test_images, plain.settings["notes"]) == (len(open_store(guided_store)), [])


def test_the_parts_themselves_as_the_prior(run: Path, guided_store: Path) -> None:
    """Joining the registered parts can be no worse than the ceiling that they set, and cuts nothing anew."""
    store = open_store(guided_store)
    (heart,) = evaluate_regions(
        run,
        store,
        parts=["heart"],
        options=RegionOptions(prior="deformable", clusters=4, bootstrap=20),
        device="cpu",
    )
    found = {one.arm: one.value for one in heart.scores}
    assert found["prior_regions"] > 0.4
    assert found["pretrained"] <= found["prior_ceiling"] + 1e-6
    assert np.isfinite(found["pretrained"])


def test_bad_input(run: Path, guided_store: Path, phantom_store: Path) -> None:
    with pytest.raises(ConfigError, match="clusters = 1: expected 2 or more"):
        pipeline.evaluate_regions(run, data=guided_store, clusters=1, **QUICK)
    with pytest.raises(KnowledgeError, match=r"no knowledge maps 'slic'.*vesalius guide"):
        pipeline.evaluate_regions(run, data=phantom_store, **QUICK)
    with pytest.raises(BackboneError, match="has no stage -9"):
        pipeline.evaluate_regions(run, data=guided_store, stage=-9, **QUICK)
