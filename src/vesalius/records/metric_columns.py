"""The columns of a run's `metrics.csv`: one row a value."""

from __future__ import annotations

__all__ = ["METRIC_COLUMNS"]

METRIC_COLUMNS = ("step", "epoch", "seconds", "name", "value")
