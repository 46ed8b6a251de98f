"""What happens in each step of a real training: rates, clipping, frozen prototypes, the teacher's following."""

from __future__ import annotations

import copy
import json
import signal
from typing import ClassVar

import pytest
import torch

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import ConfigError, TrainingError
from vesalius.methods.dino import Dino
from vesalius.methods.no_method import NoMethod
from vesalius.schedules import Progress, cosine
from vesalius.training.module import PretrainingModule
from vesalius.training.recipe import load_recipe
from vesalius.training.step import TrainingStep
from vesalius.views.plans import plan_by_name


class Watched(PretrainingModule):
    """Keeps what a step saw and did; the training itself is the real one."""

    seen: ClassVar[list[dict]] = []

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        method = self.method
        before = {name: p.detach().clone() for name, p in method.named_parameters()}
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        after = {name: p.detach().clone() for name, p in method.named_parameters()}
        groups = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
        shapes = [[tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups]
        norms = [float(p.grad.norm()) for _, p in method.trained_parameters() if p.grad is not None]
        teachers = [p.grad is None and not p.requires_grad for p in method.teacher.parameters()]
        self.seen.append(
            {
                "before": before,
                "after": after,
                "groups": groups,
                "shapes": shapes,
                "norms": norms,
                "teachers": all(teachers),
                "momentum": method.teacher_momentum(self._now),
                "step": self._now.step,
            }
        )


@pytest.fixture
def watched(monkeypatch, pretrain):
    """Train and return what every step saw."""

    def run(*overrides: str) -> list[dict]:
        monkeypatch.setattr(Watched, "seen", [])
        monkeypatch.setattr("vesalius.training.train.PretrainingModule", Watched)
        pretrain("run", *overrides)
        return Watched.seen

    return run


def test_rates_follow_the_schedule(watched) -> None:
    seen = watched("optimizer={lr: 0.08, warmup_epochs: 0.5, min_lr: 1.0e-5, weight_decay: 0.1, weight_decay_end: 0.3}")
    assert [step["step"] for step in seen] == list(range(16))
    peak = 0.08 * 16 / 256
    # Half an epoch of four steps: two of warm-up.
    expected = [0.0, peak] + [cosine(peak, 1e-5, position / 14) for position in range(14)]
    assert [step["groups"][0][0] for step in seen] == pytest.approx(expected)
    assert [step["groups"][0][1] for step in seen] == pytest.approx([cosine(0.1, 0.3, i / 16) for i in range(16)])
    assert {step["groups"][1][1] for step in seen} == {0.0}
    decayed, plain = seen[0]["shapes"]
    assert all(len(shape) > 1 for shape in decayed)
    assert {len(shape) for shape in plain} == {1}


@pytest.mark.parametrize("largest", [0.001, 0.0])
def test_each_tensor_is_clipped(watched, largest: float) -> None:
    seen = watched(f"optimizer.clip_each={largest}", "training.epochs=0.5")
    norms = [norm for step in seen for norm in step["norms"]]
    clipped = [norm for norm in norms if abs(norm - largest) < 1e-3 * largest]
    if largest:
        assert max(norms) <= largest * 1.0001
        assert len(clipped) > 10  # each tensor has its own limit, so many stand at it; of a global norm only one could
    else:
        assert max(norms) > 0.001


def test_prototypes_are_frozen_in_the_first_epoch_only(watched) -> None:
    seen = watched("training.epochs=2", "optimizer.warmup_epochs=0", "optimizer.weight_decay=0.1")
    moved = [not step["before"][_PROTOTYPES].equal(step["after"][_PROTOTYPES]) for step in seen]
    assert moved == [False] * 4 + [True] * 4


_PROTOTYPES = "head.prototypes.direction"


def test_the_teacher_moves_by_its_average_alone(watched) -> None:
    seen = watched("training.epochs=2")
    assert all(step["teachers"] for step in seen)
    assert seen[0]["momentum"] == pytest.approx(0.9)
    assert seen[-1]["momentum"] > 0.99
    for step in seen:
        for name, after in step["after"].items():
            if not name.startswith("teacher."):
                continue
            own = name.removeprefix("teacher.")
            student = own.replace("backbone.", "student.", 1) if own.startswith("backbone.") else own
            m = step["momentum"]
            expected = m * step["before"][name] + (1 - m) * step["after"][student]
            torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-7)


