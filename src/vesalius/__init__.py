"""vesalius: self-supervised pretraining for medical images.

Each verb of the command line is one function here, with the same name and arguments. They are looked up when first
used, so that importing the package stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vesalius.version import __version__

if TYPE_CHECKING:
    from vesalius.pipeline import doctor, evaluate, open_store, prepare, pretrain, report

__all__ = ["__version__", "doctor", "evaluate", "open_store", "prepare", "pretrain", "report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vesalius import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'vesalius' has no attribute {name!r}")
