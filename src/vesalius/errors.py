"""Every error a user can meet. Each message says what arrived, what was expected and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "BackboneError",
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "EvaluationError",
    "KnowledgeError",
    "LabelError",
    "ManifestError",
    "RegistrationError",
    "RunError",
    "SplitError",
    "StoreError",
    "TrainingError",
    "UnreadableImageError",
    "VesaliusError",
    "ViewError",
    "nearest",
]


class VesaliusError(Exception):
    """Base of all errors that are the input's fault; the command line prints them without a trace."""


class UnreadableImageError(VesaliusError):
    """A file that cannot become an image: `path`, a short machine-countable `reason`, and the full message."""

    def __init__(self, path: Path | str, reason: str, advice: str = "") -> None:
        """Name the file, say what arrived (`reason`) and what the user can do (`advice`)."""
        self.path = Path(path)
        self.reason = reason
        self.advice = advice
        super().__init__(f"{self.path}: {reason}" + (f". {advice}" if advice else ""))

    def __reduce__(self) -> tuple[type[UnreadableImageError], tuple[str, str, str]]:
        """Keep the three parts when a worker process sends the error home."""
        return (type(self), (str(self.path), self.reason, self.advice))


class DatasetError(VesaliusError):
    """A folder that does not have the layout its adapter expects."""


class KnowledgeError(VesaliusError):
    """Knowledge maps, an exemplar or its mask that are missing, damaged or do not fit the images."""


class RegistrationError(VesaliusError):
    """An image that cannot be registered, or a registration that diverged."""


class StoreError(VesaliusError):
    """A store that is missing, incomplete, damaged or made by another version."""


class ManifestError(VesaliusError):
    """A table (manifest or label CSV) whose columns, ids or values do not fit."""


class SplitError(VesaliusError):
    """A split that would put one patient on two sides, or that cannot be drawn."""


class LabelError(VesaliusError):
    """A label that does not exist or cannot serve the task asked of it."""


class ConfigError(VesaliusError):
    """A recipe or option with an unknown key or a value out of range."""


class ViewError(VesaliusError):
    """Images or parameters that no view can be drawn from."""


class BackboneError(VesaliusError):
    """A backbone that does not exist, or cannot do what the recipe asks of it."""


class TrainingError(VesaliusError):
    """A training that cannot go on: a loss that is not finite, too few images for a batch."""


class CheckpointError(VesaliusError):
    """A checkpoint that is missing, damaged or belongs to another recipe."""


class RunError(VesaliusError):
    """A run folder that is missing, unfinished or in use."""


class EvaluationError(VesaliusError):
    """A task that cannot be scored on the data given."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest known word, or an empty string where nothing is close."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
