"""The head's output is bounded by its unit lengths; its options change what they name and nothing else."""

from __future__ import annotations

import pytest
import torch

from vesalius.heads.dino_head import DinoHead, Prototypes


def test_logits_are_cosines_while_the_gain_is_one() -> None:
    out = DinoHead(16, 64, hidden=32, bottleneck=8)(torch.randn(50, 16) * 100)
    assert out.abs().max().item() <= 1.0 + 1e-5


def test_gain_is_a_parameter_only_when_it_is_free() -> None:
    assert {name for name, _ in Prototypes(4, 8).named_parameters()} == {"direction"}
    assert {name for name, _ in Prototypes(4, 8, frozen_gain=False).named_parameters()} == {"direction", "gain"}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_and_batch_norm(layers: int) -> None:
    head = DinoHead(16, 8, hidden=32, bottleneck=4, layers=layers, batch_norm=True)
    kinds = [type(module).__name__ for module in head.mlp]
    assert kinds.count("Linear") == layers
    assert kinds.count("BatchNorm1d") == layers - 1


def test_starts_truncated_normal_with_zero_bias() -> None:
    head = DinoHead(512, 256, hidden=512)
    first = head.mlp[0]
    assert isinstance(first, torch.nn.Linear)
    assert first.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert first.bias.abs().max().item() == 0.0
    assert head.prototypes.direction.std().item() == pytest.approx(0.02, rel=0.05)
