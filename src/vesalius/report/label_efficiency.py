"""Label-efficiency curves: a score over the amount of labels, every arm a line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from vesalius.evaluation.amounts import amount_words, in_order, is_count, labels_words, place_of
from vesalius.records.result import Result
from vesalius.report.charts import Series, line_chart
from vesalius.report.standing import Measured
from vesalius.report.wording import ARMS, METRICS, figure, task_title

__all__ = ["ARM_STYLES", "efficiency_curves"]

ARM_STYLES = {
    "pretrained": (0, 0),
    "random_init": (1, 1),
    "pixels": (2, 2),
    "mean_template": (3, 3),
    "mean_mask": (3, 3),
    "registered_exemplar": (4, 4),
    "exemplar_unmoved": (5, 2),
    "grid_ceiling": (2, 1),
    "chance": (6, 5),
}
"""Arm to its colour and dash, see `charts.COLOURS`."""
_OTHERS = (5, 1)


def efficiency_curves(group: Sequence[tuple[str, Result, Measured]], *, several: bool) -> list[tuple[str, Markup]]:
    """Score over the amount of labels, one picture a run, all of one task on one scale."""
    drawn: list[tuple[str, Markup]] = []
    ends = [
        end
        for _, result, head in group
        for score in result.scores
        if score.metric == head.metric
        for end in (score.value - score.spread, score.value + score.spread)
    ]
    finite = [end for end in ends if math.isfinite(end)]
    for run, result, head in group:
        lines = _efficiency(result, head.metric)
        amounts = in_order(score.fraction for score in result.scores)
        ticks = [(x, amount_words(one)) for one in amounts if (x := _place(result, one)) is not None]
        if len({x for line in lines for x in line.x}) < 2 or not any(
            math.isfinite(y) for line in lines for y in line.y
        ):
            continue
        task = task_title(result)
        name = f"{task} · {run}" if several else task
        low, high = min(finite), max(finite)
        margin = max(0.05 * (high - low), 0.01)
        described = "; ".join(f"{line.name} from {figure(line.y[0])} to {figure(line.y[-1])}" for line in lines)
        chart = line_chart(
            lines,
            title=f"{METRICS.get(head.metric, head.metric)} over the amount of labels, {name}",
            description=f"From {labels_words(amounts[0])} to {labels_words(amounts[-1])}: {described}.",
            x_label="labelled images" if _counted(result) else "share of the training labels",
            y_range=(low - margin, high + margin),
            x_ticks=ticks,
            log_x=True,
        )
        drawn.append((name, chart))
    return drawn


def _efficiency(result: Result, metric: str) -> list[Series]:
    lines = []
    for arm, words in ARMS.items():
        of_arm = {s.fraction: s for s in result.scores if s.arm == arm and s.metric == metric}
        placed = [(x, of_arm[one]) for one in in_order(of_arm) if (x := _place(result, one)) is not None]
        scores = [score for _, score in placed]
        if len(scores) < 2:
            continue
        style, dash = ARM_STYLES.get(arm, _OTHERS)
        lines.append(
            Series(
                name=words,
                x=[x for x, _ in placed],
                y=[s.value for s in scores],
                low=[s.value - s.spread for s in scores],
                high=[s.value + s.spread for s in scores],
                style=style,
                dash=dash,
                points=arm != "chance",
            )
        )
    return lines


def _counted(result: Result) -> bool:
    """Say whether any amount of labels counts images; then all are drawn over the images learned from."""
    return any(is_count(score.fraction) for score in result.scores)


def _place(result: Result, amount: float) -> float | None:
    """Return where an amount stands on the axis, see `place_of`."""
    images = max((score.images for score in result.scores if score.fraction == amount), default=0.0)
    return place_of(amount, images, counted=_counted(result))
