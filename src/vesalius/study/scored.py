"""What is scored of every arm: one task on one store, on some of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vesalius.study.definition import ON_MAPS, StudyTable

__all__ = ["ON_LABELS", "ON_MASKS", "Scored"]

ON_MASKS = (*ON_MAPS, "segment")
"""Tasks whose figures every image, or patient, has of its own, by its mask."""

ON_LABELS = ("knn", "linear", "finetune")
"""Classifiers, whose figures are of all images together."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One task on one store.

    Attributes:
        task: Of `ON_MASKS` or `ON_LABELS`.
        store: Where.
        label: To predict; empty for tasks on masks, which take all parts.
        features: Kind of frozen features of a probe.
        fraction: Amount of training labels that is learned from.
        draws: How often they are drawn.
        decoder: Of segmentation.
    """

    task: str
    store: Path
    label: str = ""
    features: str = "auto"
    fraction: float = 1.0
    draws: int = 3
    decoder: str = "linear"

    @property
    def name(self) -> str:
        """Name of its file of results."""
        features = "" if self.features == "auto" else self.features
        fraction = "" if self.fraction == 1.0 else f"{self.fraction:g}"
        draws = "" if self.draws == 3 else f"{self.draws}-draws"
        decoder = "" if self.decoder == "linear" else self.decoder
        words = (self.task, decoder, self.store.name, self.label.replace(",", "+"), features, fraction, draws)
        return "-".join(word for word in words if word)

    def as_state(self) -> dict[str, Any]:
        """Return plain values, the store by its whole path."""
        return asdict(self) | {"store": str(self.store.resolve())}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Scored:
        """Read it from what `as_state` gave."""
        return cls(**(dict(state) | {"store": Path(state["store"])}))

    def is_of(self, table: StudyTable) -> bool:
        """Say whether the table shows it."""
        asked = (table.task, table.features, table.draws, table.decoder)
        same = (self.task, self.features, self.draws, self.decoder) == asked and self.fraction in table.amounts
        return same and (not self.label or table.shows(self.label))
