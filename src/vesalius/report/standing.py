"""How the pretrained score of a result stands to its baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vesalius.evaluation.amounts import largest_of
from vesalius.records.result import Result, Score
from vesalius.report.wording import PIXELS, figure, headline_metric

__all__ = ["Measured", "Standing", "measured", "standing"]


class Standing(StrEnum):
    """Above or below: the 95 % intervals are apart. Just: only the paired difference says so. Within: neither does.

    Unknown: a score is missing, or the intervals overlap and no paired difference was written.
    """

    ABOVE = "above"
    JUST_ABOVE = "just_above"
    WITHIN = "within"
    JUST_BELOW = "just_below"
    BELOW = "below"
    UNKNOWN = "unknown"

    @property
    def better(self) -> bool:
        """Whether the difference speaks for the pretrained arm, with intervals apart or not."""
        return self in (Standing.ABOVE, Standing.JUST_ABOVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The headline figures of one result.

    Attributes:
        task: What was scored.
        metric: The metric that stands for the label.
        fraction: The share of labels the figures belong to: the largest that was run.
        scores: Arm to score at this metric and fraction.
        paired: Arm to the evaluation's own paired comparison, where it wrote one.
    """

    task: str
    metric: str
    fraction: float
    scores: Mapping[str, Score]
    paired: Mapping[str, Mapping[str, Any]]

    def against(self, arm: str) -> Standing:
        """Return how the pretrained arm stands to another."""
        return standing(self.scores.get("pretrained"), self.scores.get(arm), self.paired.get(arm))

    def pixels_sentence(self) -> str:
        """Say in plain words where raw pixels already give the score; empty where they do not, or are no baseline."""
        stands, pixels = self.against("pixels"), self.scores.get("pixels")
        if self.task not in PIXELS:
            return ""
        if pixels is None:
            return "Raw pixels were not scored here, so it is open whether the images' framing alone gives this score."
        interval = f"{figure(pixels.value)} ({figure(pixels.low)} to {figure(pixels.high)})"
        if stands is Standing.WITHIN:
            return f"This is within raw pixels: {PIXELS[self.task]}, scores {interval}."
        if stands in (Standing.BELOW, Standing.JUST_BELOW):
            return f"This is below raw pixels: {PIXELS[self.task]}, scores {interval}."
        return ""


def standing(score: Score | None, other: Score | None, paired: Mapping[str, Any] | None = None) -> Standing:
    """Compare two scores by their intervals, and by the paired difference where it is known (it is the finer test)."""
    if score is None or other is None:
        return Standing.UNKNOWN
    if not all(math.isfinite(end) for end in (score.low, score.high, other.low, other.high)):
        return Standing.UNKNOWN
    word = (paired or {}).get("word")
    if score.low > other.high:
        return Standing.ABOVE
    if score.high < other.low:
        return Standing.BELOW
    words = {"above": Standing.JUST_ABOVE, "below": Standing.JUST_BELOW, "within": Standing.WITHIN}
    return words.get(str(word), Standing.UNKNOWN)


def measured(result: Result) -> Measured:
    """Pick a result's headline metric at its largest fraction of labels."""
    metric = headline_metric(result.kind, tuple(dict.fromkeys(score.metric for score in result.scores)))
    of_metric = [score for score in result.scores if score.metric == metric]
    trained = [score.fraction for score in of_metric if score.arm == "pretrained"]
    fraction = largest_of(trained or [score.fraction for score in of_metric])
    # Chance knows no training labels, so it may be written for one fraction only.
    chosen = {score.arm: score for score in of_metric if score.arm == "chance"}
    chosen |= {score.arm: score for score in of_metric if score.fraction == fraction}
    compared = [each for each in result.settings.get("comparisons") or () if isinstance(each, Mapping)]
    paired = {
        str(each.get("baseline")): each
        for each in compared
        if each.get("metric") == metric and each.get("fraction") == fraction
    }
    return Measured(task=result.task, metric=metric, fraction=fraction, scores=chosen, paired=paired)
