"""A result as a table for the terminal: every arm beside its baselines, with intervals."""

from __future__ import annotations

import math

from rich.table import Table

from vesalius.evaluation.amounts import ALL, amount_words, in_order, labels_words, largest_of
from vesalius.records.result import Result, Score

__all__ = ["score_table"]

ARMS = ("pretrained", "random_init", "pixels", "chance")

_SHORT = {
    "average_precision": "AP",
    "average_precision_pooled": "AP, pooled",
    "pointing_game": "pointing",
    "iou_at_60pct_mass": "IoU, 60 % mass",
    "best_dice": "best Dice",
    "dice": "Dice",
    "iou": "IoU",
    "iou_pooled": "IoU, all pixels",
    "hd95_mm": "HD95, mm",
    "hd95_px": "HD95, px",
    "hd95_3d_mm": "HD95 of volumes, mm",
    "ap_box": "box AP",
    "ap50_box": "box AP50",
    "ap75_box": "box AP75",
    "ap_mask": "mask AP",
    "ap50_mask": "mask AP50",
    "ap75_mask": "mask AP75",
    "error_px": "error, template px",
    "error_mm": "error, mm",
}


def score_table(result: Result) -> Table:
    """Draw the scores at the largest fraction of the labels, and the first metric at each other."""
    if result.task in ("segment", "detect", "attention", "coordinates", "regions"):
        return _table_of_arms(result)
    title = f"{result.task} on {result.label}: {result.test_images} images of {result.test_patients} patients scored"
    table = Table(title=title, title_justify="left", caption=result.seen_in_words(), caption_justify="left")
    table.add_column("metric")
    table.add_column("labels", justify="right")
    arms = [arm for arm in ARMS if any(score.arm == arm for score in result.scores)]
    for arm in arms:
        table.add_column(arm.replace("_", " "), justify="right")
    metrics = list(dict.fromkeys(score.metric for score in result.scores))
    fractions = in_order(score.fraction for score in result.scores)[::-1]
    shown = [(metric, fractions[0]) for metric in metrics] + [(metrics[0], one) for one in fractions[1:]]
    for metric, fraction in shown:
        cells = [_find(result, arm, metric, fraction) for arm in arms]
        table.add_row(metric.replace("_", " "), amount_words(fraction), *cells)
    return table


def _table_of_arms(result: Result) -> Table:
    """Draw a row an arm, of which there are more than metrics, at the largest fraction of the labels."""
    largest = largest_of(score.fraction for score in result.scores)
    few = "" if largest == ALL else f", {labels_words(largest)}"
    whose = f" of {result.test_patients} patients" if result.test_patients else ""
    title = f"{result.task} on {result.label}: {result.test_images} images{whose}{few}"
    table = Table(title=title, title_justify="left", caption=result.seen_in_words(), caption_justify="left")
    table.add_column("arm")
    metrics = list(dict.fromkeys(score.metric for score in result.scores))
    for metric in metrics:
        table.add_column(_SHORT.get(metric, metric.replace("_", " ")), justify="right")
    for arm in dict.fromkeys(score.arm for score in result.scores):
        first, *rest = (_find(result, arm, metric, largest) for metric in metrics)
        table.add_row(arm.replace("_", " "), first, *(cell.split(" ")[0] for cell in rest))
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
