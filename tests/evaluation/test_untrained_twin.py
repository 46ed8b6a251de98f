"""Arms of random weights: the twin of every run, and a run that took no step itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vesalius import pipeline
from vesalius.evaluation import evaluate_run
from vesalius.evaluation.untrained_twin import untrained_arms

QUICK: dict[str, Any] = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50, "random_inits": 1}
TINY = (
    "views={plan: small-chest, options: {size: 32}}",
    "method={name: simsiam, dim: 16, predictor_hidden: 8}",
    "training={batch_size: 16, steps: 0, precision: fp32, accelerator: cpu}",
    "monitors={images: 16, knn_images: 16, every_epochs: 10}",
)
BACKBONE = "backbone={name: test_resnet, image_size: 32, in_chans: 1, drop_path: 0"


@pytest.fixture(scope="module")
def untrained(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "untrained"
    pipeline.pretrain("simsiam/small", data=phantom_store, out=run, overrides=(*TINY, BACKBONE + "}"))
    return run


@pytest.fixture(scope="module")
def loaded(untrained: Path, phantom_store: Path) -> Path:
    """A run of no step from weights of elsewhere."""
    run = untrained.parent / "loaded"
    weights = f"{BACKBONE}, weights: {untrained / 'backbone' / 'model.safetensors'}}}"
    pipeline.pretrain("simsiam/small", data=phantom_store, out=run, overrides=(*TINY, weights))
    return run


def test_weights_from_elsewhere_are_none_of_them(untrained: Path, loaded: Path, tmp_path: Path) -> None:
    assert untrained_arms(untrained) == {"pretrained", "random_init"}
    assert untrained_arms(loaded) == {"random_init"}
    assert untrained_arms(tmp_path) == {"random_init"}  # a backbone that no run of ours made


def test_they_learn_from_labels_at_the_rate_of_untrained_weights(
    untrained: Path, loaded: Path, phantom_store: Path
) -> None:
    how = QUICK | {"data": phantom_store, "protocol": "folds", "folds": 2, "seeds": 1, "overrides": ["rounds=1"]}
    how["overrides"] += ["round_steps=2", "batch_size=8"]
    for run, own in ((untrained, 1e-3), (loaded, 1e-4)):
        tuned = pipeline.evaluate(run, task="finetune", label="any_finding", **how)
        mean = pipeline.evaluate_segment(run, decoder="fcn", **how)[-1]
        for fits in (tuned.settings["fits"], mean.settings["fits"]):
            rates = {(one["arm"], one["lr"]) for one in fits}
            assert rates == {("pretrained", own), ("random_init", 1e-3)}


def test_frozen_they_get_the_statistics_of_their_own_activations(
    untrained: Path, loaded: Path, phantom_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[object] = []
    own = evaluate_run.calibrate_batch_norm

    def counting(backbone: Any, *given: Any, **options: Any) -> Any:
        calibrated.append(backbone)
        return own(backbone, *given, **options)

    monkeypatch.setattr(evaluate_run, "calibrate_batch_norm", counting)
    for run, many in ((untrained, 2), (loaded, 1)):
        calibrated.clear()
        pipeline.evaluate(run, task="knn", label="any_finding", data=phantom_store, **QUICK)
        assert len(calibrated) == many
