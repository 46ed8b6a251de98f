"""Guidance from features to loss: what is guided, what is left alone, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import ConfigError
from vesalius.guidance.attention_alignment import AttentionAlignment, AttentionConfig
from vesalius.guidance.coordinates import Coordinates, CoordinatesConfig
from vesalius.guidance.registry import GuidanceConfig, build_guidance
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.schedules import Progress

NAMES = PartNames(("left", "right"))
NOW = Progress(step=50, total_steps=100, steps_per_epoch=10)
GRID = (2, 2)


def scene(attention: torch.Tensor | None = None, patches: torch.Tensor | None = None, *, guided: bool = True):
    """Two images whose `left` part is the left half; the features of one view of each."""
    parts = torch.zeros(2, 2, 8, 8, dtype=torch.uint8)
    parts[:, 0, :, :4], parts[:, 1, :, 4:] = 255, 255
    axis = (torch.arange(8) + 0.5) / 8
    places = torch.stack([axis[None].expand(8, 8), axis[:, None].expand(8, 8)]).expand(2, 2, 8, 8).to(torch.float16)
    known = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    knowledge = Knowledge(parts, places, known, torch.tensor([True, guided]))
    view = View(pixels=torch.zeros(2, 1, 8, 8), affine=torch.eye(2, 3).expand(2, 2, 3), image_size=(8, 8))
    features = Features(pooled=torch.zeros(2, 4), patches=patches, grid=GRID, attention=attention)
    return [features], [view], knowledge, NOW


def rows(first: list[float], second: list[float]) -> torch.Tensor:
    """Return three heads' rows over four patches: the guided ones as given, the third uniform."""
    return torch.tensor([[first, second, [0.2] * 4]] * 2)


LEFT, RIGHT = [0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5]


def test_coverage_is_least_for_the_right_heads() -> None:
    guidance = AttentionAlignment(AttentionConfig(heads={"left": 0, "right": 1}), NAMES, heads=3)
    right, wrong = guidance(*scene(rows(LEFT, RIGHT))), guidance(*scene(rows(RIGHT, LEFT)))
    assert right.loss < wrong.loss - 5
    assert float(right.logs["attention_inside/left"]) == pytest.approx(1, abs=0.2)


def test_only_named_heads_get_a_gradient() -> None:
    attention = torch.full((2, 3, 4), 0.2, requires_grad=True)
    AttentionAlignment(AttentionConfig(heads={"right": 2}), NAMES, heads=3)(*scene(attention)).loss.backward()
    assert attention.grad is not None
    assert attention.grad[:, 2].abs().sum() > 0
    assert attention.grad[:, :2].abs().sum() == 0


def test_an_unguided_image_teaches_nothing() -> None:
    attention = torch.full((2, 3, 4), 0.2, requires_grad=True)
    patches = torch.randn(2, 4, 4, requires_grad=True)
    attending = AttentionAlignment(AttentionConfig(heads={"left": 0}), NAMES, heads=3)
    placing = Coordinates(CoordinatesConfig(), NAMES, dim=4)
    for guidance in (attending, placing):
        guidance(*scene(attention, patches, guided=False)).loss.backward()
    for each in (attention, patches):
        assert each.grad is not None
        assert each.grad[0].abs().sum() > 0
        assert each.grad[1].abs().sum() == 0


def test_weights_follow_their_schedule() -> None:
    heads = {"left": 0}
    steady = AttentionAlignment(AttentionConfig(heads=heads, weight=2.0), NAMES, heads=3)
    fading = AttentionAlignment(AttentionConfig(heads=heads, weight=2.0, weight_end=0.0), NAMES, heads=3)
    given = scene(rows(LEFT, RIGHT))
    assert float(fading(*given).loss) == pytest.approx(float(steady(*given).loss) / 2)


def test_coordinates_are_learned_and_their_error_is_told() -> None:
    torch.manual_seed(0)
    guidance = Coordinates(CoordinatesConfig(weight=1.0), NAMES, dim=4)
    patches = torch.eye(4).expand(2, 4, 4)
    given = scene(patches=patches)
    optimizer = torch.optim.Adam(guidance.parameters(), 0.02)
    first = guidance(*given)
    for _ in range(400):
        optimizer.zero_grad()
        guidance(*given).loss.backward()
        optimizer.step()
    last = guidance(*given)
    # Patches of a 2 x 2 grid lie a quarter of the side from the template's centre along both axes.
    assert float(first.logs["coordinate_error_px"]) == pytest.approx(0.25 * 2**0.5, abs=0.05)
    assert float(last.logs["coordinate_error_px"]) < 0.03
    assert [name for name, _ in guidance.trained_parameters()] == [
        "coordinates.linear.weight",
        "coordinates.linear.bias",
    ]


