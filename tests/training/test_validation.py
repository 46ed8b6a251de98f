"""A loss on patients held out, which changes nothing of the training, and early stopping by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from vesalius import pipeline
from vesalius.data.batches import ImagePool
from vesalius.data.held_out import HeldOut
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, SplitError, TrainingError
from vesalius.methods.no_method import NoMethod
from vesalius.training.recipe import ValidationConfig
from vesalius.training.validation import Validation

ON = "validation={every_epochs: 0.5}"
RESNET = ("backbone={name: test_resnet, image_size: 32, drop_path: 0}", "views.options.locals=0")
METHODS = {
    "dino": ("method.teacher_entropy=0.6",),
    "moco": (*RESNET, "method={name: moco, hidden: 32, dim: 16, queue: 24}"),
    "byol": (*RESNET, "method={name: byol, hidden: 32, dim: 16, teacher_momentum: 0.9}"),
    "swav": (*RESNET, "method={name: swav, hidden: 32, dim: 16, prototypes: 8, queue: 16, queue_start_epoch: 0}"),
    "moco-v3": (*RESNET, "method={name: moco-v3, hidden: 32, dim: 16, teacher_momentum: 0.9}"),
    "simclr": (*RESNET, "method={name: simclr, hidden: 32, dim: 16}"),
    "simsiam": (*RESNET, "method={name: simsiam, dim: 32, predictor_hidden: 8}"),
    "r2o": (
        *RESNET[:1],
        "method={name: r2o, hidden: 32, dim: 16, clusters: 6, teacher_momentum: 0.9}",
        "views={plan: r2o-chest, options: {size: 32}}",
    ),
    "none": (
        "method={name: none}",
        "guidance={coordinates: {}, contrast: {cells: 2}}",
        "backbone={name: test_vit, image_size: 32, patch_drop: 0.25}",
    ),
}
BATCH = ("training.batch_size=4", "training.epochs=0.5")


@pytest.fixture
def train(pretrain, guided_store: Path) -> Callable[..., Path]:
    """Pretrain on the train split of the guided store, in batches of four."""
    return lambda name, *overrides, **options: pretrain(
        name, *BATCH, *overrides, **({"data": str(guided_store)} | options)
    )


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("method", METHODS)
def test_looking_changes_nothing(train, figures, method: str) -> None:
    """No loss, parameter, statistic, centre or queue, of a training that is looked at after every step."""
    without = train("without", *METHODS[method])
    looked = train("looked", *METHODS[method], "validation={every_epochs: 0.01}")
    steps = [step for step, _ in figures(without, "loss")]
    assert len(steps) > 4
    assert figures(looked, "loss") == figures(without, "loss")
    assert figures(looked, "lr") == figures(without, "lr")
    ours, theirs = _weights(looked), _weights(without)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    seen = figures(looked, "validation_loss")
    assert [step for step, _ in seen] == steps
    assert len({round(value, 5) for _, value in seen}) > len(seen) / 2
    assert not figures(without, "validation_loss")


def test_the_same_images_and_views_at_every_look(train, figures, monkeypatch) -> None:
    """Weights that stay as they are get the same loss again; the training's seed shows no other views."""
    seen: list[torch.Tensor] = []
    forward = NoMethod.forward

    def watch(self, views, progress):
        if not self.training:
            seen.append(torch.cat([view.pixels.flatten() for view in views]))
        return forward(self, views, progress)

    monkeypatch.setattr(NoMethod, "forward", watch)
    still = ("method={name: none}", "guidance={coordinates: {}}", "optimizer={lr: 1.0e-30, min_lr: 0}")
    runs = [train(f"run{seed}", *still, f"training.seed={seed}", "validation={every_epochs: 0.25}") for seed in (0, 1)]
    for run in runs:
        values = [value for _, value in figures(run, "validation_loss")]
        assert len(values) > 2
        assert len(set(values)) == 1
        assert len({round(value, 4) for _, value in figures(run, "loss")}) > 2
    looks = len(seen) // (2 * (1 + len(values)))  # batches a look, the trials' included
    assert looks >= 1, "in evaluation mode"
    assert looks * 2 * (1 + len(values)) == len(seen)
    assert all(torch.equal(one, seen[place % looks]) for place, one in enumerate(seen))


