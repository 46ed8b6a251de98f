"""Forest plots: one row a score, a dot with its 95 % interval, on a scale shared by all rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vesalius.records.result import Score
from vesalius.report.charts import GRID, ticks

__all__ = ["Scale", "shared_scale", "strip"]

# Colour and shape both say the arm, so that neither is needed alone.
_MARKS = {
    "pretrained": ("#0072B2", '<circle cx="{x}%" cy="11" r="5.5" fill="{c}"/>'),
    "random_init": (
        "#D55E00",
        '<svg x="{x}%" y="11" overflow="visible"><rect x="-4.5" y="-4.5" width="9" height="9" fill="{c}"/></svg>',
    ),
    "pixels": ("#00735A", '<svg x="{x}%" y="11" overflow="visible"><path d="M0 -6L6 0L0 6L-6 0Z" fill="{c}"/></svg>'),
    "chance": ("#59636E", '<line x1="{x}%" x2="{x}%" y1="4" y2="18" stroke="{c}" stroke-width="2"/>'),
}
_CHANCE = 'stroke="#59636e" stroke-width="1" stroke-dasharray="2 3"'


@dataclass(frozen=True, slots=True)
class Scale:
    """The range that all rows of one plot share, and its round numbers."""

    low: float
    high: float

    def percent(self, value: float) -> float:
        """Where a value lies from the left edge, in per cent of the width."""
        return 100 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Position in per cent and text of each round number."""
        return [(self.percent(value), f"{value:.3g}") for value in ticks(self.low, self.high, 6)]


def shared_scale(scores: Sequence[Score]) -> Scale:
    """Return a scale that holds every interval, with room at both ends for the marks."""
    ends = [end for score in scores for end in (score.value, score.low, score.high) if math.isfinite(end)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = max(0.05 * (high - low), 0.02)
    return Scale(low - margin, high + margin)


def strip(score: Score, scale: Scale, *, chance: float | None = None) -> Markup:
    """Draw one row as SVG that stretches with the page; positions are per cent, sizes are pixels.

    Hidden from screen readers: the same numbers stand beside it as text.

    Args:
        score: What to draw; one that is not finite draws only the scale.
        scale: Shared by the plot's rows.
        chance: Where to draw the dotted line of chance.
    """
    colour, mark = _MARKS.get(score.arm, _MARKS["chance"])
    parts = [f'<line {GRID} x1="{at:.2f}%" x2="{at:.2f}%" y1="0" y2="22"/>' for at, _ in scale.ticks]
    if chance is not None and math.isfinite(chance):
        at = f"{scale.percent(chance):.2f}%"
        parts.append(f'<line class="chance" {_CHANCE} x1="{at}" x2="{at}" y1="0" y2="22"/>')
    if math.isfinite(score.low) and math.isfinite(score.high) and score.high > score.low:
        ends = f'x1="{scale.percent(score.low):.2f}%" x2="{scale.percent(score.high):.2f}%"'
        parts.append(f'<line {ends} y1="11" y2="11" stroke="{colour}" stroke-width="2.5" stroke-linecap="round"/>')
    if math.isfinite(score.value):
        parts.append(mark.format(x=f"{scale.percent(score.value):.2f}", c=colour))
    return Markup(f'<svg class="strip" height="22" aria-hidden="true">{"".join(parts)}</svg>')  # noqa: S704 - numbers only