def test_buffers_are_the_teachers_own(monkeypatch, pretrain) -> None:
    """Batch-norm statistics are what the teacher saw, not an average of the student's."""
    kept: list[tuple[dict, dict]] = []
    follow = Dino.after_step

    def watch(self, progress) -> None:
        before = copy.deepcopy(dict(self.teacher.named_buffers()))
        follow(self, progress)
        kept.append((before, copy.deepcopy(dict(self.teacher.named_buffers()))))

    monkeypatch.setattr(Dino, "after_step", watch)
    run = pretrain("run", "backbone={name: test_resnet, image_size: 32, drop_path: 0}", "training.epochs=0.5")
    assert len(kept) >= 2
    assert all(before[name].equal(after[name]) for before, after in kept for name in before)
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    statistics = [key for key in state if key.startswith("method.student.") and key.endswith("running_mean")]
    assert statistics
    for key in statistics:
        assert state[key].abs().sum() > 0
        assert not state[key].equal(state[key.replace("method.student.", "method.teacher.backbone.")])


def test_a_loss_that_is_no_number_names_its_step(monkeypatch, pretrain, tmp_path) -> None:
    """The weights of the student are spoiled after the third step."""
    follow = Dino.after_step

    def spoil(self, progress) -> None:
        follow(self, progress)
        if progress.step == 2:
            with torch.no_grad():
                next(self.student.parameters()).fill_(float("nan"))

    monkeypatch.setattr(Dino, "after_step", spoil)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3: begin a new run with a lower optimizer\.lr"):
        pretrain("run")
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (state["status"], state["steps_taken"]) == ("interrupted", 3)


def test_too_few_images_are_refused_before_anything_is_written(pretrain, tmp_path) -> None:
    with pytest.raises(TrainingError, match="64 images are fewer than one batch of 65"):
        pretrain("run", "training.batch_size=65")
    assert not (tmp_path / "run").exists()
    run = pretrain("untrained", "training.batch_size=65", "training.steps=0")  # takes no batch
    assert json.loads((run / "run.json").read_text())["status"] == "done"


def test_the_seed_decides(pretrain, figures) -> None:
    one, same, other = (
        pretrain(name, "training.epochs=0.5", f"training.seed={seed}") for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert figures(one, "loss") == figures(same, "loss")
    assert figures(one, "loss") != figures(other, "loss")


def test_sizes_take_turns_and_are_drawn_by_the_step() -> None:
    """Each size once in as many steps, in orders that differ, the same whenever a step is taken again."""
    recipe = load_recipe("anatomy/small", overrides=["views.sizes=[32,48,64]", "views.options.locals=2"])
    plan = plan_by_name(recipe.views.plan, **recipe.views.options)
    step = TrainingStep(recipe, NoMethod(create_backbone(BackboneConfig(name="test_vit", image_size=32))), plan)
    images = torch.zeros(2, 1, 40, 40, dtype=torch.uint8)
    images[:, :, 10:30, 10:30] = 200

    def sizes(number: int) -> list[int]:
        now = Progress(step=number, total_steps=100, steps_per_epoch=10)
        return [view.pixels.shape[-1] for view in step._views(images, now, 0, 1)]

    taken = [sizes(number) for number in range(30)]
    assert [one[1:] for one in taken] == [[80, 80]] * 30, "local views keep their size"
    cycles = [tuple(one[0] for one in taken[start : start + 3]) for start in range(0, 30, 3)]
    assert all(sorted(cycle) == [32, 48, 64] for cycle in cycles)
    assert len(set(cycles)) > 2
    assert sizes(7) == taken[7]


def test_a_training_of_several_sizes_resumes_within_a_round_of_them(
    pretrain, figures, monkeypatch, phantom_store, tmp_path
) -> None:
    changes, follow = ("views.sizes=[24,32,48]", "training.epochs=2"), Dino.after_step
    losses = figures(pretrain("whole", *changes), "loss")
    assert len(losses) == 8

    def interrupt(self, progress) -> None:
        follow(self, progress)
        if (progress.step, progress.total_steps) == (4, 8):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Dino, "after_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pretrain("run", *changes)
    monkeypatch.setattr(Dino, "after_step", follow)
    pipeline.pretrain(data=f"{phantom_store}@all", out=tmp_path / "run", resume=True)
    assert figures(tmp_path / "run", "loss") == losses
    with pytest.raises(ConfigError, match=r"views\.sizes"):
        pretrain("other", "views.sizes=[4]")
    with pytest.raises(ConfigError, match=r"sizes = \[48, 64\] are not about backbone\.image_size = 32"):
        pretrain("other", "views.sizes=[48,64]")
