"""BYOL, SimSiam, SimCLR, MoCo v2 and v3: each step is its paper's, and gradients go where they should."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional

from vesalius.errors import ConfigError
from vesalius.losses.info_nce_loss import info_nce_loss
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.methods.byol import Byol, ByolConfig
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.moco import Moco, MocoConfig
from vesalius.methods.moco_v3 import MocoV3, MocoV3Config
from vesalius.methods.registry import build_method
from vesalius.methods.simclr import SimClr, SimClrConfig
from vesalius.methods.simsiam import SimSiam, SimSiamConfig
from vesalius.schedules import Progress
from vesalius.training.optimizers import OptimizerConfig, build_optimizer, set_schedules
from vesalius.views.plans import plan_by_name

PROGRESS = Progress(step=3, total_steps=10, steps_per_epoch=5)


def alone(module, views):
    """Pooled features of each view by itself."""
    return [module.forward_features(view.pixels).pooled for view in views]


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_byol_is_both_directions_of_its_distance(student, two_views, backbone: str) -> None:
    method = Byol(ByolConfig(hidden=16, dim=8), student(backbone)).train()
    again = copy.deepcopy(method)
    one, two = (method.predictor(method.projector(x)) for x in alone(method.student, two_views))
    first, second = (method.teacher.head(x) for x in alone(method.teacher.backbone, two_views))
    wanted = sum((2 - 2 * functional.cosine_similarity(a, b)).mean() for a, b in ((one, second), (two, first)))
    output = again(two_views, PROGRESS)
    torch.testing.assert_close(output.loss, wanted, rtol=1e-5, atol=1e-5)
    output.loss.backward()
    assert all(p.grad is not None for _, p in again.trained_parameters())
    assert all(p.grad is None for p in again.teacher.parameters())
    assert again.exported_backbone() is again.student


@pytest.mark.parametrize(
    "config",
    [
        SimClrConfig(hidden=16, dim=8),
        MocoConfig(hidden=16, dim=8, queue=10),
        MocoV3Config(hidden=16, dim=8),
    ],
    ids=lambda config: config.name,
)
def test_a_student_that_gives_one_embedding_has_the_loss_of_chance(student, two_views, config) -> None:
    method = build_method(config, student(), plan_by_name("small-chest", size=32)).train()
    last = [*method.projector.modules(), *(method.predictor.modules() if config.name == "moco-v3" else ())]
    for layer in (one for one in last if isinstance(one, torch.nn.Linear)):
        torch.nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    if config.name == "moco":
        assert "loss_by_chance" not in method(two_views, PROGRESS).logs  # the queue holds no keys yet
        method.queue.put(torch.randn(10, 8))
    output = method(two_views, PROGRESS)
    torch.testing.assert_close(output.loss, output.logs["loss_by_chance"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        ByolConfig(hidden=16, dim=8, teacher_momentum=0.9),
        MocoConfig(hidden=16, dim=8, queue=10, teacher_momentum=0.9),
        MocoV3Config(hidden=16, dim=8, teacher_momentum=0.9),
    ],
    ids=lambda config: config.name,
)
def test_teachers_take_their_share_of_the_student(student, two_views, config) -> None:
    """Every parameter is m old + (1 - m) new, in double precision; m is MoCo's constant, the others' cosine."""
    method = build_method(config, student("test_resnet"), plan_by_name("small-chest", size=32)).train()
    method(two_views, PROGRESS)
    teacher = [one.double().clone() for one in method.teacher.parameters()]
    with torch.no_grad():
        for _, parameter in method.trained_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    followed = [*method.student.parameters(), *method.projector.parameters()]
    method.after_step(PROGRESS)
    m = 0.9 if config.name == "moco" else 1 - 0.1 * (math.cos(math.pi * 0.3) + 1) / 2
    for old, new, now in zip(teacher, followed, method.teacher.parameters(), strict=True):
        torch.testing.assert_close(now.double(), m * old + (1 - m) * new.double(), rtol=1e-5, atol=1e-6)


def test_byol_s_teacher_follows_student_and_projector_by_the_schedule(student, two_views) -> None:
    method = Byol(ByolConfig(hidden=16, dim=8, teacher_momentum=0.9), student()).train()
    before = [p.clone() for p in method.teacher.parameters()]
    with torch.no_grad():
        for _, parameter in method.trained_parameters():
            parameter.add_(1.0)
    method.after_step(PROGRESS)
    momentum = 1 - 0.1 * (math.cos(math.pi * 0.3) + 1) / 2
    assert method.teacher_momentum(PROGRESS) == pytest.approx(momentum)
    for old, new in zip(before, method.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + (1 - momentum), rtol=1e-5, atol=1e-5)
    assert method.teacher_momentum(Progress(step=10, total_steps=10, steps_per_epoch=5)) == 1.0


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_simsiam_stops_the_gradient_of_its_targets(student, two_views, backbone: str) -> None:
    method = SimSiam(SimSiamConfig(dim=16, predictor_hidden=4), student(backbone)).train()
    again = copy.deepcopy(method)
    one, two = (method.projector(x) for x in alone(method.student, two_views))
    pairs = ((method.predictor(one), two.detach()), (method.predictor(two), one.detach()))
    wanted = -sum(functional.cosine_similarity(p, z).mean() for p, z in pairs) / 2
    wanted.backward()
    again(two_views, PROGRESS).loss.backward()
    for (name, ours), (_, theirs) in zip(again.trained_parameters(), method.trained_parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("rule", ["constant", "scheduled"])
def test_simsiam_s_predictor_keeps_its_rate(student, rule: str) -> None:
    method = SimSiam(SimSiamConfig(dim=16, predictor_hidden=4, predictor_lr=rule), student())
    config = OptimizerConfig(name="sgd", lr=0.05, scale_lr=False, warmup_epochs=0, min_lr=0.0)
    optimizer = build_optimizer(config, method.trained_parameters(), constant_lr=method.constant_lr)
    set_schedules(optimizer, config, Progress(step=9, total_steps=10, steps_per_epoch=5), batch_size=256)
    predictor = {id(p) for p in method.predictor.parameters()}
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    low = 0.05 * 0.5 * (1 + math.cos(math.pi * 0.9))
    assert {round(rate, 6) for key, rate in rates.items() if key not in predictor} == {round(low, 6)}
    assert {rates[key] for key in predictor} == (
        {0.05} if rule == "constant" else {rates[id(method.student.model.cls_token)]}
    )
    assert rates.keys() == {id(p) for _, p in method.trained_parameters()}


def test_simclr_is_nt_xent_of_the_projections(student, two_views) -> None:
    method = SimClr(SimClrConfig(hidden=16, dim=8, temperature=0.3), student()).train()
    again = copy.deepcopy(method)
    pooled = alone(method.student, two_views)
    one, two = method.projector(torch.cat(pooled)).chunk(2)
    output = again(two_views, PROGRESS)
    torch.testing.assert_close(output.loss, nt_xent_loss(one, two, temperature=0.3), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.logs["embedding_spread"], embedding_spread(pooled[0], one), rtol=1e-4, atol=1e-5)


def test_moco_compares_with_the_queue_as_it_was_and_puts_its_keys_in_afterwards(student, two_views) -> None:
    method = Moco(MocoConfig(hidden=16, dim=8, queue=10, teacher_momentum=0.5), student()).train()
    queue = method.queue.keys.clone()
    query = functional.normalize(method.projector(method.student(two_views[0].pixels)), dim=-1)
    keys = functional.normalize(method.teacher.head(method.teacher.backbone(two_views[1].pixels)), dim=-1)
    logits = torch.cat([(query * keys).sum(1, keepdim=True), query @ queue.T], dim=1) / 0.2
    output = method(two_views, PROGRESS)
    torch.testing.assert_close(output.loss, functional.cross_entropy(logits, torch.zeros(6, dtype=torch.long)))
    output.loss.backward()
    assert torch.equal(method.queue.keys, queue)
    method.after_step(PROGRESS)
    torch.testing.assert_close(method.queue.keys[:6], keys)
    assert torch.equal(method.queue.keys[6:], queue[6:])
    assert not method.queue.filled
    method(two_views, PROGRESS)
    method.after_step(PROGRESS)
    assert method.queue.filled
    assert int(method.queue.place) == 2  # 12 keys in a ring of 10
    assert len(output.student_features) == 1
    assert "queue.keys" in method.state_dict()


def test_moco_makes_keys_in_other_groups_than_queries(student, two_views) -> None:
    """Two groups of three: a query's group is its row mod 2, its key's is that of its place in the step's order."""
    method = Moco(MocoConfig(hidden=16, dim=8, queue=10, norm_groups=2), student("test_resnet")).train()
    plain = Moco(MocoConfig(hidden=16, dim=8, queue=10), student("test_resnet")).train()
    plain.load_state_dict(method.state_dict())
    assert plain.synchronised_norms
    assert not method.synchronised_norms
    order = torch.randperm(6, generator=torch.Generator().manual_seed(PROGRESS.step))
    assert order.tolist() != list(range(6))
    queries, keys = torch.empty(6, 8), torch.empty(6, 8)
    for group in range(2):
        rows = torch.arange(group, 6, 2)
        queries[rows] = plain.projector(plain.student(two_views[0].pixels[rows]))
        with torch.no_grad():
            rows = order[rows]
            keys[rows] = plain.teacher.head(plain.teacher.backbone(two_views[1].pixels[rows]))
    wanted = info_nce_loss(queries, keys, queue=method.queue.keys, temperature=0.2)
    output = method(two_views, PROGRESS)
    torch.testing.assert_close(output.loss, wanted, rtol=1e-4, atol=1e-5)
    method.after_step(PROGRESS)
    torch.testing.assert_close(method.queue.keys[:6], functional.normalize(keys, dim=-1), rtol=1e-4, atol=1e-5)
    together = plain(two_views, PROGRESS)
    assert not torch.allclose(output.loss, together.loss, rtol=1e-4)