def test_guidance_is_part_of_the_loss(train, figures) -> None:
    run = train("run", "guidance={coordinates: {}}", ON)
    whole, method, guidance = (
        dict(figures(run, f"validation_{part}")) for part in ("loss", "method_loss", "guidance_loss")
    )
    assert whole
    assert all(whole[step] == pytest.approx(method[step] + guidance[step], rel=1e-4) for step in whole)
    assert min(guidance.values()) > 0


def test_what_is_written(train, figures, guided_store: Path) -> None:
    run = train("run", "training.epochs=1.3", ON)
    state = json.loads((run / "run.json").read_text())
    epoch = state["data"]["images"] // 4
    seen = figures(run, "validation_loss")
    half = round(epoch / 2)
    assert [step for step, _ in seen] == sorted({0, half - 1, 2 * half - 1, state["steps"] - 1})
    step, loss = min(seen[1:], key=lambda one: one[1])
    assert state["best_validation"] == {"step": step, "epoch": round(step / epoch, 4), "loss": loss}
    held_out = open_store(guided_store)
    patients = held_out.manifest["patient"].iloc[held_out.rows(split="val")]
    assert state["data"]["validation"] == {"split": "val", "images": len(patients), "patients": patients.nunique()}
    assert not set(patients) & set(pd.read_parquet(run / "pool.parquet")["patient"])
    assert "stopped_early" not in state
    assert state["status"] == "done"


LOSSES = [9.0, 5.0, 4.0, 4.5, 3.9, 4.2, 4.1]


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], list[int]]:
    """Let the looks after the steps 1, 2, 3, ... give these losses; return the steps looked at."""

    def give(values: list[float]) -> list[int]:
        looked: list[int] = []
        measure = Validation.measure

        def known(self, step, now, **where):
            real = measure(self, step, now, **where)
            if "rank" in where:  # the trial before the start has no rank
                looked.append(now.step)
                return real | {"validation_loss": values[now.step]}
            return real

        monkeypatch.setattr(Validation, "measure", known)
        return looked

    return give


STOP = "validation={every_epochs: 0.01, patience: 2, min_delta: 0.2}"


def test_stops_early_and_exports_the_best(train, losses, monkeypatch, capsys, guided_store) -> None:
    looked, exported = losses(LOSSES), {}
    from vesalius.training import validation

    real = validation.export

    def export(module, folder) -> None:
        real(module, folder)
        exported[module.trainer.global_step - 1] = load_file(folder.backbone / "model.safetensors")

    monkeypatch.setattr(validation, "export", export)
    run = train("run", STOP, "training.epochs=9", "guidance={coordinates: {}}")
    assert looked == [0, 1, 2, 3, 4], "3.9 is not lower than 4 by .2"
    assert list(exported) == [1, 2], "the untrained network is no best"
    state = json.loads((run / "run.json").read_text())
    assert (state["status"], state["stopped_early"], state["steps_taken"]) == ("done", True, 5)
    assert state["steps"] > 5
    assert state["images_seen"] == 20
    assert state["best_validation"]["step"] == 2
    assert state["best_validation"]["loss"] == 4.0
    kept = load_file(run / "backbone" / "model.safetensors")
    last = {k.removeprefix("method.teacher.backbone.model."): v for k, v in _weights(run).items()}
    assert all(torch.equal(kept[name], exported[2][name]) for name in kept)
    assert any(not torch.equal(kept[name], last[name]) for name in kept)
    said = " ".join(capsys.readouterr().out.split())
    assert "at most about" in said
    assert "2 looks without a better validation loss than 4 of epoch" in said
    pipeline.pretrain(out=run, data=guided_store, resume=True)
    assert "already done" in " ".join(capsys.readouterr().out.split())


