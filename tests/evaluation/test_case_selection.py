"""Which images are shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import EvaluationError
from vesalius.evaluation.case_selection import choose_cases


def test_best_median_worst() -> None:
    scores = np.arange(21) / 20.0
    cases = choose_cases(np.arange(100, 121), scores)
    assert [case.row for case in cases if case.kind == "best"] == [120, 119, 118, 117, 116]
    assert [case.row for case in cases if case.kind == "median"] == [111, 110, 109]
    assert [case.row for case in cases if case.kind == "worst"] == [100, 101, 102, 103, 104]
    assert cases[0].score == 1.0


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=30), st.integers(0, 6), st.integers(0, 6))
def test_no_image_twice_and_in_order(scores: list[float], many: int, middle: int) -> None:
    values = np.array(scores)
    known = int((~np.isnan(values)).sum())
    if not known:
        with pytest.raises(EvaluationError, match="no image has a score"):
            choose_cases(np.arange(len(values)), values)
        return
    cases = choose_cases(np.arange(len(values)), values, best=many, median=middle, worst=many)
    rows = [case.row for case in cases]
    assert len(set(rows)) == len(rows) == min(known, 2 * many + middle)
    by_kind = {kind: [case.score for case in cases if case.kind == kind] for kind in ("best", "median", "worst")}
    assert by_kind["best"] == sorted(by_kind["best"], reverse=True)
    assert by_kind["worst"] == sorted(by_kind["worst"])
    if by_kind["best"] and by_kind["worst"]:
        assert min(by_kind["best"]) >= max(by_kind["worst"])
    for score in by_kind["median"]:
        assert score <= min(by_kind["best"], default=1.0)
        assert score >= max(by_kind["worst"], default=0.0)
