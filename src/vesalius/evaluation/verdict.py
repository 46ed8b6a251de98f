"""How the pretrained arm stands to its baselines, in words that the numbers allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vesalius.evaluation.intervals import paired_interval
from vesalius.records.result import Score

__all__ = ["Comparison", "compare", "verdict"]

_TITLES = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_recall": "macro recall",
    "quadratic_kappa": "quadratic kappa",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm against another on the same patients.

    Attributes:
        baseline: The other arm.
        metric: By what.
        difference: Ours minus theirs.
        low: Lower end of the 95 % interval of the difference (bootstrap over patients, paired).
        high: Upper end.
        separate: Whether the two arms' own 95 % intervals do not touch.
        word: `above`, `within` or `below` by the paired interval; `unknown` where it is not defined.
        delong_p: Of ROC-AUCs of a binary label, DeLong's test of the first draws (`vesalius.evaluation.delong`); else
            None.
    """

    baseline: str
    metric: str
    difference: float
    low: float
    high: float
    separate: bool
    word: str
    delong_p: float | None = None


def compare(
    ours: Score,
    theirs: Score,
    our_draws: Sequence[Float[np.ndarray, " resamples"]],
    their_draws: Sequence[Float[np.ndarray, " resamples"]],
) -> Comparison:
    """Compare two arms by their scores and their bootstrap distributions over the same resamples."""
    low, high = paired_interval(our_draws, their_draws)
    if np.isnan([low, high, ours.value, theirs.value]).any():
        word = "unknown"
    else:
        word = "above" if low > 0 else "below" if high < 0 else "within"
    return Comparison(
        baseline=theirs.arm,
        metric=ours.metric,
        difference=ours.value - theirs.value,
        low=low,
        high=high,
        separate=bool(ours.low > theirs.high or ours.high < theirs.low),
        word=word,
    )


def verdict(ours: Score, baselines: Sequence[tuple[Score, Comparison]], *, reasons: Sequence[str] = ()) -> str:
    """Say where the pretrained arm stands.

    Args:
        ours: Its score.
        baselines: Each baseline's score and the comparison with it; `random_init` and `pixels` have their own words.
        reasons: Why a score is not defined.
    """
    title = _TITLES.get(ours.metric, ours.metric)
    if np.isnan(ours.value):
        return f"{title} is not defined here: {'; '.join(reasons) or 'no reason recorded'}."
    parts = [f"{title} {_figures(ours)} pretrained."]
    parts += [_sentence(score, comparison) for score, comparison in baselines]
    return " ".join(parts)


def _sentence(theirs: Score, it: Comparison) -> str:
    gap = f"difference {it.difference:+.3f}, 95 % interval {it.low:+.3f} to {it.high:+.3f}"
    if it.delong_p is not None:
        gap += f", DeLong p {it.delong_p:.2g}"
    if theirs.arm == "pixels":
        stand = {
            "above": "above the raw-pixel baseline",
            "within": "within the raw-pixel baseline: not told apart from raw 32 x 32 pixels",
            "below": "BELOW the raw-pixel baseline: raw 32 x 32 pixels do better",
            "unknown": "the raw-pixel baseline is not defined here",
        }[it.word]
        if it.word == "above" and not it.separate:
            stand += " by the paired bootstrap, though the two 95 % intervals overlap"
        return f"Raw pixels {_figures(theirs)}: {stand} ({gap})."
    name = "Same backbone at random init" if theirs.arm == "random_init" else theirs.arm
    stand = {
        ("above", True): "above, with separate 95 % intervals",
        ("above", False): "above by the paired bootstrap, though the two 95 % intervals overlap",
        ("below", True): "BELOW, with separate 95 % intervals: pretraining did harm",
        ("below", False): "BELOW by the paired bootstrap, though the two 95 % intervals overlap",
        ("unknown", False): "not defined here",
    }.get((it.word, it.separate), "not told apart: pretraining shows no gain here")
    return f"{name} {_figures(theirs)}: {stand} ({gap})."


def _figures(score: Score) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
