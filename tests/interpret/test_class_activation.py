"""Grad-CAM and SEG-Grad-CAM, against products of activations and gradients written out, on every family."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.errors import BackboneError, ConfigError
from vesalius.interpret.class_activation import METHODS, class_activation, default_layer
from vesalius.interpret.explained_region import class_target, region_of, region_target

FAMILIES: list[tuple[str, dict[str, Any], str, tuple[int, int]]] = [
    ("resnet18", {}, "auto", (64, 96)),
    ("inception_v3", {}, "auto", (160, 160)),
    ("swin_tiny_patch4_window7_224", {}, "auto", (64, 64)),
    ("vitae_v2_half", {}, "auto", (100, 100)),
    ("test_vit", {}, "cls", (64, 96)),
    ("test_vit", {}, "mean", (64, 64)),
    ("vit_tiny_patch16_224", {"reg_tokens": 4, "patch_size": 8, "depth": 3}, "cls", (40, 64)),
    ("deit_tiny_distilled_patch16_224", {"depth": 3}, "cls", (64, 64)),
]


class Pooled(nn.Module):
    """Classes on the pooled features."""

    def __init__(self, backbone: TimmBackbone) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.feature_dim, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(pixels))


class Dense(nn.Module):
    """Classes of pixels on the backbone's patches."""

    def __init__(self, backbone: TimmBackbone) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.feature_dim, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.backbone.forward_features(pixels)
        logits = self.head(features.patches).transpose(1, 2).unflatten(2, features.grid)
        return functional.interpolate(logits, size=pixels.shape[2:], mode="bilinear", align_corners=False)


class Staged(Pooled):
    """Classes on the last block's tokens, before the norm that follows it."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone.forward_features(pixels, stages=True).stages[-1].mean((2, 3)))


class DenseStages(Dense):
    """Classes of pixels on the last stage, as the decoders of segmentation networks read it."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = self.backbone.forward_features(pixels, stages=True).stages[-1]
        logits = self.head(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return functional.interpolate(logits, size=pixels.shape[2:], mode="bilinear", align_corners=False)


def built(name: str, arguments: dict[str, Any], pool: Any, size: tuple[int, int], kind: type[nn.Module]) -> Any:
    torch.manual_seed(0)
    config = BackboneConfig(name=name, image_size=size[0], arguments=arguments, pool=pool)
    network = kind(create_backbone(config)).eval()
    if network.backbone.patch_size is None:
        network.head.weight.data.abs_()  # features behind a ReLU speak for a class or against it, all of them
    return network


def written_out(network: Any, layer: str, pixels: torch.Tensor, target: Any, *, averaged: bool = True) -> torch.Tensor:
    """ReLU(sum over channels of mean gradient x activation), from 0 to 1, enlarged."""
    backbone, kept = network.backbone, []
    handle = backbone.model.get_submodule(layer).register_forward_hook(lambda *seen: kept.append(seen[2]))
    backbone.always(patches=True)
    score = target(network(pixels.requires_grad_(True))[0])
    backbone.always()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    activation = kept[0]
    if activation.ndim == 3:
        rows, columns = pixels.shape[2] // backbone.patch_size, pixels.shape[3] // backbone.patch_size
        skipped = activation.shape[1] - rows * columns
        activation, gradient = (one[:, skipped:].unflatten(1, (rows, columns)) for one in (activation, gradient))
    elif not backbone.channels_last:
        activation, gradient = activation.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    weights = gradient.double().mean((1, 2), keepdim=True) if averaged else gradient.double()
    cam = (weights * activation.double()).sum(-1).clamp_min(0)[0]
    cam = (cam - cam.min()) / (cam.max() - cam.min() + 1e-7)
    cam = functional.interpolate(cam[None, None], size=pixels.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    return ((cam - cam.min()) / (cam.max() - cam.min() + 1e-7)).detach()


@pytest.mark.parametrize(("name", "arguments", "pool", "size"), FAMILIES)
def test_of_a_class_equals_the_product_written_out(
    name: str, arguments: dict[str, Any], pool: str, size: tuple[int, int]
) -> None:
    network = built(name, arguments, pool, size, Pooled)
    pixels = torch.randn(1, 1, *size)
    layer = default_layer(network.backbone)
    found = class_activation(network, network.backbone, pixels.clone(), class_target(2))
    assert found.shape == size
    expected = written_out(network, layer, pixels.clone(), class_target(2))
    assert expected.max() > 0.9, "nothing speaks for the class: the test would say nothing"
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "arguments", "pool", "size"), FAMILIES)
def test_of_a_region_equals_the_product_written_out(
    name: str, arguments: dict[str, Any], pool: str, size: tuple[int, int]
) -> None:
    network = built(name, arguments, pool, size, Dense)
    pixels = torch.randn(1, 1, *size)
    with torch.no_grad():
        predicted = network(pixels)[0].argmax(0)
    column = int(predicted.flatten().mode().values)
    target = region_target(column, region_of(predicted == column))
    layer = default_layer(network.backbone, dense=True)
    found = class_activation(network, network.backbone, pixels.clone(), target, dense=True)
    expected = written_out(network, layer, pixels.clone(), target)
    assert expected.max() > 0.9
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_a_frozen_encoder_is_explained_and_left_as_it_was() -> None:
    network = built("resnet18", {}, "auto", (64, 64), Pooled)
    network.backbone.requires_grad_(False)
    pixels = torch.randn(1, 1, 64, 64)
    frozen = class_activation(network, network.backbone, pixels, class_target(0))
    network.backbone.requires_grad_(True)
    torch.testing.assert_close(frozen, class_activation(network, network.backbone, pixels, class_target(0)))
    assert all(weight.grad is None for weight in network.parameters())
    assert not network.backbone.model.layer4._forward_hooks


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_map(method: str) -> None:
    network = built("test_vit", {}, "mean", (32, 32), Pooled)
    found = class_activation(network, network.backbone, torch.randn(1, 1, 32, 32), class_target(1), method=method)
    assert found.shape == (32, 32)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


