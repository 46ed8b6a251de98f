"""How a backbone is fine-tuned; light enough for a report to import."""

from __future__ import annotations

from vesalius.evaluation.round_options import RoundOptions

__all__ = ["FinetuneOptions"]


class FinetuneOptions(RoundOptions):
    """Fine-tuning of the whole network; the defaults are those of Matsoukas et al. 2022, cut to small sets.

    Attributes:
        class_weights: Weigh classes by the inverse of how often they occur.
    """

    class_weights: bool = False
