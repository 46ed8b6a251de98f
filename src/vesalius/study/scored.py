"""What is scored of every arm: one task on one store, on some of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vesalius.data.store import open_store
from vesalius.evaluation.coco_objects import read_objects
from vesalius.study.definition import ON_LABELS, ON_MAPS, Study, StudyTable, usual_draws

__all__ = ["ON_LABELS", "ON_MASKS", "ON_OBJECTS", "Scored"]

ON_MASKS = (*ON_MAPS, "segment")
"""Tasks whose figures every image, or patient, has of its own, by its mask."""

ON_OBJECTS = ("detect",)
"""Tasks on a folder in COCO's format."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One task on one store.

    Attributes:
        task: Of `ON_MASKS`, `ON_LABELS` or `ON_OBJECTS`.
        store: Where; of detection the folder.
        label: To predict; empty for tasks on masks.
        parts: Of the masks, that segmentation learns and is scored by; empty for all.
        image_size: Side of the input; None for the study's.
        features: Kind of frozen features of a probe.
        fraction: Amount of training labels that is learned from.
        draws: How often they are drawn.
        decoder: Of segmentation.
        k: Neighbours of k-NN.
        protocol: Who learns and who is scored, of tasks that learn from labels.
        folds: How many of them, where a store has no sides of its own.
    """

    task: str
    store: Path
    label: str = ""
    parts: tuple[str, ...] = ()
    image_size: int | None = None
    features: str = "auto"
    fraction: float = 1.0
    draws: int = 3
    decoder: str = "linear"
    k: int = 20
    protocol: str = "auto"
    folds: int = 5

    @classmethod
    def of(cls, table: StudyTable, store: Path, label: str = "") -> list[Scored]:
        """Return what a table shows of one store, and of one label of it: a task for each amount of labels."""
        return [
            cls(
                task=table.task,
                store=store,
                label=label,
                parts=table.parts,
                image_size=table.image_size,
                features=table.features,
                fraction=amount,
                draws=table.draws,
                decoder=table.decoder,
                k=table.k,
                protocol=table.protocol,
                folds=table.folds,
            )
            for amount in table.amounts
        ]

    @property
    def name(self) -> str:
        """Name of its file of results."""
        features = "" if self.features == "auto" else self.features
        fraction = "" if self.fraction == 1.0 else f"{self.fraction:g}"
        draws = "" if self.draws == usual_draws(self.task) else f"{self.draws}-draws"
        decoder = "" if self.decoder == "linear" else self.decoder
        neighbours = "" if self.k == 20 else f"k{self.k}"
        protocol = "" if self.protocol == "auto" else self.protocol
        folds = "" if self.folds == 5 else f"{self.folds}-folds"
        what = self.label.replace(",", "+") or "+".join(self.parts)
        size = "" if self.image_size is None else f"{self.image_size}px"
        words = (self.task, decoder, self.store.name, what, size, features, fraction, draws)
        return "-".join(word for word in (*words, neighbours, protocol, folds) if word)

    def input_size(self, study: Study) -> int | None:
        """Return the side of the input; None for the size of the training."""
        return self.image_size or study.image_size

    @property
    def fingerprints(self) -> list[str]:
        """Of what it is scored on: images and masks, or images with their objects."""
        if self.task in ON_OBJECTS:
            return [read_objects(self.store).fingerprint]
        store = open_store(self.store)
        return [store.fingerprint, store.mask_fingerprint]

    @property
    def is_there(self) -> bool:
        """Whether what it is scored on is where it was."""
        return self.store.is_dir() if self.task in ON_OBJECTS else (self.store / "store.json").is_file()

    def as_state(self) -> dict[str, Any]:
        """Return plain values, the store by its whole path."""
        return asdict(self) | {"store": str(self.store.resolve())}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Scored:
        """Read it from what `as_state` gave."""
        return cls(**(dict(state) | {"store": Path(state["store"]), "parts": tuple(state.get("parts", ()))}))

    def is_of(self, table: StudyTable) -> bool:
        """Say whether the table shows it."""
        shown = self in Scored.of(table, self.store, self.label)
        return shown and (not self.label or table.shows(self.label))
