"""The attention of the average patch, where there is no [CLS]."""

from __future__ import annotations

import pytest
import torch

from vesalius.backbones.block_attention import block_attentions
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.interpret.mean_row import mean_row


@pytest.mark.parametrize(
    ("name", "size", "grid"),
    [("swin_tiny_patch4_window7_224", 224, (7, 7)), ("vitae_v2_half", 96, (3, 3)), ("test_vit", 64, (4, 4))],
)
def test_weighs_the_values_in_the_pooled_vector(name: str, size: int, grid: tuple[int, int]) -> None:
    """The mean over patches of what the last block's attention mixes is the mean row times the values."""
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=size)).eval()
    [last] = block_attentions(backbone, torch.randn(2, 1, size, size), last=True)
    maps = mean_row(last)
    assert maps.shape == (2, last.weights.shape[2], *grid)
    patches = last.places[0] >= 0
    values = torch.randn(len(last.places[0]), 5).double()
    values[~patches] = 0
    mixed = (last.weights[:, 0].double() @ values)[:, :, patches].mean(2)
    cells = torch.empty_like(values[patches])
    cells[last.places[0][patches]] = values[patches]
    torch.testing.assert_close(maps.flatten(2).double() @ cells, mixed, rtol=1e-5, atol=1e-6)
    if patches.all():
        torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, maps.shape[1]))


def test_windows_give_every_patch_what_its_own_window_gives_it() -> None:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="swin_tiny_patch4_window7_224", image_size=96)).eval()
    first = block_attentions(backbone, torch.randn(1, 1, 96, 96))[0]
    maps = mean_row(first)[0]
    expected = torch.zeros(maps.shape[0], 24 * 24)
    for window, places in enumerate(first.places):
        for query in range(49):
            if places[query] < 0:
                continue
            for key in range(49):
                if places[key] >= 0:
                    expected[:, places[key]] += first.weights[0, window, :, query, key] / (24 * 24)
    torch.testing.assert_close(maps.flatten(1), expected, rtol=1e-4, atol=1e-7)
