from __future__ import annotations

import pytest

from vesalius.errors import ConfigError
from vesalius.evaluation.amounts import amount_words, in_order, is_count, labels_words, largest_of, place_of


def test_all_labels_are_the_largest_amount_whatever_the_counts() -> None:
    assert in_order((1.0, 150.0, 0.05, 1200.0, 0.05)) == (0.05, 150.0, 1200.0, 1.0)
    assert largest_of((150.0, 1.0, 0.1)) == 1.0
    assert largest_of((150.0, 0.1)) == 150
    assert largest_of(()) == 1.0
    assert [is_count(one) for one in (0.5, 1.0, 2.0)] == [False, False, True]


def test_words() -> None:
    assert (amount_words(0.05), amount_words(1200.0)) == ("5 %", "1,200 images")
    assert (labels_words(1.0), labels_words(5.0)) == ("100 % of the labels", "5 labelled images")


@pytest.mark.parametrize("amount", [0.0, -1.0, 1.5, float("nan"), float("inf")])
def test_what_is_no_amount(amount: float) -> None:
    with pytest.raises(ConfigError, match=r"whole number of images from 2 on"):
        in_order((amount,))


def test_places_on_an_axis() -> None:
    assert place_of(0.1, 12.0, counted=False) == 0.1
    assert (place_of(0.1, 12.0, counted=True), place_of(150.0, 0.0, counted=True)) == (12.0, 150.0)
    assert place_of(1.0, 0.0, counted=True) is None
