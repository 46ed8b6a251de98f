"""vesalius: self-supervised pretraining for medical images.

Each verb of the command line is one function here, with the same name and arguments. They are looked up when first
used, so that importing the package stays light.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vesalius.version import __version__

if TYPE_CHECKING:
    from vesalius.pipeline import (
        doctor,
        evaluate,
        evaluate_attention,
        evaluate_coordinates,
        evaluate_detect,
        evaluate_regions,
        evaluate_segment,
        explain,
        explain_cases,
        explore,
        export,
        guide,
        open_store,
        prepare,
        pretrain,
        report,
        study,
    )

__all__ = [
    "__version__",
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


class _Package(ModuleType):
    """Keeps the verb `report` in its place: importing the package `vesalius.report` would put that there instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vesalius import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'vesalius' has no attribute {name!r}")
