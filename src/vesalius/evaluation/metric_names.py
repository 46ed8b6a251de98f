"""Names of the metrics of classifiers; light enough for a report to import."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["METRICS", "Metric"]

Metric = Literal["roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "macro_recall", "quadratic_kappa"]
"""Computed by `vesalius.evaluation.metrics`."""

METRICS: tuple[str, ...] = get_args(Metric)