def test_moco_v3_is_symmetric_and_freezes_the_patch_projection(student, two_views) -> None:
    method = MocoV3(MocoV3Config(hidden=16, dim=8, temperature=0.5), student()).train()
    again = copy.deepcopy(method)
    queries = [method.predictor(method.projector(x)) for x in alone(method.student, two_views)]
    keys = [method.teacher.head(x) for x in alone(method.teacher.backbone, two_views)]
    wanted = torch.zeros(())
    for query, key in ((queries[0], keys[1]), (queries[1], keys[0])):
        logits = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).T / 0.5
        wanted = wanted + 2 * 0.5 * functional.cross_entropy(logits, torch.arange(6))
    output = again(two_views, PROGRESS)
    torch.testing.assert_close(output.loss, wanted, rtol=1e-5, atol=1e-5)
    output.loss.backward()
    still = {name for name, p in again.trained_parameters() if p.grad is None}
    assert still == {"student.model.patch_embed.proj.weight", "student.model.patch_embed.proj.bias"}
    free = MocoV3(MocoV3Config(hidden=16, dim=8, frozen_patch_embedding=False), student())
    assert all(p.requires_grad for _, p in free.trained_parameters())


@pytest.mark.parametrize(
    ("backbone", "heads", "vit"),
    [
        ("test_vit", "auto", True),
        ("test_resnet", "auto", False),
        ("test_resnet", "vit", True),
        ("test_vit", "resnet", False),
    ],
)
def test_moco_v3_has_the_heads_of_its_backbone(student, two_views, backbone: str, heads: str, vit: bool) -> None:
    """For ViTs three layers and a predictor that ends in batch norm, for ResNets two and one that does not."""
    method = MocoV3(MocoV3Config(hidden=16, dim=8, heads=heads), student(backbone)).train()
    for projector in (method.projector, method.teacher.head):
        layers = [one.out_features for one in projector.layers if isinstance(one, torch.nn.Linear)]
        assert layers == ([16, 16, 8] if vit else [16, 8])
        assert isinstance(projector.last_norm, torch.nn.BatchNorm1d)
    assert isinstance(method.predictor.last_norm, torch.nn.BatchNorm1d) is vit
    assert torch.isfinite(method(two_views, PROGRESS).loss)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars_adapts_weights_whether_they_decay_or_not_and_leaves_biases(decay: float) -> None:
    weight, bias = torch.nn.Parameter(torch.full((2, 2), 3.0)), torch.nn.Parameter(torch.full((2,), 3.0))
    config = OptimizerConfig(
        name="lars", lr=1.0, scale_lr=False, warmup_epochs=0, momentum=0, weight_decay=decay, weight_decay_end=decay
    )
    optimizer = build_optimizer(config, [("weight", weight), ("bias", bias)])
    set_schedules(optimizer, config, Progress(step=0, total_steps=10, steps_per_epoch=5), batch_size=256)
    weight.grad, bias.grad = torch.full((2, 2), 100.0), torch.full((2,), 0.5)
    optimizer.step()
    # trust |w| / (|g| + decay |w|) times g + decay w: a step of .001 of the weight's norm, whatever the gradient's.
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 3.0 * (1 - 0.001)))
    torch.testing.assert_close(bias.detach(), torch.full((2,), 2.5))


