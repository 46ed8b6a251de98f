"""What may be chosen for an evaluation and shapes its figures; light enough for a report to import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from vesalius.config import StrictModel
from vesalius.errors import ConfigError
from vesalius.evaluation.amounts import in_order
from vesalius.evaluation.finetune_options import FinetuneOptions

__all__ = ["FRACTIONS", "EvaluationOptions", "differing"]

FRACTIONS = (0.01, 0.05, 0.1, 1.0)

_OF_ONE_TASK = {"k": "knn", "solver": "linear", "finetune": "finetune"}
_FINETUNE = FinetuneOptions()
_OF_FROZEN = ("features",)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """Everything besides run, stores, task and label that shapes the figures.

    Attributes:
        protocol: `auto`, `split` or `folds`, see `vesalius.evaluation.protocol.make_sides`.
        folds: How many.
        k: Neighbours of the reported k-NN score.
        fractions: Amounts of training labels, see `vesalius.evaluation.amounts`.
        seeds: Label draws at each amount but all.
        random_inits: Untrained twins, at least one: a score without its baseline says nothing.
        features: `auto`, or of `cls`, `mean`, `heads`, `grid` joined by `+`, see `vesalius.evaluation.feature_kinds`.
        solver: `lbfgs` or `sgd`, of the linear probe.
        image_size: Side of the input; by default the size that belongs to the weights.
        precision: `auto`, `bf16` or `fp32`.
        bootstrap: Resamples of the patients.
        seed: First seed of label draws, folds, twins and resamples.
        finetune: How the whole network is trained, where it is.
    """

    protocol: str = "auto"
    folds: int = 5
    k: int = 20
    fractions: tuple[float, ...] = FRACTIONS
    seeds: int = 3
    random_inits: int = 2
    features: str = "auto"
    solver: str = "lbfgs"
    image_size: int | None = None
    precision: str = "auto"
    bootstrap: int = 1000
    seed: int = 0
    finetune: FinetuneOptions = _FINETUNE

    def __post_init__(self) -> None:
        """Refuse what would leave out the baseline or the interval, and sort the fractions."""
        if self.random_inits < 1:
            raise ConfigError(
                f"random_inits = {self.random_inits}: at least one untrained twin is needed; without it nobody can "
                "tell what pretraining added to what the architecture gives for nothing"
            )
        for name, least in (("folds", 2), ("k", 1), ("seeds", 1), ("bootstrap", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: give at least {least}")
        if not self.fractions:
            raise ConfigError("fractions is empty: name at least one share of the training labels, for example 1.0")
        object.__setattr__(self, "fractions", in_order(self.fractions))

    def changed(self, task: str) -> dict[str, Any]:
        """Return what differs from the defaults, without what this task does not use."""
        return {
            name: value
            for name, value in differing(self).items()
            if _OF_ONE_TASK.get(name, task) == task and not (task == "finetune" and name in _OF_FROZEN)
        }


def differing(options: Any) -> dict[str, Any]:
    """Return what options (a dataclass) differ from their defaults in, which tells results of one task apart."""
    values = {field.name: (getattr(options, field.name), field.default) for field in fields(options)}
    return {name: _plain(value) for name, (value, default) in values.items() if value != default}


def _plain(value: Any) -> Any:
    if isinstance(value, StrictModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return list(value) if isinstance(value, tuple) else value
