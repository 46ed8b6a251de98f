"""Carrying maps along coordinates, and finding folds."""

from __future__ import annotations

import pytest
import torch

from vesalius.registration.deformation import area_factor, warp


def places(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack([x, y])[None]


def test_identity_carries_a_map_as_it_is() -> None:
    maps = torch.rand(1, 3, 10, 12)
    torch.testing.assert_close(warp(maps, places(10, 12)), maps)


def test_a_shift_moves_by_its_own_width() -> None:
    maps = torch.rand(1, 1, 8, 8)
    moved = warp(maps, places(8, 8) + torch.tensor([2 / 8, 0]).view(1, 2, 1, 1))
    torch.testing.assert_close(moved[..., :6], maps[..., 2:])


def test_label_maps_keep_their_values() -> None:
    labels = torch.randint(0, 4, (1, 1, 9, 9)).float()
    moved = warp(labels, places(9, 9) + 0.037, mode="nearest")
    assert set(moved.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_area_factor_of_a_scaling(scale: float) -> None:
    factor = area_factor((places(12, 16) - 0.5) * scale + 0.5)
    torch.testing.assert_close(factor, torch.full_like(factor, scale**2))


def test_a_fold_is_negative() -> None:
    folded = places(16, 16)
    folded[:, 0, :, 5:9] = folded[:, 0, :, 5:9].flip(-1)
    factor = area_factor(folded)
    assert (factor[:, :, 6:8] < 0).all()
    assert (factor[:, :, 11:] > 0).all()