@pytest.mark.parametrize(
    ("config", "backbone", "message"),
    [
        ({"attention": {"heads": {"lef": 0}}}, "test_vit", "no part 'lef'.*left"),
        ({"attention": {"heads": {"left": 9}}}, "test_vit", "head 9, but the backbone has 0 to"),
        ({"attention": {"heads": {"left": 0, "right": 0}}}, "test_vit", "one part only"),
        ({"attention": {"heads": {"left": 0}}}, "resnet18", "no .CLS. token"),
        ({"coordinates": {"tokens": "inner"}}, "resnet18", "no blocks of tokens"),
        ({}, "test_vit", "one or several of guidance.attention"),
    ],
)
def test_what_cannot_be_guided_is_refused(config: dict, backbone: str, message: str) -> None:
    student = create_backbone(BackboneConfig(name=backbone, image_size=32, drop_path=0))
    with pytest.raises(ConfigError, match=message):
        build_guidance(GuidanceConfig(**config), NAMES, student)


def test_guidance_finds_the_place_of_every_patch_that_was_kept() -> None:
    """Tokens in another order, each with its place told, are the same image; half of them are guided as well."""
    student = create_backbone(BackboneConfig(name="test_vit", image_size=64, drop_path=0))
    view = View(pixels=torch.randn(2, 1, 64, 64), affine=torch.eye(2, 3).expand(2, 2, 3), image_size=(64, 64))
    _, _, knowledge, now = scene()
    config = GuidanceConfig(
        attention=AttentionConfig(heads={"left": 0, "right": 1}), coordinates=CoordinatesConfig(weight=3, tokens="last")
    )
    guidance = build_guidance(config, NAMES, student)
    whole = student.forward_features(view.pixels)
    order = torch.stack([torch.randperm(whole.patches.shape[1]) for _ in range(len(view.pixels))])
    mixed = replace(
        whole,
        patches=whole.patches.gather(1, order[..., None].expand_as(whole.patches)),
        attention=whole.attention.gather(2, order[:, None].expand_as(whole.attention)),
        kept=order,
    )
    same, moved = (guidance([one], [view], knowledge, now).loss for one in (whole, mixed))
    torch.testing.assert_close(same, moved)
    dropping = create_backbone(BackboneConfig(name="test_vit", image_size=64, patch_drop=0.5, drop_path=0)).train()
    guidance = build_guidance(config, NAMES, dropping)
    output = guidance([dropping.forward_features(view.pixels, patches=False)], [view], knowledge, now)
    output.loss.backward()
    assert torch.isfinite(output.loss)


@pytest.mark.parametrize("backbone", ["test_vit", "resnet18", "swin_tiny_patch4_window7_224"])
def test_coordinates_guide_any_backbone_with_a_grid(backbone: str) -> None:
    size = 64
    student = create_backbone(BackboneConfig(name=backbone, image_size=size, drop_path=0))
    guidance = build_guidance(GuidanceConfig(coordinates=CoordinatesConfig()), NAMES, student)
    view = View(pixels=torch.randn(2, 1, size, size), affine=torch.eye(2, 3).expand(2, 2, 3), image_size=(size, size))
    _, _, knowledge, now = scene()
    features = student.forward_features(view.pixels, patches=False)
    output = guidance([features], [view], knowledge, now)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in student.parameters())


def test_the_student_gives_what_guidance_needs_without_being_asked() -> None:
    student = create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0))
    last = CoordinatesConfig(tokens="last")
    both = GuidanceConfig(attention=AttentionConfig(heads={"left": 0}), coordinates=last)
    build_guidance(both, NAMES, student)
    features = student.forward_features(torch.randn(2, 1, 32, 32), patches=False)
    assert features.attention is not None
    assert features.patches is not None


@pytest.mark.parametrize(
    ("pool", "config", "inner"),
    [
        ("cls", {}, True),
        ("cls", {"tokens": "last"}, False),
        ("average", {}, False),
        ("average", {"tokens": "inner"}, True),
    ],
)
def test_the_tokens_asked_are_those_that_cost_nothing_more(pool: str, config: dict, inner: bool) -> None:
    student = create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0, pool=pool))
    guidance = build_guidance(GuidanceConfig(coordinates=CoordinatesConfig(**config)), NAMES, student)
    assert (guidance.needs_inner, guidance.needs_patches) == (inner, not inner)
    features = student.forward_features(torch.randn(2, 1, 32, 32), patches=False)
    assert (features.inner is not None, features.patches is not None) == (inner, not inner)


def test_inner_tokens_teach_without_the_rest_of_the_last_block() -> None:
    """The tokens that enter the last block are the same whether it is computed for all of them or for [CLS] alone."""
    student = create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0))
    inner = GuidanceConfig(coordinates=CoordinatesConfig(tokens="inner"))
    guidance = build_guidance(inner, NAMES, student)
    images = torch.randn(2, 1, 32, 32)
    seen: list[torch.Tensor] = []
    handle = student.model.blocks[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0][:, 1:]))
    alone, whole = (student.forward_features(images, patches=patches) for patches in (False, True))
    handle.remove()
    assert alone.patches is None
    assert whole.patches is not None
    for features, entered in zip((alone, whole), seen, strict=True):
        torch.testing.assert_close(features.inner, entered)
    torch.testing.assert_close(alone.inner, whole.inner)
    view = View(pixels=images, affine=torch.eye(2, 3).expand(2, 2, 3), image_size=(32, 32))
    _, _, knowledge, now = scene()
    guidance([alone], [view], knowledge, now).loss.backward()
    assert student.model.blocks[0].mlp.fc1.weight.grad.abs().sum() > 0
    assert student.model.blocks[-1].mlp.fc1.weight.grad is None
