"""Predicted places scored: as a segmentation, as a registration, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vesalius import pipeline
from vesalius.backbones.load import load_backbone
from vesalius.data.kept_template import read_template
from vesalius.data.knowledge_maps import find_maps
from vesalius.data.store import open_store
from vesalius.errors import EvaluationError, KnowledgeError, LabelError
from vesalius.evaluation.coordinates import field_of_view_mm, predict_places
from vesalius.guidance.kept_heads import read_places_head

QUICK = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50}


@pytest.fixture(scope="module")
def run(guided_store: Path, tmp_path_factory) -> Path:
    """A tiny ViT that has learned where its patches lie."""
    overrides = (
        "views={plan: guided-chest, options: {size: 80, area: [0.8, 1], rotation_p: 0}}",
        "backbone={name: test_vit, image_size: 80, drop_path: 0}",
        "guidance={coordinates: {}}",
        "optimizer.lr=0.003",
        "training={batch_size: 16, epochs: 60, precision: fp32, accelerator: cpu}",
        "monitors={images: 16, knn_images: 16, every_epochs: 100}",
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    return pipeline.pretrain("anatomy/small", data=f"{guided_store}@all", out=folder, overrides=overrides)


def values(result) -> dict[tuple[str, str], float]:
    return {(one.arm, one.metric): one.value for one in result.scores}


def test_places_segment_and_register(run: Path, guided_store: Path) -> None:
    results = {
        one.label: one for one in pipeline.evaluate_coordinates(run, data=guided_store, maps="deformable", **QUICK)
    }
    assert set(results) == {"left_lung", "right_lung", "heart", "places"}
    for part in ("left_lung", "right_lung", "heart"):
        found = values(results[part])
        assert {arm for arm, _ in found} == {"pretrained", "mean_template", "exemplar_unmoved", "registered_exemplar"}
        assert found["pretrained", "iou"] <= found["pretrained", "dice"] <= 1
    lungs = [values(results[part]) for part in ("left_lung", "right_lung")]
    assert np.mean([one["pretrained", "dice"] for one in lungs]) > np.mean(
        [one["exemplar_unmoved", "dice"] for one in lungs]
    )
    places = values(results["places"])
    assert places["pretrained", "error_px"] < places["unmoved", "error_px"]
    written = json.loads(next((run / "evaluations").glob("coordinates-places-*/result.json")).read_text())
    assert written["task"] == "coordinates"
    assert written["settings"]["template_px"] == [40, 40]


def test_millimetres_follow_from_the_spacing_and_how_the_image_was_fitted() -> None:
    """A square of 256 px that shows 2,048 px of .175 mm, and one of 512 px of .7 mm: 358.4 mm both."""
    known = pd.DataFrame({"spacing_x_mm": [0.175, 0.7], "scale_x": [8.0, 2.0]})
    np.testing.assert_allclose(field_of_view_mm(known, 256), [358.4, 358.4])
    assert field_of_view_mm(known.assign(spacing_x_mm=[0.175, np.nan]), 256) is None


def test_predicted_places_are_those_of_the_patches(run: Path, guided_store: Path) -> None:
    """By hand: the exported backbone's tokens through the kept layer, at two sizes of the input."""
    store, backbone = open_store(guided_store), load_backbone(run / "backbone")
    head = read_places_head(run / "guidance")
    rows = np.arange(3)
    for size, grid in ((None, 5), (128, 8)):
        places = predict_places(backbone, head, store, rows, image_size=size, precision="fp32", device="cpu")
        assert places.shape == (3, 2, grid, grid)
    # From left to right x grows, from top to bottom y does.
    assert (places[:, 0, :, -1] > places[:, 0, :, 0]).all()
    assert (places[:, 1, -1] > places[:, 1, 0]).all()


def test_the_run_keeps_its_template(run: Path, guided_store: Path) -> None:
    kept, maps = read_template(run / "guidance"), find_maps(open_store(guided_store), "deformable")
    assert kept.names == maps.names
    assert kept.frame == maps.frame
    assert kept.image.shape == (1, 1, 40, 40)
    torch.testing.assert_close(kept.parts[0], torch.from_numpy(maps.still / np.float32(255)))


def test_what_cannot_be_scored_is_told(run: Path, guided_store: Path, phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"no part 'hart'.*heart"):
        pipeline.evaluate_coordinates(run, data=guided_store, parts=["hart"], **QUICK)
    foreign = tmp_path / "foreign"
    shutil.copytree(run, foreign)
    about = foreign / "guidance" / "template.json"
    about.write_text(about.read_text().replace("left_lung", "liver").replace("right_lung", "spleen"))
    with pytest.raises(EvaluationError, match=r"has masks of .*, the run's template knows liver, spleen, heart"):
        pipeline.evaluate_coordinates(foreign, data=guided_store, parts=["left_lung"], **QUICK)
    options = {"out": tmp_path / "triangles", "map_size": 20, "progress": False}
    other = pipeline.guide(guided_store, template="triangular", **options)
    with pytest.raises(EvaluationError, match="maps of another template than the run's"):
        pipeline.evaluate_coordinates(run, data=guided_store, maps=other.path, **QUICK)
    unguided = tmp_path / "unguided"
    (unguided / "backbone").mkdir(parents=True)
    with pytest.raises(KnowledgeError, match=r"no head that tells places .*guidance.coordinates"):
        pipeline.evaluate_coordinates(unguided, data=phantom_store, **QUICK)
