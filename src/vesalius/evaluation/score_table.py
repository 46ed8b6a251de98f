"""A result as a table for the terminal: every arm beside its baselines, with intervals."""

from __future__ import annotations

import math

from rich.table import Table

from vesalius.records.result import Result, Score

__all__ = ["score_table"]

ARMS = (
    "pretrained", "best_head", "fair_head", "random_init", "pixels", "mean_template", "exemplar_unmoved",
    "registered_exemplar", "grid_ceiling", "chance",
)  # fmt: skip


def score_table(result: Result) -> Table:
    """Draw the scores with all labels, and the first metric at each fraction of them."""
    title = f"{result.task} on {result.label}: {result.test_images} images of {result.test_patients} patients scored"
    table = Table(title=title, title_justify="left", caption=result.seen_in_words(), caption_justify="left")
    table.add_column("metric")
    table.add_column("labels", justify="right")
    arms = [arm for arm in ARMS if any(score.arm == arm for score in result.scores)]
    for arm in arms:
        table.add_column(arm.replace("_", " "), justify="right")
    metrics = list(dict.fromkeys(score.metric for score in result.scores))
    fractions = sorted({score.fraction for score in result.scores}, reverse=True)
    shown = [(metric, 1.0) for metric in metrics] + [(metrics[0], f) for f in fractions if f < 1.0]
    for metric, fraction in shown:
        cells = [_find(result, arm, metric, fraction) for arm in arms]
        table.add_row(metric.replace("_", " "), f"{fraction:.0%}", *cells)
    return table


def _find(result: Result, arm: str, metric: str, fraction: float) -> str:
    for score in result.scores:
        if (score.arm, score.metric) == (arm, metric) and abs(score.fraction - fraction) < 1e-9:
            return _cell(score)
    return "-"


def _cell(score: Score) -> str:
    if math.isnan(score.low):
        return f"{score.value:.3f}"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
