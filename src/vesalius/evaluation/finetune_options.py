"""How a backbone is fine-tuned; light enough for a report to import."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from vesalius.evaluation.metric_names import Metric
from vesalius.evaluation.round_options import RoundOptions

__all__ = ["FinetuneOptions"]


class FinetuneOptions(RoundOptions):
    """Fine-tuning of the whole network; the defaults are those of Matsoukas et al. 2022, cut to small sets.

    Attributes:
        hue: Largest turn of the colours, as a share of the circle; 0, since a stain's or a lesion's hue tells.
        class_weights: Weigh classes by the inverse of how often they occur.
        select: Metric that rounds and rates are chosen by on the images held out (Matsoukas 2022: the one reported,
            such as `quadratic_kappa`).
    """

    _YOUNGER: ClassVar[frozenset[str]] = RoundOptions._YOUNGER | {"frozen_below", "select", "hue"}

    hue: float = Field(default=0.0, ge=0, le=0.5)
    class_weights: bool = False
    select: Metric = "roc_auc"