def test_without_patience_the_end_is_exported(train, losses) -> None:
    losses([1.0] * 3 + [2.0] * 99)
    run = train("run", "validation={every_epochs: 0.01}")
    state = json.loads((run / "run.json").read_text())
    assert (state["steps_taken"], state["best_validation"]["step"]) == (state["steps"], 1)
    kept = load_file(run / "backbone" / "model.safetensors")
    last = _weights(run)
    assert all(torch.equal(kept[name], last[f"method.teacher.backbone.model.{name}"]) for name in kept)


def test_looks_before_the_start_do_not_count(train, losses) -> None:
    looked = losses([1.0] * 4 + [float("nan"), 3.0, 3.0, 3.0, 3.0])
    run = train("run", "validation={every_epochs: 0.01, patience: 2, start_from_epoch: 0.3}", "training.epochs=9")
    first = next(step for step in range(9) if step / (_images(run) // 4) >= 0.3)
    state = json.loads((run / "run.json").read_text())
    assert first == 4, "the losses above are made for it"
    assert state["best_validation"]["step"] == 5, "a loss that is no number is no best"
    assert looked == list(range(8))


def _images(run: Path) -> int:
    return int(json.loads((run / "run.json").read_text())["data"]["images"])


@pytest.mark.parametrize("cut", [4, 5])
def test_a_resumed_training_remembers(train, losses, figures, monkeypatch, tmp_path, guided_store, cut: int) -> None:
    """Cut while it waits, or after the checkpoint of its end: it stops where the uninterrupted one does."""
    losses(LOSSES)
    arguments = (STOP, "training.epochs=9")
    whole = train("whole", *arguments)
    from vesalius.training.checkpoint import CheckpointWriter

    real = CheckpointWriter.save

    def stopping(self, trainer, module) -> None:
        real(self, trainer, module)
        if trainer.global_step == cut:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointWriter, "save", stopping)
        with pytest.raises(KeyboardInterrupt):
            train("cut", *arguments)
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["status"] == "interrupted"
    resumed = pipeline.pretrain(out=tmp_path / "cut", data=guided_store, resume=True)
    for name in ("loss", "validation_loss"):
        assert figures(resumed, name) == figures(whole, name)
    ours, theirs = (json.loads((run / "run.json").read_text()) for run in (resumed, whole))
    keys = ("status", "stopped_early", "steps_taken", "best_validation")
    assert [ours[key] for key in keys] == [theirs[key] for key in keys]
    one, other = (load_file(run / "backbone" / "model.safetensors") for run in (resumed, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_the_plan_knows_what_it_costs(train, monkeypatch) -> None:
    measure = Validation.measure
    import time

    def slow(self, *args: Any, **where: Any):
        time.sleep(0.0 if "rank" in where else 0.6)
        return measure(self, *args, **where)

    plain = json.loads((train("plain", ON) / "run.json").read_text())
    monkeypatch.setattr(Validation, "measure", slow)
    looked = json.loads((train("looked", ON) / "run.json").read_text())
    assert looked["planned_minutes"] > plain["planned_minutes"] + 3 * 0.6 / 60 * 0.6


@pytest.mark.parametrize("data", ["{}@all", "{}@train+val"])
def test_images_trained_on_are_refused(train, guided_store: Path, tmp_path: Path, data: str) -> None:
    with pytest.raises(SplitError, match=r"images trained on are of its val split.*train on the train split alone"):
        train("run", ON, data=data.format(guided_store))
    assert not (tmp_path / "run").exists()


def test_too_few_are_refused(train, guided_store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"images in the val split are fewer than one batch of 40"):
        train("run", ON, "training.batch_size=40")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", ["patience: 0", "every_epochs: 0", "images: 0", "min_delta: -1", "patiense: 3"])
def test_bad_options_are_named(train, wrong: str) -> None:
    name, _, _ = wrong.partition(":")
    with pytest.raises(ConfigError, match=rf"validation\.{name}"):
        train("run", f"validation={{{wrong}}}")


def test_images_are_read_in_whole_batches(phantom_store: Path) -> None:
    nine = HeldOut(pool=ImagePool([(open_store(phantom_store), np.arange(9))]))
    for asked, batches in ((512, 4), (6, 3), (5, 2), (1, 1)):
        assert Validation(ValidationConfig(images=asked), nine, 2).batches == batches
