"""A disk that fills up and a memory that does not suffice while training: said in words, and nothing is lost."""

from __future__ import annotations

import errno
import json
import shutil

import pytest
import torch
from lightning import Trainer
from timm.models.vision_transformer import VisionTransformer

from vesalius import pipeline
from vesalius.errors import CheckpointError, RunError, TrainingError, VesaliusError
from vesalius.methods.dino import Dino
from vesalius.training.checkpoint import read_step
from vesalius.training.failures import explain
from vesalius.training.run_folder import RunFolder


def test_a_disk_that_fills_up_under_way(phantom_store, small_disk, tiny, figures, pretrain, monkeypatch) -> None:
    """A real one: it is filled after the first checkpoint; what was saved resumes to the same figures."""
    run, save, seen = small_disk(24) / "run", Trainer.save_checkpoint, []
    options = {"data": f"{phantom_store}@all", "out": run}

    def fill(self, *args, **kwargs) -> None:
        seen.append(self.global_step)
        if len(seen) == 3:
            with (run.parent / "ballast").open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(1 << 16)):
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 (this is the point of the loop)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "save_checkpoint", fill)
    with pytest.raises(RunError, match=r"run: the disk is full; the last checkpoint is whole: make room .*--resume"):
        pipeline.pretrain("dino/small", overrides=tiny(), **options)
    assert read_step(RunFolder(run)) == 2
    (run.parent / "ballast").unlink()
    monkeypatch.undo()
    pipeline.pretrain("dino/small", resume=True, **options)
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert figures(run, "loss") == figures(pretrain("whole"), "loss")


def test_a_memory_that_does_not_suffice(pretrain, monkeypatch, tmp_path) -> None:
    """Asked of the real allocator: no machine gives a step this much."""
    forward, steps = Dino.forward, []

    def grow(self, views, progress):
        steps.append(progress.step)
        if len(steps) == 12:
            torch.empty(1 << 60)
        return forward(self, views, progress)

    monkeypatch.setattr(Dino, "forward", grow)
    with pytest.raises(TrainingError, match=r"training\.batch_size = 16: lower it, or .*the last checkpoint is whole"):
        pretrain("run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


def test_a_memory_that_does_not_suffice_for_the_first_step(pretrain, monkeypatch, tmp_path) -> None:
    """It shows in the trial, within the backbone; nothing is written, so that the same folder can be tried again."""
    forward = VisionTransformer.forward_features
    monkeypatch.setattr(
        VisionTransformer, "forward_features", lambda self, x, *given: forward(self, x, *given) + torch.empty(1 << 60)
    )
    with pytest.raises(TrainingError, match=r"training\.batch_size = 16: lower it, or .*nothing was written yet"):
        pretrain("run")
    assert not (tmp_path / "run").exists()


def test_a_gradient_that_is_no_number_leaves_the_weights_as_they_were(pretrain, monkeypatch, tmp_path) -> None:
    """Its loss is still finite: without a look at the gradients the next checkpoint would hold weights of NaN."""
    forward, steps = Dino.forward, []

    def spoil(self, views, progress):
        output = forward(self, views, progress)
        steps.append(progress.step)
        if len(steps) > 1 and progress.step == 3:  # of the training, not of the trial
            output.loss.register_hook(lambda gradient: gradient * float("nan"))
        return output

    monkeypatch.setattr(Dino, "forward", spoil)
    with pytest.raises(TrainingError, match=r"the largest gradient is nan at step 3: begin a new run with a lower"):
        pretrain("run")
    content = torch.load(RunFolder(tmp_path / "run").checkpoint, weights_only=True)["state_dict"]
    assert all(torch.isfinite(value).all() for value in content.values() if value.is_floating_point())


def test_devices_that_cannot_share_the_batch_are_told_before_anything_is_written(pretrain, tmp_path) -> None:
    with pytest.raises(VesaliusError, match="a batch of 16 cannot be shared by 3 processes"):
        pretrain("run", "training.devices=3")
    assert not (tmp_path / "run").exists()


def test_other_errors_are_not_explained_away(pretrain, monkeypatch, tmp_path) -> None:
    run = RunFolder(pretrain("run"))
    nothing_left = shutil.disk_usage(tmp_path)._replace(free=0)
    assert explain(ValueError("write"), run, run.recipe()) is None
    assert explain(OSError(errno.EACCES, "no right"), run, run.recipe()) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda _: nothing_left)
    assert explain(ValueError("three"), run, run.recipe()) is None
    assert isinstance(explain(RuntimeError("PytorchStreamWriter failed writing file"), run, run.recipe()), RunError)


def test_a_checkpoint_of_other_parts_is_told(pretrain, phantom_store) -> None:
    """As another version of the program might have written it."""
    run = pretrain("run", "training.epochs=1")
    file = RunFolder(run).checkpoint
    content = torch.load(file, weights_only=True)
    content["state_dict"]["method.head.renamed"] = content["state_dict"].pop(
        next(key for key in content["state_dict"] if key.startswith("method.head."))
    )
    torch.save(content, file)
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"status": "interrupted", "steps": state["steps"] + 2}))
    with pytest.raises(CheckpointError, match=r"other names or shapes .* resume with that version"):
        pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=run, resume=True)
