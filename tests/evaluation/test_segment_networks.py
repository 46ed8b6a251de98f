"""Segmentation networks trained beside their untrained twins: what is scored, kept, frozen and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, EvaluationError, LabelError
from vesalius.evaluation import fit_segmentation, segment_networks
from vesalius.evaluation.segment_counts import SegmentCounts
from vesalius.evaluation.segment_options import SegmentOptions, SegmentTraining

QUICK: dict[str, Any] = {
    "progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50, "protocol": "folds", "folds": 2,
    "seeds": 1, "decoder": "fpn", "overrides": ["rounds=2", "round_steps=6", "batch_size=8", "lr=0.003"],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1, drop_path=0.0))
    save_backbone(backbone, folder / "backbone", state=backbone.state_dict())
    return folder


def test_every_arm_is_trained_scored_and_kept(
    run: Path, phantom_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {
        one.label: one for one in pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"progress": True})
    }
    assert "segment: 48 steps at most" in capsys.readouterr().err
    assert set(results) == {"left_lung", "right_lung", "heart", "mean"}
    found = {one.arm: one.value for one in results["mean"].scores if one.metric == "dice"}
    assert list(found) == ["pretrained", "random_init", "pixels", "mean_mask"]
    assert all(0 < value < 1 for value in found.values())
    settings = results["mean"].settings
    assert settings["decoder"] == "fpn"
    assert settings["training"]["round_steps"] == 6
    assert [(one["arm"], one["pair"], one["lr"]) for one in settings["fits"]] == [
        ("pretrained", 0, 0.003), ("pretrained", 1, 0.003), ("random_init", 0, 0.003), ("random_init", 1, 0.003),
    ]  # fmt: skip

    def never(*given: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(segment_networks, "fit_segmentation", never)
    again = {one.label: one for one in pipeline.evaluate_segment(run, data=phantom_store, **QUICK)}
    assert again["heart"].scores == results["heart"].scores
    with pytest.raises(AssertionError, match="trained again"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"decoder": "unet"})


def test_trainings_are_chosen_by_patients_that_neither_teach_nor_are_scored(phantom_store: Path) -> None:
    store = open_store(phantom_store)
    options = SegmentOptions(decoder="fpn", protocol="folds", folds=2, fractions=(0.3, 1.0), seeds=2)
    rows = store.rows()
    parts = {name: value for value, name in enumerate(store.info["arrays"]["masks"]["parts"]) if value}
    job = SegmentCounts(store, rows, parts, options=options, batch_size=8)
    assert [(one.fraction, one.seed, one.pair) for one in job.draws] == [
        (fraction, seed, pair) for seed in (0, 1) for pair in (0, 1) for fraction in (0.3, 1.0)
    ]
    held = {one.pair: one.held_out for one in job.draws}
    for draw in job.draws:
        sides = [set(job.patients[places]) for places in (draw.train, draw.held_out, draw.test)]
        assert len(set.union(*sides)) == sum(map(len, sides))
        assert np.array_equal(draw.held_out, held[draw.pair])
    few, all_of_them = (next(one for one in job.draws if one.fraction == fraction) for fraction in (0.3, 1.0))
    assert set(few.train) < set(all_of_them.train)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_encoder_of_few_images_keeps_its_weights(
    run: Path, phantom_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, frozen: bool
) -> None:
    trained = []
    whole = fit_segmentation.fit_segmentation

    def watch(network: Any, *given: Any, **options: Any) -> Any:
        before = {name: one.clone() for name, one in network.state_dict().items()}
        fit = whole(network, *given, **options)
        trained.append([name for name, one in network.state_dict().items() if not torch.equal(one, before[name])])
        return fit

    monkeypatch.setattr(segment_networks, "fit_segmentation", watch)
    overrides = [*QUICK["overrides"], f"frozen_below={1000 if frozen else 0}"]
    pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"overrides": overrides, "cache": tmp_path})
    assert len(trained) == 4
    for names in trained:
        assert any(name.startswith("decoder.") for name in names)
        assert any(name.startswith("encoder.backbone.") for name in names) != frozen


def test_views_are_turned_and_cropped_as_far_as_asked(
    run: Path, phantom_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    whole = fit_segmentation.make_views

    def watch(*given: Any, **options: Any) -> Any:
        views = whole(*given, **options)
        seen.append(views[0].affine)
        return views

    monkeypatch.setattr(fit_segmentation, "make_views", watch)
    most = {}
    for rotation, crop in ((0, 1.0), (180, 0.2)):
        seen.clear()
        own = ["rounds=1", "round_steps=3", "batch_size=8", f"rotation={rotation}", f"smallest_crop={crop}"]
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"overrides": own, "cache": tmp_path})
        matrices = torch.cat(seen)[:, :2, :2].double()
        angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0])).abs()
        most[rotation] = (float(angles.max()), float(torch.linalg.det(matrices).min()))
    (still, whole_area), (turned, part) = most[0], most[180]
    assert still == pytest.approx(0, abs=1e-6)
    assert turned > 90
    assert part < whole_area / 2


def test_it_learns(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    given = QUICK | {"overrides": ["rounds=3", "round_steps=15", "batch_size=8", "lr=0.01"], "parts": ["heart"]}
    [heart] = pipeline.evaluate_segment(run, data=phantom_store, **given, cache=tmp_path)
    found = {one.arm: one.value for one in heart.scores if one.metric == "dice"}
    assert found["pretrained"] > 0.5
    assert found["random_init"] > 0.5


def test_the_rate_is_searched_on_the_first_draw(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    overrides = ["rounds=1", "round_steps=2", "batch_size=8", "grid=[0.001, 0.01]"]
    given = QUICK | {"overrides": overrides, "search": "lr", "seeds": 2, "parts": ["heart"], "cache": tmp_path}
    [heart] = pipeline.evaluate_segment(run, data=phantom_store, **given)
    fits = heart.settings["fits"]
    assert len(fits) == 8  # arms, draws, folds
    rates = {(one["arm"], one["pair"]): one["lr"] for one in fits if one["seed"] == 0}
    assert all(one["lr"] == rates[one["arm"], one["pair"]] for one in fits)
    assert len(list((tmp_path / "segmented").glob("*.npz"))) == 4 * 2 + 4 + 1  # the grid, further draws, pixels


def test_bad_input(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"decoder = 'fpm'.*did you mean 'fpn'"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"decoder": "fpm"})
    with pytest.raises(ConfigError, match="decoder linear is not trained in rounds"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"decoder": "linear"})
    with pytest.raises(ConfigError, match=r"flip = 0.5: would take (left|right)_lung for the other side's"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"overrides": ["flip=0.5"]})
    with pytest.raises(ConfigError, match="elastic"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"overrides": ["elastic=3"]})
    with pytest.raises(ConfigError, match="random_inits = 2, seeds = 1"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"random_inits": 2})
    diverging = ["lr=1e30", "rounds=2", "round_steps=4", "batch_size=8", "optimizer=sgd"]
    with pytest.raises(EvaluationError, match="try a smaller one"):
        pipeline.evaluate_segment(run, data=phantom_store, **QUICK | {"overrides": diverging, "cache": tmp_path})


def test_a_validation_set_that_chooses_nothing_is_refused(phantom_store: Path) -> None:
    store = open_store(phantom_store)
    options = SegmentOptions(decoder="fpn", protocol="folds", folds=2, training=SegmentTraining())
    job = SegmentCounts(store, store.rows(), {"heart": 3}, options=options, batch_size=8)
    job.draws = [replace(draw, held_out=draw.held_out[:1]) for draw in job.draws]
    with pytest.raises(LabelError, match=r"the 1 images held out lack a second image; use a larger share"):
        segment_networks.check_draws(job)


def test_a_part_that_no_scored_image_shows_is_named(
    run: Path, phantom_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks hold the part, but none of the test side: nothing is trained, and nothing is averaged of nothing."""
    shown = vars(SegmentCounts)["shown"].func

    def without(job: SegmentCounts) -> np.ndarray:
        found = shown(job)
        found[job.sides.test, list(job.parts).index("heart")] = False
        return found

    monkeypatch.setattr(SegmentCounts, "shown", property(without))
    for decoder, overrides in (("linear", []), ("fpn", QUICK["overrides"])):
        how = QUICK | {"decoder": decoder, "overrides": overrides, "cache": tmp_path}
        with pytest.raises(
            LabelError, match=r"none of the \d+ images of the test side shows heart.*--label; .*parts: "
        ):
            pipeline.evaluate_segment(run, data=phantom_store, **how)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("decoder", ["linear", "fpn"])
def test_a_part_that_no_labelled_image_shows_is_named(phantom_store: Path, decoder: str) -> None:
    store = open_store(phantom_store)
    options = SegmentOptions(decoder=decoder, protocol="folds", folds=2, training=SegmentTraining())
    job = SegmentCounts(store, store.rows(), {"heart": 1, "spleen": 77}, options=options, batch_size=8)
    with pytest.raises(LabelError, match=r"at 100 % of the labels the \d+ labelled images lack spleen"):
        segment_networks.check_draws(job)
