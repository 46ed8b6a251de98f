"""Features cut into parts of a batch and put together again."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.records.features import Features


@given(batch=st.integers(1, 9), rows=st.integers(1, 10), whole=st.booleans())
def test_parts_joined_are_the_batch_again(batch: int, rows: int, whole: bool) -> None:
    features = Features(
        pooled=torch.randn(batch, 4),
        patches=torch.randn(batch, 6, 4) if whole else None,
        grid=(2, 3),
        cls=torch.randn(batch, 4) if whole else None,
        attention=torch.randn(batch, 3, 6) if whole else None,
        stages=(torch.randn(batch, 2, 4, 6), torch.randn(batch, 4, 2, 3)) if whole else (),
    )
    parts = features.split(rows)
    assert [len(part.pooled) for part in parts] == [min(rows, batch - start) for start in range(0, batch, rows)]
    again = Features.joined(parts)
    assert again.grid == (2, 3)
    for name in ("pooled", "patches", "cls", "attention"):
        before, after = getattr(features, name), getattr(again, name)
        assert (before is None) is (after is None)
        assert before is None or torch.equal(before, after)
    assert len(again.stages) == len(features.stages)
    assert all(torch.equal(one, two) for one, two in zip(again.stages, features.stages, strict=True))
