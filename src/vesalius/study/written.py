"""What every task writes of a model, for tables to show: metrics, and baselines beside it."""

from __future__ import annotations

from collections.abc import Iterable

from vesalius.errors import nearest
from vesalius.evaluation.average_precision import METRICS as OF_DETECTORS
from vesalius.evaluation.metric_names import METRICS as OF_CLASSIFIERS
from vesalius.evaluation.segment_scores import POOLED

__all__ = ["BASELINES", "METRICS", "check_written"]

METRICS: dict[str, tuple[str, ...]] = {
    "attention": ("average_precision", "pointing_game", "iou_at_60pct_mass", "best_dice"),
    "coordinates": ("dice", "iou", "error_px", "error_mm"),
    "regions": ("iou",),
    "segment": ("dice", "iou", "hd95_mm", "hd95_px", "hd95_3d_mm", POOLED),
    "detect": OF_DETECTORS,
    **dict.fromkeys(("knn", "linear", "finetune"), OF_CLASSIFIERS),
}
"""By task; figures that every patient, or resample of them, has of its own."""

_REGISTERED = ("registered_exemplar", "exemplar_unmoved")

BASELINES: dict[str, tuple[str, ...]] = {
    "attention": (
        *("random_init", "best_head", "fair_head", "mean_template", *_REGISTERED),
        *("triangles", "average_prediction", "predicted_masks", "grid_ceiling", "chance"),
    ),
    "coordinates": ("mean_template", *_REGISTERED, "unmoved"),
    "regions": ("random_init", "joined_by_brightness", "prior_regions", "pixel_clusters", "prior_ceiling"),
    "segment": ("random_init", "pixels", "mean_mask"),
    "detect": ("random_init",),
    **dict.fromkeys(("knn", "linear", "finetune"), ("random_init", "pixels", "chance")),
}
"""By task; of segmentation the same beside every decoder."""


def check_written(task: str, metric: str, baselines: Iterable[str]) -> None:
    """Refuse what would leave a table without figures.

    Args:
        task: Of the table.
        metric: Of the table.
        baselines: All that stand in it.

    Raises:
        ValueError: There is no such task, or it writes no such metric or baseline.
    """
    if task not in METRICS:
        raise ValueError(f"no task '{task}'{nearest(task, METRICS)}; use {', '.join(METRICS)}")
    asked = [("metric", metric, METRICS[task]), *(("baseline", one, BASELINES[task]) for one in baselines)]
    for what, name, known in asked:
        if name not in known:
            raise ValueError(f"task {task} writes no {what} '{name}'{nearest(name, known)}; use {', '.join(known)}")
