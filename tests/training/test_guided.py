"""Guided trainings: knowledge teaches heads and patches, alone or beside a method, and a resume goes on with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from vesalius import pipeline
from vesalius.errors import CheckpointError, ConfigError, KnowledgeError
from vesalius.guidance.kept_heads import read_places_head
from vesalius.training.run_folder import RunFolder

GUIDANCE = "guidance={attention: {heads: {left_lung: 0, heart: 1}}, coordinates: {}}"
ALONE = ("method={name: none}", "views.plan=guided-chest", "views.options={size: 32}")


def test_knowledge_alone_teaches(pretrain, guided_store: Path, figures) -> None:
    run = pretrain("run", *ALONE, GUIDANCE, "optimizer.lr=0.003", "training.epochs=24", data=f"{guided_store}@all")
    inside = [value for _, value in figures(run, "attention_inside/heart")]
    error = [value for _, value in figures(run, "coordinate_error_px")]
    assert inside[-1] > inside[0] + 0.1
    assert error[-1] < 0.6 * error[0]
    assert figures(run, "method_loss")[-1][1] == 0
    state = RunFolder(run).state()
    assert state["data"]["maps"]["parts"] == ["left_lung", "right_lung", "heart"]


def test_guidance_joins_a_method(pretrain, guided_store: Path, figures) -> None:
    run = pretrain("run", GUIDANCE, "training.epochs=1", data=f"{guided_store}@all")
    loss, method, guidance = (dict(figures(run, name)) for name in ("loss", "method_loss", "guidance_loss"))
    for step, value in loss.items():
        assert value == pytest.approx(method[step] + guidance[step], rel=1e-4)


METHODS = {
    "byol": "hidden: 16, dim: 8",
    "simsiam": "dim: 16, predictor_hidden: 4",
    "swav": "hidden: 16, dim: 8, prototypes: 8",
    "moco": "hidden: 16, dim: 8, queue: 64",
    "moco-v3": "hidden: 16, dim: 8",
    "simclr": "hidden: 16, dim: 8",
}


@pytest.mark.parametrize("name", METHODS)
def test_guidance_joins_every_method(pretrain, guided_store: Path, figures, name: str) -> None:
    method = f"method={{name: {name}, {METHODS[name]}}}"
    views = "views={plan: small-chest, options: {size: 32}}"
    run = pretrain("run", method, views, GUIDANCE, "training.epochs=1", data=f"{guided_store}@all")
    for part in ("left_lung", "heart"):
        assert len(figures(run, f"attention_loss/{part}")) == 4
    loss, own, guidance = (dict(figures(run, what)) for what in ("loss", "method_loss", "guidance_loss"))
    assert all(value == pytest.approx(own[step] + guidance[step], rel=1e-4) for step, value in loss.items())
    assert (run / "guidance").is_dir()


@pytest.mark.parametrize("alone", [False, True])
def test_the_head_that_is_kept_belongs_to_the_backbone_that_is_exported(
    pretrain, guided_store: Path, alone: bool
) -> None:
    """DINO exports the teacher, and the head is averaged as the teacher is; alone both are what was trained."""
    coordinates = "guidance={coordinates: {}}"
    method = ALONE if alone else ("method.teacher_momentum=0.5",)
    run = pretrain("run", *method, coordinates, "training.epochs=1", data=f"{guided_store}@all")
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    kept = read_places_head(run / "guidance").linear.weight
    assert torch.equal(kept, state["guidance.parts.0.kept.linear.weight"])
    assert torch.equal(kept, state["guidance.parts.0.head.linear.weight"]) is alone


def test_contrast_by_place_is_learned_beside_a_method(pretrain, guided_store: Path, figures) -> None:
    guidance = "guidance={contrast: {cells: 2}}"
    run = pretrain("run", guidance, "optimizer.lr=0.003", "training.epochs=18", data=f"{guided_store}@all")
    loss = [value for _, value in figures(run, "place_contrast_loss")]
    assert sum(loss[-3:]) / 3 < sum(loss[:3]) / 3 - 0.2
    with pytest.raises(ConfigError, match=r"compares two views of an image.*has its student see one"):
        pretrain("one", *ALONE, guidance, data=f"{guided_store}@all")


def test_a_resumed_guided_training_is_the_uninterrupted_one(
    pretrain, guided_store: Path, figures, tmp_path: Path, monkeypatch
) -> None:
    options = {"data": f"{guided_store}@all"}
    whole = pretrain("whole", *ALONE, GUIDANCE, **options)
    stopped = _stop_after(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        pretrain("cut", *ALONE, GUIDANCE, **options)
    stopped.undo()
    resumed = pipeline.pretrain("dino/small", out=tmp_path / "cut", resume=True, **options)
    assert figures(resumed, "loss") == figures(whole, "loss")
    one, other = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, resumed))
    assert any(name.startswith("guidance.") for name in one["state_dict"])
    for name, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][name]), name


def _stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> pytest.MonkeyPatch:
    from vesalius.training.checkpoint import CheckpointWriter

    own = pytest.MonkeyPatch()
    real = CheckpointWriter.on_train_batch_end

    def stopping(self, trainer, module, *args):
        real(self, trainer, module, *args)
        if trainer.global_step == step:
            raise KeyboardInterrupt

    own.setattr(CheckpointWriter, "on_train_batch_end", stopping)
    return own


def test_other_maps_are_refused_when_resuming(pretrain, guided_store: Path, tmp_path: Path) -> None:
    run = pretrain("run", *ALONE, GUIDANCE, "training.epochs=1", data=f"{guided_store}@all")
    state = RunFolder(run)
    state.update_state(status="interrupted")
    other = pipeline.guide(
        guided_store, template="triangular", out=tmp_path / "other", map_size=20, workers=1, progress=False
    )
    with pytest.raises((CheckpointError, KnowledgeError)):
        pipeline.pretrain("dino/small", out=run, resume=True, data=f"{guided_store}@all", maps=[other.path])


def test_no_method_without_guidance_is_refused(pretrain) -> None:
    with pytest.raises(ConfigError, match="method none learns from guidance alone"):
        pretrain("run", *ALONE)


def test_maps_that_are_not_there_are_named(pretrain, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="no knowledge maps 'deformable'"):
        pretrain("run", GUIDANCE)
    assert not list(tmp_path.iterdir())


def test_maps_of_another_store_are_refused(pretrain, guided_store: Path, tmp_path: Path) -> None:
    copied = tmp_path / "store"
    shutil.copytree(guided_store, copied)
    about = copied / "store.json"
    from vesalius.data.store import open_store

    about.write_text(about.read_text().replace(open_store(copied).fingerprint, "0" * 64))
    with pytest.raises(KnowledgeError, match="none of the maps given is made for it"):
        pretrain("run", GUIDANCE, data=f"{copied}@all", maps=[guided_store / "maps" / "deformable"])
