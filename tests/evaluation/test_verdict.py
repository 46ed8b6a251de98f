from __future__ import annotations

import numpy as np
import pytest

from vesalius.evaluation.verdict import compare, verdict
from vesalius.records.result import Score


def _arm(arm: str, value: float, *, width: float = 0.04, shared: float = 0.9, seed: int = 1):
    """A score whose draws share most of their noise with the other arms', as resamples of the same patients do."""
    common = np.random.default_rng(0).normal(size=1000)
    own = np.random.default_rng(seed).normal(size=1000)
    draws = value + width / 4 * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Score(arm=arm, metric="roc_auc", value=value, low=float(low), high=float(high)), [draws]


@pytest.mark.parametrize(
    ("random", "words", "separate"),
    [
        (0.70, "above, with separate 95 % intervals", True),
        (0.82, "above by the paired bootstrap, though the two 95 % intervals overlap", False),
        (0.849, "not told apart: pretraining shows no gain here", False),
        (0.88, "BELOW by the paired bootstrap, though the two 95 % intervals overlap", False),
        (0.95, "BELOW, with separate 95 % intervals: pretraining did harm", True),
    ],
)
def test_words_against_random_init(random: float, words: str, separate: bool) -> None:
    ours, our_draws = _arm("pretrained", 0.85)
    theirs, their_draws = _arm("random_init", random, seed=2)
    it = compare(ours, theirs, our_draws, their_draws)
    assert it.separate is separate
    assert f"at random init {random:.3f}" in verdict(ours, [(theirs, it)])
    assert words in verdict(ours, [(theirs, it)])


@pytest.mark.parametrize(
    ("pixels", "word", "words"),
    [
        (0.70, "above", "above the raw-pixel baseline ("),
        (0.82, "above", "above the raw-pixel baseline by the paired bootstrap, though"),
        (0.849, "within", "within the raw-pixel baseline"),
        (0.90, "below", "BELOW the raw-pixel baseline"),
    ],
)
def test_words_against_raw_pixels(pixels: float, word: str, words: str) -> None:
    ours, our_draws = _arm("pretrained", 0.85)
    theirs, their_draws = _arm("pixels", pixels, seed=2)
    it = compare(ours, theirs, our_draws, their_draws)
    assert it.word == word
    assert words in verdict(ours, [(theirs, it)])


def test_an_undefined_score_says_why() -> None:
    nothing = Score(arm="pretrained", metric="roc_auc", value=float("nan"), low=float("nan"), high=float("nan"))
    assert verdict(nothing, [], reasons=["'yes' has no positive image"]) == (
        "ROC-AUC is not defined here: 'yes' has no positive image."
    )
    ours, draws = _arm("pretrained", 0.85)
    assert compare(ours, nothing, draws, [np.full(1000, np.nan)]).word == "unknown"
