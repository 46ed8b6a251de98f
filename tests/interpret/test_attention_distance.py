"""Mean attended distance, against sums over all pairs written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from vesalius.backbones.block_attention import BlockAttention, block_attentions
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.interpret.attention_distance import attention_distance

BACKBONES = [
    ("test_vit", 64, {}),
    ("vit_tiny_patch16_224", 48, {"reg_tokens": 4, "patch_size": 8}),
    ("deit_tiny_distilled_patch16_224", 64, {}),
    ("swin_tiny_patch4_window7_224", 96, {}),
    ("vitae_v2_half", 100, {}),
]


def written_out(block: BlockAttention, image: int, head: int) -> float:
    """By pairs, in Python's own doubles."""
    found = []
    for window, places in enumerate(block.places.tolist()):
        rows = block.weights[image, window, head].double().tolist()
        for query, own in enumerate(places):
            if own < 0:
                continue
            walked = total = 0.0
            for key, other in enumerate(places):
                if other < 0:
                    continue
                (down, across), (down_too, across_too) = (divmod(one, block.grid[1]) for one in (own, other))
                walked += rows[query][key] * math.hypot(down - down_too, across - across_too)
                total += rows[query][key]
            found.append(walked / total)
    return block.patch_px * sum(found) / len(found)


@pytest.mark.parametrize(("name", "size", "arguments"), BACKBONES)
def test_equals_the_sum_over_pairs(name: str, size: int, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=size, arguments=arguments)).eval()
    blocks = block_attentions(backbone, torch.randn(2, 1, size, size))
    for block in (blocks[0], blocks[1], blocks[-1]):
        distances = attention_distance(block)
        assert distances.shape == (2, block.weights.shape[2])
        for head in (0, distances.shape[1] - 1):
            expected = written_out(block, 1, head)
            assert float(distances[1, head]) == pytest.approx(expected, rel=1e-5)


def test_of_a_head_that_looks_at_itself_is_nothing_and_of_an_even_one_the_mean_distance() -> None:
    places = torch.cat([torch.tensor([-1]), torch.arange(16)])[None]
    itself, even = torch.eye(17), torch.full((17, 17), 1 / 17)
    weights = torch.stack([itself, even])[None, None]
    block = BlockAttention(name="attn", weights=weights, places=places, grid=(4, 4), patch_px=8)
    none, mean = attention_distance(block)[0].tolist()
    where = [(row, column) for row in range(4) for column in range(4)]
    apart = [math.dist(one, other) for one in where for other in where]
    assert none == 0.0
    assert mean == pytest.approx(8 * sum(apart) / len(apart))
