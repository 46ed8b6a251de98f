"""The verbs: one function each, the only package that knows all the parts.

Everything heavy is imported inside the verbs, so that `vesalius --help` and `import vesalius` stay fast.
"""

from vesalius.pipeline.cases import explain_cases
from vesalius.pipeline.exploring import explore
from vesalius.pipeline.knowledge import guide
from vesalius.pipeline.pages import explain, report
from vesalius.pipeline.pretraining import pretrain
from vesalius.pipeline.scoring import (
    evaluate,
    evaluate_attention,
    evaluate_coordinates,
    evaluate_detect,
    evaluate_regions,
    evaluate_segment,
)
from vesalius.pipeline.stores import doctor, export, open_store, prepare
from vesalius.pipeline.studies import study

__all__ = [
    "doctor",
    "evaluate",
    "evaluate_attention",
    "evaluate_coordinates",
    "evaluate_detect",
    "evaluate_regions",
    "evaluate_segment",
    "explain",
    "explain_cases",
    "explore",
    "export",
    "guide",
    "open_store",
    "prepare",
    "pretrain",
    "report",
    "study",
]
