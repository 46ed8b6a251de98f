"""The head of each method has the layers of its paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vesalius.heads.mlp_head import MlpHead


def kinds(head: MlpHead) -> list[str]:
    return [
        f"{layer.in_features}-{layer.out_features}{'+b' if layer.bias is not None else ''}"
        if isinstance(layer, nn.Linear)
        else ("BN" if getattr(layer, "affine", False) else "bn" if isinstance(layer, nn.BatchNorm1d) else "ReLU")
        for layer in (*head.layers, head.last_norm)
        if not isinstance(layer, nn.Identity)
    ]


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"widths": (8, 16, 4), "bias": False}, ["8-16", "BN", "ReLU", "16-4"]),  # SimCLR
        ({"widths": (8, 16, 4), "batch_norm": False, "last_bias": True}, ["8-16+b", "ReLU", "16-4+b"]),  # MoCo v2
        ({"widths": (8, 16, 4)}, ["8-16+b", "BN", "ReLU", "16-4"]),  # BYOL
        (
            {"widths": (8, 6, 6, 6), "bias": False, "last_norm": "plain"},  # SimSiam
            ["8-6", "BN", "ReLU", "6-6", "BN", "ReLU", "6-6", "bn"],
        ),
    ],
)
def test_layers(options: dict, layers: list[str]) -> None:
    head = MlpHead(**options)
    assert kinds(head) == layers
    assert head(torch.randn(5, 8)).shape == (5, options["widths"][-1])
