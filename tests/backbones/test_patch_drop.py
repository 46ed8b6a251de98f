"""Tokens left out in training: how many, which, and that their places are told."""

from __future__ import annotations

import torch

from vesalius.backbones.patch_drop import PatchDrop


def _tokens() -> torch.Tensor:
    """Return two images of two prefix tokens and nine patches, each patch made of its own place."""
    places = torch.arange(9.0)[None, :, None].expand(2, 9, 4)
    return torch.cat([torch.full((2, 2, 4), -1.0), places], dim=1)


def test_kept_tells_where_every_token_comes_from() -> None:
    drop = PatchDrop(0.5, prefix_tokens=2)
    left = drop(_tokens())
    assert left.shape == (2, 6, 4)
    assert (left[:, :2] == -1).all()
    torch.testing.assert_close(left[:, 2:, 0], drop.kept.float())
    assert all(len(set(row.tolist())) == 4 for row in drop.kept)


def test_images_are_drawn_apart_and_anew_and_one_token_is_always_left() -> None:
    drop = PatchDrop(0.99, prefix_tokens=2)
    drawn = {tuple(drop(_tokens())[:, 2:, 0].flatten().tolist()) for _ in range(50)}
    assert all(len(one) == 2 for one in drawn)
    assert len(drawn) > 20


def test_nothing_is_left_out_in_evaluation() -> None:
    drop = PatchDrop(0.5, prefix_tokens=2)
    drop(_tokens())
    assert torch.equal(drop.eval()(_tokens()), _tokens())
    assert drop.kept is None
