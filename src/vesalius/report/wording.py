"""The page's words: names of arms, tasks and metrics as a clinician reads them, and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vesalius.records.result import Result

__all__ = [
    "ARMS",
    "METRICS",
    "PIXELS",
    "TASKS",
    "count",
    "duration",
    "figure",
    "headline_metric",
    "joined",
    "learns_on",
    "plain_name",
    "plain_value",
    "share",
    "spelled",
    "task_name",
    "task_title",
    "variant",
]

ARMS = {
    "pretrained": "pretrained",
    "random_init": "untrained network",
    "pixels": "raw pixels",
    "mean_template": "mean mask of all others",
    "mean_mask": "mean of the masks learned from",
    "registered_exemplar": "registered exemplar",
    "exemplar_unmoved": "exemplar, unmoved",
    "predicted_masks": "segmenter's prediction",
    "average_prediction": "mean of a segmenter's predictions",
    "triangles": "triangles",
    "unmoved": "no motion at all",
    "joined_by_brightness": "regions joined by brightness",
    "prior_regions": "the prior's own regions",
    "pixel_clusters": "k-means of pixels",
    "prior_ceiling": "best joining of the prior",
    "grid_ceiling": "true mask at the patch grid",
    "chance": "chance",
}
"""Arm to its name on the page, in the order of tables."""

TASKS = {
    "knn": "Nearest neighbours (k-NN)",
    "linear": "Linear probe",
    "finetune": "Fine-tuned: the whole network learns",
    "attention": "Attention against masks",
    "coordinates": "Predicted places in the template",
    "regions": "Regions against masks",
    "segment": "Dense transfer: one linear layer on frozen maps",
    "detect": "Detection: Mask R-CNN on the backbone",
}

_TRAINED = "Segmentation: the whole network learns, with a decoder"

_SHRUNK = "the image shrunk to 32 × 32, with no network"
PIXELS = {
    "knn": _SHRUNK,
    "linear": _SHRUNK,
    "finetune": _SHRUNK,
    "segment": "one linear layer on the pixels, their neighbours and their place, with no network",
}
"""What raw pixels are, by the tasks that have them as a baseline."""

METRICS = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_recall": "macro recall",
    "quadratic_kappa": "quadratic kappa",
    "average_precision": "average precision",
    "average_precision_pooled": "average precision, all pixels pooled",
    "pointing_game": "pointing game",
    "iou_at_60pct_mass": "IoU at 60 % of the attention",
    "best_dice": "best Dice",
    "hd95_mm": "Hausdorff distance (95 %), mm",
    "hd95_px": "Hausdorff distance (95 %), stored pixels",
    "hd95_3d_mm": "Hausdorff distance (95 %) of volumes, mm",
    "dice": "Dice",
    "iou": "IoU",
    "iou_pooled": "IoU of all pixels together",
    "ap_box": "AP of boxes",
    "ap50_box": "AP of boxes at IoU .5",
    "ap75_box": "AP of boxes at IoU .75",
    "ap_mask": "AP of masks",
    "ap50_mask": "AP of masks at IoU .5",
    "ap75_mask": "AP of masks at IoU .75",
    "error_px": "distance, pixels of the template (lower is better)",
    "error_mm": "distance, mm (lower is better)",
}

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def headline_metric(kind: str, metrics: Sequence[str]) -> str:
    """Return the metric that stands for a label in figures: kappa for ordinal labels, else ROC-AUC, else the first."""
    wanted = "quadratic_kappa" if kind == "ordinal" else "roc_auc"
    return wanted if wanted in metrics else next(iter(metrics), "")


def plain_name(name: str) -> str:
    """`any_finding,sex` -> `any finding, sex`."""
    return ", ".join(part.replace("_", " ").strip() for part in name.split(",")) or name


def figure(value: float, *, digits: int = 3) -> str:
    """Return a score as text; one that is not defined says so."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "not defined"


def share(value: float) -> str:
    """Return a fraction in per cent with as many digits as it needs: 0.05 -> `5 %`."""
    return f"{value * 100:.3g} %"


def count(number: int, thing: str, *, plural: str = "") -> str:
    """`1 image`, `3,665 images`."""
    return f"{number:,} {thing if number == 1 else plural or thing + 's'}"


def spelled(number: int) -> str:
    """Small numbers as words, as prose has them."""
    return _NUMBERS[number] if 0 <= number < len(_NUMBERS) else f"{number:,}"


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def duration(seconds: float) -> str:
    """Return a time span as people say it: `45 seconds`, `20 minutes`, `3 h 12 min`."""
    if not math.isfinite(seconds) or seconds < 0:
        return "an unknown time"
    if seconds < 90:
        return count(round(seconds), "second")
    minutes = round(seconds / 60)
    return count(minutes, "minute") if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def plain_value(value: Any) -> str:
    """A setting as text: lists and tables without brackets and quotes."""
    if isinstance(value, Mapping):
        return "; ".join(f"{plain_name(str(key))}: {plain_value(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(each) for each in value) or "none"
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def variant(result: Result) -> str:
    """Return what differs from the usual settings, to tell results of one task apart: `k 50; learned on other`."""
    changed = result.settings.get("changed") or {}
    words = [f"{plain_name(str(key))} {plain_value(value)}" for key, value in changed.items()]
    stores: Sequence[Mapping[str, Any]] = result.settings.get("stores") or ()
    if len(stores) == 2:
        words.append(f"learned on {stores[0]['name']}")
    return "; ".join(words)


def learns_on(result: Result) -> bool:
    """Say whether the network went on learning with the labels."""
    return result.task in ("finetune", "detect") or result.settings.get("decoder", "linear") != "linear"


def task_name(result: Result) -> str:
    """Return the task's name without its settings."""
    return _TRAINED if result.task == "segment" and learns_on(result) else TASKS.get(result.task, result.task)


def task_title(result: Result) -> str:
    """Return the task's name with what differs from the usual settings."""
    name, other = task_name(result), variant(result)
    return f"{name}, {other}" if other else name
