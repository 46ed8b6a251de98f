"""Slices of a batch on a CPU: how many images they hold, and that they give what the batch gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.backbones import cache_slices
from vesalius.backbones.cache_slices import LARGEST_BYTES, rows_in_cache
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone

VIT = create_backbone(BackboneConfig(name="vit_tiny_patch16_224")).model


@given(batch=st.integers(1, 300), side=st.integers(16, 512), bf16=st.booleans())
def test_slices_fit_and_are_even(batch: int, side: int, bf16: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        rows = rows_in_cache(VIT, torch.empty(batch, 1, side, side, device="cpu"))
    of_one = (-(-side // 16)) ** 2 * 4 * 192 * (2 if bf16 else 4)
    slices = -(-batch // rows)
    assert rows * of_one <= LARGEST_BYTES or rows == 1
    assert slices == -(-batch // max(1, LARGEST_BYTES // of_one))
    assert batch - rows * (slices - 1) > rows - slices


def test_elsewhere_nothing_is_cut() -> None:
    assert rows_in_cache(VIT, torch.empty(64, 1, 1024, 1024, device="meta")) == 64


def test_networks_that_look_across_the_batch_are_not_cut() -> None:
    model = create_backbone(BackboneConfig(name="resnet18", image_size=224)).model
    assert rows_in_cache(model, torch.empty(512, 1, 224, 224)) == 512


@pytest.mark.parametrize("patches", [True, False])
def test_slices_give_the_features_and_gradients_of_the_batch(monkeypatch: pytest.MonkeyPatch, patches: bool) -> None:
    config = BackboneConfig(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)
    backbone, x = create_backbone(config).train(), torch.randn(7, 1, 64, 64)
    found = []
    for largest in (LARGEST_BYTES, 2 * 16 * 4 * 192 * 4):
        monkeypatch.setattr(cache_slices, "LARGEST_BYTES", largest)
        calls: list[int] = []
        handle = backbone.model.norm.register_forward_hook(
            lambda module, given, output, calls=calls: calls.append(len(output))
        )
        features = backbone.forward_features(x, patches=patches, attention=True)
        handle.remove()
        backbone.zero_grad()
        features.pooled.sin().sum().backward()
        found.append((calls, features, [p.grad.clone() for p in backbone.parameters() if p.grad is not None]))
    (calls, batch, gradients), (calls_cut, cut, gradients_cut) = found
    assert (calls, calls_cut) == ([7], [2, 2, 2, 1])
    for name in ("pooled", "cls", "patches", "attention"):
        torch.testing.assert_close(getattr(cut, name), getattr(batch, name), rtol=1e-5, atol=1e-5)
    for one, two in zip(gradients_cut, gradients, strict=True):
        assert float((one - two).norm()) <= 1e-4 * float(two.norm()) + 1e-6


def test_stages_are_joined_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=64)).eval()
    x = torch.randn(3, 1, 64, 64)
    whole = backbone.forward_features(x, stages=True)
    monkeypatch.setattr(cache_slices, "LARGEST_BYTES", 1)
    cut = backbone.forward_features(x, stages=True)
    assert len(cut.stages) == len(whole.stages) > 0
    torch.testing.assert_close(cut.stages[-1], whole.stages[-1], rtol=1e-5, atol=1e-5)
