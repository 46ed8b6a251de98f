"""How a backbone is fine-tuned; light enough for a report to import."""

from __future__ import annotations

from pydantic import Field

from vesalius.evaluation.round_options import RoundOptions

__all__ = ["FinetuneOptions"]


class FinetuneOptions(RoundOptions):
    """Fine-tuning of the whole network; the defaults are those of Matsoukas et al. 2022, cut to small sets.

    Attributes:
        class_weights: Weigh classes by the inverse of how often they occur.
        flip: Probability of a left-right flip; 0, since a patient's sides are not alike.
    """

    class_weights: bool = False
    flip: float = Field(default=0.0, ge=0, le=1)
