"""Which pixels of a prediction are explained, and by what figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label

from vesalius.errors import ConfigError
from vesalius.interpret.explained_region import class_target, region_of, region_target

PREDICTED = torch.tensor(
    [
        [1, 1, 0, 0, 0],
        [1, 0, 0, 1, 1],
        [0, 1, 0, 1, 1],
        [0, 0, 0, 0, 1],
    ],
    dtype=torch.bool,
)


def places(region: torch.Tensor) -> list[tuple[int, int]]:
    return [tuple(one) for one in region.nonzero().tolist()]


def test_regions_of_a_prediction() -> None:
    assert region_of(PREDICTED).equal(PREDICTED)
    assert places(region_of(PREDICTED, "box", box=(0, 1, 1, 3))) == [(0, 1), (1, 3)]
    assert places(region_of(PREDICTED, "component", pixel=(1, 0))) == [(0, 0), (0, 1), (1, 0)]
    assert places(region_of(PREDICTED, "component")) == [(1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    assert places(region_of(PREDICTED, "pixel", pixel=(3, 0))) == [(3, 0)]
    assert not places(region_of(PREDICTED, "box", box=(3, 0, 3, 1)))
    assert not places(region_of(PREDICTED, "component", pixel=(3, 0)))
    for kind in ("class", "component"):
        assert not places(region_of(torch.zeros(4, 5, dtype=torch.bool), kind))


@given(st.lists(st.booleans(), min_size=48, max_size=48), st.integers(0, 5), st.integers(0, 7))
def test_a_component_is_the_one_that_scikit_image_labels(values: list[bool], row: int, column: int) -> None:
    predicted = torch.tensor(values).reshape(6, 8)
    if not predicted[row, column]:
        return
    found = label(predicted.numpy(), connectivity=1)
    expected = torch.from_numpy(np.asarray(found == found[row, column]))
    assert region_of(predicted, "component", pixel=(row, column)).equal(expected)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("box", {}, "box needs 4 whole numbers"),
        ("box", {"box": (0, 0, 4, 1)}, "outside the image of 4 rows and 5 columns"),
        ("box", {"box": (2, 0, 1, 1)}, "first corner lies below"),
        ("pixel", {}, "pixel needs 2 whole numbers"),
        ("pixel", {"pixel": (0, 5)}, "outside the image"),
    ],
)
def test_regions_that_are_not_there(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        region_of(PREDICTED, kind, **options)


def test_targets_are_a_logit_and_the_sum_over_a_region() -> None:
    assert float(class_target(1)(torch.tensor([1.0, 2.0]))) == 2.0
    logits = torch.arange(40.0).reshape(2, 4, 5)
    assert float(region_target(1, PREDICTED)(logits)) == float(logits[1][PREDICTED].sum())
