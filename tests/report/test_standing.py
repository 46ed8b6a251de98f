from __future__ import annotations

import math
from typing import Any

import pytest

from vesalius.records.result import Result, Score
from vesalius.report.standing import Standing, measured, standing


def _score(value: float, half: float = 0.02, **options: Any) -> Score:
    return Score(
        **{"arm": "pretrained", "metric": "roc_auc", **options}, value=value, low=value - half, high=value + half
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "word", "expected"),
    [
        (0.9, 0.8, "above", Standing.ABOVE),
        (0.9, 0.8, None, Standing.ABOVE),
        (0.82, 0.8, "above", Standing.JUST_ABOVE),
        (0.82, 0.8, "within", Standing.WITHIN),
        (0.82, 0.8, None, Standing.UNKNOWN),
        (0.78, 0.8, "below", Standing.JUST_BELOW),
        (0.7, 0.8, "below", Standing.BELOW),
    ],
)
def test_intervals_first_then_the_paired_word(ours: float, theirs: float, word: str | None, expected: Standing) -> None:
    assert standing(_score(ours), _score(theirs), {"word": word} if word else None) is expected


def test_touching_intervals_are_not_apart() -> None:
    ours, theirs = _score(0.5, 0.25), _score(0.0, 0.25)
    assert ours.low == theirs.high
    assert standing(ours, theirs, {"word": "within"}) is Standing.WITHIN


def test_what_is_missing_or_not_defined_is_unknown() -> None:
    assert standing(None, _score(0.5)) is Standing.UNKNOWN
    assert standing(_score(0.5), None) is Standing.UNKNOWN
    assert standing(_score(math.nan), _score(0.5)) is Standing.UNKNOWN


def _result(scores: list[Score], **options: Any) -> Result:
    return Result(
        **{"task": "knn", "label": "x", "kind": "binary", "protocol": "split", **options},
        scores=tuple(scores),
        train_images=1,
        test_images=1,
        train_patients=1,
        test_patients=1,
    )


def test_headline_is_the_largest_fraction_of_the_label_kinds_own_metric() -> None:
    scores = [_score(0.6, fraction=0.1), _score(0.9, fraction=1.0), _score(0.5, metric="quadratic_kappa")]
    assert measured(_result(scores)).scores["pretrained"].value == 0.9
    assert measured(_result(scores, kind="ordinal")).metric == "quadratic_kappa"


def test_chance_of_another_fraction_is_kept_and_comparisons_of_another_fraction_are_not() -> None:
    scores = [_score(0.8, fraction=0.5), _score(0.5, 0.0, arm="chance"), _score(0.79, arm="pixels", fraction=0.5)]
    compared = [
        {"baseline": "pixels", "metric": "roc_auc", "fraction": 0.5, "word": "above"},
        {"baseline": "pixels", "metric": "roc_auc", "fraction": 0.1, "word": "below"},
        {"baseline": "pixels", "metric": "pr_auc", "fraction": 0.5, "word": "below"},
    ]
    head = measured(_result(scores, settings={"comparisons": compared}))
    assert set(head.scores) == {"pretrained", "chance", "pixels"}
    assert head.against("pixels") is Standing.JUST_ABOVE
    assert head.pixels_sentence() == ""


def test_plain_sentence_when_pixels_are_not_passed() -> None:
    told = {"baseline": "pixels", "metric": "roc_auc", "fraction": 1.0, "word": "within"}
    scores = [_score(0.8), _score(0.81, arm="pixels")]
    within = measured(_result(scores, settings={"comparisons": [told]}))
    below = measured(_result([_score(0.6), _score(0.81, arm="pixels")]))
    silent = measured(_result([_score(0.6)]))
    assert "within raw pixels" in within.pixels_sentence()
    assert "0.810 (0.790 to 0.830)" in within.pixels_sentence()
    assert "below raw pixels" in below.pixels_sentence()
    assert "not scored" in silent.pixels_sentence()
    dense = measured(_result(scores, task="segment", settings={"comparisons": [told]}))
    assert "one linear layer on the pixels, their neighbours and their place" in dense.pixels_sentence()
    assert measured(_result([_score(0.6)], task="attention")).pixels_sentence() == ""
