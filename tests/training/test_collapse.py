"""Alarms: the right one where a training collapses, none where it does not, and each once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.methods import simsiam
from vesalius.methods.base import Method
from vesalius.methods.byol import Byol, ByolConfig
from vesalius.methods.moco_v3 import MocoV3, MocoV3Config
from vesalius.methods.registry import MethodConfig, build_method
from vesalius.methods.simsiam import SimSiam, SimSiamConfig
from vesalius.records.features import Features
from vesalius.schedules import Progress
from vesalius.training.collapse import CollapseWatch
from vesalius.training.optimizers import OptimizerConfig, build_optimizer, set_schedules
from vesalius.views.make_views import make_views
from vesalius.views.plans import plan_by_name


def _alarms(run: Path) -> list[str]:
    return json.loads((run / "run.json").read_text())["alarms"]


_LONG = "training.epochs=10"


def test_a_flat_teacher_is_named_uniform(pretrain, capsys) -> None:
    run = pretrain("run", _LONG, "method.teacher_temperature=1.0")
    assert [alarm.split(":")[0] for alarm in _alarms(run)] == ["collapse to uniform"]
    assert "method.teacher_entropy=0.5" in _alarms(run)[0]
    assert "collapse to uniform" in capsys.readouterr().out


def test_a_sharp_teacher_without_centre_is_named_one_prototype(pretrain) -> None:
    run = pretrain("run", _LONG, "method.teacher_temperature=0.0001", "method.centre_momentum=1.0", "optimizer.lr=0.1")
    assert "collapse to one prototype" in [alarm.split(":")[0] for alarm in _alarms(run)]


def test_a_healthy_training_is_left_alone(pretrain) -> None:
    """Views so mild that a hundred steps suffice to learn something."""
    mild = "views.options={size: 32, locals: 0, area: [0.8, 1.0], jitter_p: 0, rotation_p: 0, blur_p: 0, flip_p: 0}"
    run = pretrain("run", "training.epochs=25", mild, "method.teacher_entropy=0.6", "optimizer.lr=1.0e-2")
    assert _alarms(run) == []


def _figures(entropy: float, mean_entropy: float = 0.9) -> dict[str, float]:
    return {"teacher_entropy": entropy, "mean_entropy": mean_entropy, "teacher_entropy_max": 1.0}


def test_patience_and_speaking_once() -> None:
    watch = CollapseWatch(total_steps=500)
    spoken = [step for step in range(300) if watch.observe(step, _figures(1.0, 1.0))]
    assert spoken == [100]


@pytest.mark.parametrize("every", [1, 10, 50])
def test_the_average_does_not_depend_on_how_often_it_is_fed(every: int) -> None:
    """Uniform for 60 steps, then sound: forgotten by step 200, whatever the interval."""
    watch = CollapseWatch(total_steps=1000)
    assert not [1 for step in range(0, 600, every) if watch.observe(step, _figures(1.0 if step < 60 else 0.5))]


def test_rank_and_recovery_of_state() -> None:
    watch = CollapseWatch(total_steps=50)
    watch.observe(9, {"feature_rank": 1.0})
    assert not watch.raised
    assert "span 1.5 dimensions" in watch.observe(12, {"feature_rank": 1.5})[0]
    for step in range(13, 40):
        watch.observe(step, _figures(0.4, 0.05))
    again = CollapseWatch(total_steps=50)
    again.restore(json.loads(json.dumps(watch.state())))
    assert again.raised == {"rank", "one"}
    assert not again.observe(41, _figures(0.4, 0.05) | {"feature_rank": 1.0})
    assert again.state()["smoothed"] == pytest.approx(watch.state()["smoothed"])


def _codes(code: float, prototypes: float) -> dict[str, float]:
    return {"code_entropy": code, "prototype_entropy": prototypes, "prototype_entropy_max": 1.0}


@pytest.mark.parametrize(
    ("values", "alarm"),
    [
        ({"embedding_spread": 0.01}, "collapse to one point"),
        ({"embedding_spread": 0.6, "least_loss": -1.0, "loss": -0.995}, "collapse to the least loss"),
        (
            {"embedding_spread": 0.6, "least_loss": -1.0, "method_loss": -0.995, "loss": 2.0},
            "collapse to the least loss",
        ),
        ({"embedding_spread": 0.6, "loss_by_chance": 4.0, "loss": 3.99}, "nothing learned"),
        ({"embedding_spread": 0.6, "loss_by_chance": 4.0, "method_loss": 4.1, "loss": 2.0}, "nothing learned"),
        ({"embedding_spread": 0.6, "regions_an_image": 0.4}, "hardly any region"),
        (_codes(1.0, 0.9), "collapse to uniform codes"),
        (_codes(0.5, 0.05), "collapse to one prototype"),
    ],
)
def test_methods_without_a_teacher_s_entropy_have_their_own_signs(values: dict[str, float], alarm: str) -> None:
    watch, sound = CollapseWatch(total_steps=500), CollapseWatch(total_steps=500)
    spoken = [text for step in range(400) for text in watch.observe(step, values)]
    assert [text.split(":")[0] for text in spoken] == [alarm]
    healthy = _codes(0.5, 0.9) | {"embedding_spread": 0.6, "loss_by_chance": 4.0, "loss": 3.0, "regions_an_image": 5.0}
    assert not [text for step in range(400) for text in sound.observe(step, healthy)]


def test_a_loss_that_comes_to_its_least_late_has_been_learned() -> None:
    watch = CollapseWatch(total_steps=400)
    values = {"embedding_spread": 0.6, "least_loss": -1.0}
    assert not [1 for step in range(400) if watch.observe(step, values | {"loss": -0.9 if step < 200 else -0.995})]


@pytest.mark.parametrize(
    ("total", "point", "nothing"), [(40, 20, 20), (400, 40, 200), (2_000, 200, 400), (100_000, 300, 500)]
)
def test_alarms_speak_in_short_trainings_too(total: int, point: int, nothing: int) -> None:
    """Steps from which they do; no alarm but that of one point comes before a fifth of the training, or step 500."""
    watch, contrastive = CollapseWatch(total_steps=total), CollapseWatch(total_steps=total)
    steps = range(min(total, 600))
    assert [step for step in steps if watch.observe(step, {"embedding_spread": 0.01})] == [point]
    assert [step for step in steps if contrastive.observe(step, {"loss_by_chance": 4.0, "loss": 4.0})] == [nothing]


def _without_stopped_gradients(method: SimSiam, monkeypatch: pytest.MonkeyPatch) -> None:
    """SimSiam's own ablation (section 4.1)."""

    def loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return -functional.cosine_similarity(predicted, targets.flip(0), dim=-1).mean()

    monkeypatch.setattr(simsiam, "negative_cosine_loss", loss)