@pytest.mark.parametrize("name", ["byol", "simsiam", "moco-v3"])
def test_a_local_view_meets_both_targets(student, three_views, name: str) -> None:
    plan = plan_by_name("small-chest", size=32, locals=1, local_size=16)
    config = {"byol": ByolConfig(hidden=16, dim=8), "simsiam": SimSiamConfig(dim=16, predictor_hidden=4)}.get(
        name, MocoV3Config(hidden=16, dim=8)
    )
    output = build_method(config, student(), plan).train()(three_views, PROGRESS)
    assert torch.isfinite(output.loss)
    assert len(output.student_features) == 3


@pytest.mark.parametrize("config", [SimClrConfig(), MocoConfig(queue=16)])
def test_views_that_cannot_be_compared_are_refused(student, config) -> None:
    with pytest.raises(ConfigError, match=r"has 8 local ones: set views\.options\.locals=0"):
        build_method(config, student(), plan_by_name("dino"))
    with pytest.raises(ConfigError, match="compares the first two or more views"):
        build_method(config, student(), plan_by_name("guided-chest"))


def test_spread() -> None:
    assert embedding_spread(torch.ones(5, 4)) == pytest.approx(0.0, abs=1e-6)
    anywhere = torch.randn(4000, 16)
    assert embedding_spread(anywhere) == pytest.approx(1.0, abs=0.02)
    assert embedding_spread(anywhere + 4 * torch.ones(16)) == pytest.approx(1 / 17**0.5, abs=0.02)
    assert embedding_spread(torch.ones(5, 4), anywhere) == embedding_spread(anywhere, torch.ones(5, 4)) < 1e-3


@pytest.mark.parametrize("config", [SimSiamConfig(dim=16, predictor_hidden=4), MocoV3Config(hidden=16, dim=8)])
def test_a_point_is_seen_although_batch_norm_tears_it_apart(student, two_views, config) -> None:
    """Here in what the projector makes of sound features."""
    method = build_method(config, student("test_resnet"), plan_by_name("small-chest", size=32)).train()
    assert method(two_views, PROGRESS).logs["embedding_spread"] > 0.3
    last = method.projector.layers[-1]
    with torch.no_grad():
        last.bias = torch.nn.Parameter(1e4 * last.weight.norm() * torch.ones(last.out_features))
    assert method(two_views, PROGRESS).logs["embedding_spread"] < 0.03
