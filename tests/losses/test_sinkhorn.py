"""Codes: rows that sum to one, prototypes used alike, the same whatever the scores' scale is shifted by."""

from __future__ import annotations

import torch

from vesalius.losses.sinkhorn import sinkhorn


def test_rows_sum_to_one_and_prototypes_are_used_alike() -> None:
    scores = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    codes = sinkhorn(scores, rounds=50)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(64))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((8,), 8.0), rtol=1e-3, atol=1e-3)


def test_a_shift_of_all_scores_changes_nothing() -> None:
    scores = torch.rand(6, 4)
    torch.testing.assert_close(sinkhorn(scores), sinkhorn(scores + 3.0), rtol=1e-4, atol=1e-6)


def test_embeddings_that_are_all_alike_get_uniform_codes_in_spite_of_their_scores() -> None:
    codes = sinkhorn(torch.tensor([[0.9, 0.1, -0.5]]).expand(12, -1))
    torch.testing.assert_close(codes, torch.full((12, 3), 1 / 3))


def test_far_scores_do_not_become_nan() -> None:
    codes = sinkhorn(torch.tensor([[1.0, -1.0], [1.0, -1.0], [-1.0, -1.0]]), epsilon=0.01)
    assert torch.isfinite(codes).all()
