"""Answers of kept networks: the masks that were scored, the maps that `explain` draws, kept and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import Store, open_store
from vesalius.evaluation import see_answers as module
from vesalius.evaluation.explain_one import Activation, explain_one
from vesalius.evaluation.explained_subject import PartSubject
from vesalius.evaluation.networks_of_run import RunNetworks, evaluations_with_networks, open_networks
from vesalius.evaluation.see_answers import see_answers

CPU = torch.device("cpu")
QUICK: dict[str, Any] = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 20, "seeds": 1}


@pytest.fixture(scope="module")
def phantom(phantom_store: Path) -> Store:
    return open_store(phantom_store)


@pytest.fixture(scope="module")
def run(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("answers") / "run"
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=48, in_chans=1, drop_path=0.0))
    save_backbone(backbone, run / "backbone", state=backbone.state_dict())
    how = QUICK | {"protocol": "folds", "folds": 2, "decoder": "fpn", "keep_networks": True}
    how["overrides"] = ["rounds=1", "round_steps=12", "batch_size=8", "lr=0.01"]
    pipeline.evaluate_segment(run, data=phantom_store, **how)
    return run


@pytest.fixture(scope="module")
def models(run: Path, phantom: Store) -> RunNetworks:
    [evaluation], wrong = evaluations_with_networks(run, phantom)
    assert wrong == ()
    return open_networks(run, evaluation, name="run", arm="pretrained", store=phantom, device=CPU)


def test_every_image_is_answered_by_a_network_that_never_saw_it(run: Path, models: RunNetworks, phantom: Store) -> None:
    answers = see_answers(run, "segment", models, phantom)
    assert sorted(answers.rows) == list(range(64))
    assert answers.predicted is not None
    assert answers.activation is not None
    assert answers.predicted.shape == (64, 40, 40)
    assert answers.activation.shape == (64, len(answers.about["explained"]), 56, 56)
    place = {int(row): number for number, row in enumerate(answers.rows)}
    for row in (0, 20, 63):
        network = models.never_saw(row)
        logits = models.logits(network, models.pixels(network, phantom, np.array([row])))
        large = functional.interpolate(logits, size=(40, 40), mode="bilinear", align_corners=False)
        np.testing.assert_array_equal(answers.predicted[place[row]], large[0].argmax(0))
        name = answers.about["explained"][1]
        explained = explain_one(models, PartSubject(name, 40), phantom, row, Activation())
        kept = answers.activation[place[row], 1] / 255
        if explained is None:
            assert not kept.any()
        else:
            small = functional.adaptive_avg_pool2d(explained.saliency[None, None], 56)[0, 0]
            np.testing.assert_allclose(kept, small.numpy(), atol=0.5 / 255 + 1e-5)


def test_work_that_was_stopped_goes_on(
    run: Path, models: RunNetworks, phantom: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def dying(count: int) -> None:
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        see_answers(tmp_path, "segment", models, phantom, activations=False, advance=dying)
    answered: list[int] = []
    inside = module._answer
    monkeypatch.setattr(module, "_answer", lambda *given: answered.append(len(given[3])) or inside(*given))
    answers = see_answers(tmp_path, "segment", models, phantom, activations=False)
    assert sum(answered) + sum(done) == 64
    assert answers.activation is None
    monkeypatch.setattr(module, "_answer", None)
    again = see_answers(tmp_path, "segment", models, phantom, activations=False)
    assert answers.predicted is not None
    np.testing.assert_array_equal(again.predicted, answers.predicted)


def test_networks_that_are_damaged_are_told(run: Path, phantom: Store, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    for file in (broken / "segmented").glob("*.safetensors"):
        file.write_bytes(b"cut")
    found, wrong = evaluations_with_networks(broken, phantom)
    assert found == ()
    assert "no network that an evaluation kept" in wrong[0]