@pytest.mark.parametrize("method", [one for one in METHODS if one != "eigen-cam"])
def test_a_layer_without_a_part_in_the_answer_is_told(method: str) -> None:
    early = built("test_vit", {}, "mean", (64, 64), Staged)
    pixels = torch.randn(1, 1, 64, 64)
    with pytest.raises(BackboneError, match="layer norm has no part in this answer"):
        class_activation(early, early.backbone, pixels, class_target(1), layer="norm", method=method)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("swin_tiny_patch4_window7_224", 64), ("test_vit", 64)])
def test_the_map_of_a_segmentation_equals_gradient_times_activation(name: str, size: int) -> None:
    """HiResCAM, which `explain --cases` takes by itself: no mean over the image."""
    network = built(name, {}, "auto", (size, size), DenseStages)
    pixels = torch.randn(1, 1, size, size)
    target = region_target(1, torch.ones(size, size, dtype=torch.bool))
    layer = default_layer(network.backbone, dense=True)
    how: dict[str, Any] = {"method": "hires-cam", "dense": True}
    found = class_activation(network, network.backbone, pixels.clone(), target, **how)
    expected = written_out(network, layer, pixels.clone(), target, averaged=False)
    assert expected.max() > 0.9
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_the_default_layer_is_the_last_that_the_answer_goes_through() -> None:
    cls, mean = (built("test_vit", {}, pool, (32, 32), Pooled).backbone for pool in ("cls", "mean"))
    last = f"blocks.{len(cls.model.blocks) - 1}"
    assert default_layer(cls) == f"{last}.norm1"
    assert default_layer(cls, dense=True) == default_layer(mean, dense=True) == last
    assert default_layer(mean) == "norm"
    assert default_layer(built("resnet18", {}, "auto", (64, 64), Pooled).backbone) == "layer4"


def test_a_layer_by_name() -> None:
    network = built("resnet18", {}, "auto", (64, 64), Pooled)
    pixels = torch.randn(1, 1, 64, 64)
    found = class_activation(network, network.backbone, pixels.clone(), class_target(1), layer="layer2")
    expected = written_out(network, "layer2", pixels.clone(), class_target(1))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="no layer 'layer9'; did you mean 'layer"):
        class_activation(network, network.backbone, pixels, class_target(1), layer="layer9")
    swin = built("swin_tiny_patch4_window7_224", {}, "auto", (64, 64), Pooled)
    with pytest.raises(BackboneError, match=r"layers\.0\.blocks\.0\.attn gives .* which is no grid"):
        class_activation(swin, swin.backbone, pixels, class_target(1), layer="layers.0.blocks.0.attn")
    found = class_activation(swin, swin.backbone, pixels.clone(), class_target(1), layer="patch_embed.proj")
    assert found.max() > 0.9
    odd = built("test_vit", {}, "mean", (64, 64), Pooled)
    odd.backbone.model.blocks[0].register_forward_hook(lambda *seen: seen[2].repeat(1, 2, 1)[:, :19])
    with pytest.raises(BackboneError, match=r"blocks\.1 gives \(1, 19, 64\), which is no grid of an image of 64 x 64"):
        class_activation(odd, odd.backbone, pixels, class_target(1), layer="blocks.1")


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    network = built("resnet18", {}, "auto", (64, 64), Pooled)
    with pytest.raises(ConfigError, match=r"pip install 'vesalius\[explain\]'"):
        class_activation(network, network.backbone, torch.randn(1, 1, 64, 64), class_target(0))
    with pytest.raises(ConfigError, match=r"no method 'gradcam'; .* did you mean 'grad-cam'"):
        class_activation(network, network.backbone, torch.randn(1, 1, 64, 64), class_target(0), method="gradcam")