def _without_predictor_or_slow_teacher(method: Byol, monkeypatch: pytest.MonkeyPatch) -> None:
    method.predictor = nn.Identity()
    monkeypatch.setattr(method, "teacher_momentum", lambda progress: 0.0)


def _with_one_feature_for_all(method: MocoV3, monkeypatch: pytest.MonkeyPatch) -> None:
    for backbone in (method.student, method.teacher.backbone):
        forward = backbone.forward_features

        def constant(x: torch.Tensor, *, forward=forward, **options: bool) -> Features:
            features = forward(x, **options)
            return replace(features, pooled=1 + 1e-4 * torch.randn_like(features.pooled) + 0 * features.pooled)

        monkeypatch.setattr(backbone, "forward_features", constant)


_MILD = plan_by_name("small-chest", size=32, locals=0, area=(0.8, 1.0), jitter_p=0, rotation_p=0, blur_p=0, flip_p=0)


def _alarms_of(method: Method, *, total_steps: int) -> list[str]:
    """Train half of the steps, or up to the first alarm, on clouds that are easily told apart; return what is said."""
    generator = torch.Generator().manual_seed(0)
    config = OptimizerConfig(lr=0.03, scale_lr=False, warmup_epochs=0, weight_decay=0, weight_decay_end=0)
    clouds = functional.interpolate(torch.rand(64, 1, 6, 6, generator=generator), size=48, mode="bicubic")
    images = clouds.clamp(0, 1).mul(255).to(torch.uint8)
    optimizer = build_optimizer(config, method.trained_parameters(), constant_lr=method.constant_lr)
    watch = CollapseWatch(total_steps=total_steps)
    for step in range(total_steps // 2):
        now = Progress(step=step, total_steps=total_steps, steps_per_epoch=2)
        set_schedules(optimizer, config, now, batch_size=64)
        output = method(make_views(images, _MILD, generator, out_channels=1, mean=(0.5,), std=(0.25,)), now)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.after_step(now)
        logged = {"loss": output.loss.detach(), **output.logs}
        if said := watch.observe(step, {name: float(value) for name, value in logged.items()}):
            return [text.split(":")[0] for text in said]
    return []


@pytest.mark.parametrize(
    ("config", "break_it", "steps", "alarm"),
    [
        (SimSiamConfig(dim=64, predictor_hidden=16), _without_stopped_gradients, 200, "collapse to the least loss"),
        (ByolConfig(hidden=64, dim=16), _without_predictor_or_slow_teacher, 120, "collapse to one point"),
        (MocoV3Config(hidden=64, dim=16), _with_one_feature_for_all, 60, "collapse to one point"),
    ],
    ids=["simsiam", "byol", "moco-v3"],
)
def test_methods_that_are_made_to_collapse_say_so(
    monkeypatch: pytest.MonkeyPatch,
    config: MethodConfig,
    break_it: Callable[[Method, pytest.MonkeyPatch], None],
    steps: int,
    alarm: str,
) -> None:
    """A tiny ResNet, as its paper has the method, and with what keeps it from collapse taken away."""

    def build() -> Method:
        torch.manual_seed(0)
        backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=32))
        return build_method(config, backbone, _MILD).train()

    assert _alarms_of(build(), total_steps=steps) == []
    broken = build()
    break_it(broken, monkeypatch)
    assert _alarms_of(broken, total_steps=steps) == [alarm]
