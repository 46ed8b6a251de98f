"""Every arm, share of labels and seed through one probe, all on the same sides and label draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from vesalius.errors import ConfigError, EvaluationError, LabelError, nearest
from vesalius.evaluation.amounts import ALL, in_order, labels_words
from vesalius.evaluation.knn import knn_scores
from vesalius.evaluation.label_amounts import draw_label_amounts
from vesalius.evaluation.linear import logistic_scores
from vesalius.evaluation.metrics import check_metrics, default_metrics
from vesalius.evaluation.options import FRACTIONS
from vesalius.evaluation.protocol import Sides

__all__ = ["SOLVERS", "TASKS", "Prediction", "ProbeOptions", "check_sides", "predict_arms"]

TASKS = ("knn", "linear", "finetune")
SOLVERS = ("lbfgs", "sgd")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """Everything that shapes the figures.

    Attributes:
        task: `knn`, `linear` or `finetune`.
        label: The label's name.
        kind: Kind of the label, see `vesalius.evaluation.targets.KINDS`.
        classes: Class names, or label names for `multilabel`.
        k: Neighbours of the reported k-NN score.
        ks: Further k scored at the largest fraction.
        temperature: Of the k-NN vote.
        solver: `lbfgs` or `sgd`, of the linear probe.
        fractions: Amounts of training labels, see `vesalius.evaluation.amounts`.
        seeds: Label draws at each amount but all.
        metrics: Which metrics; empty for those that suit the kind. The first one is the verdict's.
        bootstrap: Resamples of the patients.
        seed: First seed; label draw i uses seed + i.
    """

    task: str
    label: str = "label"
    kind: str
    classes: tuple[str, ...]
    k: int = 20
    ks: tuple[int, ...] = (10, 20, 100, 200)
    temperature: float = 0.07
    solver: str = "lbfgs"
    fractions: tuple[float, ...] = FRACTIONS
    seeds: int = 3
    metrics: tuple[str, ...] = ()
    bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown words and empty lists."""
        for word, known, what in ((self.task, TASKS, "task"), (self.solver, SOLVERS, "solver")):
            if word not in known:
                raise ConfigError(f"unknown {what} '{word}'{nearest(word, known)}; known: {', '.join(known)}")
        if not self.fractions or self.seeds < 1:
            raise ConfigError(f"fractions {self.fractions} and seeds {self.seeds}: give at least one of each")
        object.__setattr__(self, "metrics", check_metrics(self.metrics or default_metrics(self.kind)))
        object.__setattr__(self, "fractions", in_order(self.fractions))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Test scores of one arm, fraction and seed, in the order of `Sides.test`.

    Attributes:
        arm: Which arm.
        fraction: Amount of training labels.
        seed: Number of the label draw or initialisation, from 0.
        scores: Probabilities, one column a class or label.
        by_k: For k-NN at the largest fraction: scores at the further k.
        learned: Training images of each pair.
        chosen: Regularisation chosen by the linear probe in each pair, or the learning rate by fine-tuning.
    """

    arm: str
    fraction: float
    seed: int
    scores: Float[np.ndarray, "test columns"]
    by_k: Mapping[int, Float[np.ndarray, "test columns"]] = field(default_factory=dict)
    learned: tuple[int, ...] = ()
    chosen: tuple[float, ...] = ()


def predict_arms(
    features_by_arm: Mapping[str, Sequence[Num[np.ndarray, "_ _"]]],
    labels: Num[np.ndarray, "images ..."],
    patients: Shaped[np.ndarray, " images"],
    *,
    sides: Sides,
    options: ProbeOptions,
    advance: Callable[[str], None] | None = None,
) -> list[Prediction]:
    """Probe every arm, fraction and seed; `advance` is called after each with its name."""
    _check_features(features_by_arm, labels)
    check_sides(labels, sides, options.label, options.classes)
    draws = [
        [
            draw_label_amounts(patients[train], labels[train], fractions=options.fractions, seed=options.seed + one)
            for train, _ in sides.pairs
        ]
        for one in range(options.seeds)
    ]
    out = []
    for arm, inits in features_by_arm.items():
        for fraction in options.fractions:
            rounds = len(inits) if fraction == ALL else options.seeds
            for one in range(rounds):
                chosen = [draw[fraction] for draw in draws[one % options.seeds]]
                features = inits[one % len(inits)]
                prediction = _predict((features, labels, patients), sides, chosen, options)
                out.append(Prediction(arm=arm, fraction=fraction, seed=one, **prediction))
                if advance is not None:
                    advance(f"{arm} at {labels_words(fraction)}")
    return [*out, _chance(labels, sides, options)]


def _predict(
    data: tuple[Num[np.ndarray, "images _"], Num[np.ndarray, "images ..."], Shaped[np.ndarray, " images"]],
    sides: Sides,
    chosen: Sequence[Int[np.ndarray, "_"]],
    options: ProbeOptions,
) -> dict[str, Any]:
    """Probe each pair of the sides on its chosen training images and lay the test scores end to end."""
    features, labels, patients = data
    parts: list[dict[int, Any]] = []
    strengths: list[float] = []
    for (train, test), drawn in zip(sides.pairs, chosen, strict=True):
        rows = train[drawn]
        shape: dict[str, Any] = {"kind": options.kind, "classes": len(options.classes)}
        if options.task == "knn":
            ks = sorted({options.k, *options.ks})
            parts.append(
                knn_scores(
                    features[rows], labels[rows], features[test], ks=ks, temperature=options.temperature, **shape
                )
            )
        elif options.solver == "lbfgs":
            scores, strength = logistic_scores(
                features[rows], labels[rows], patients[rows], features[test], seed=options.seed, **shape
            )
            parts.append({options.k: scores})
            strengths += strength
        else:
            # torch is imported here only: k-NN and the L2 path stay usable where it is not wanted.
            from vesalius.evaluation.sgd_head import sgd_scores

            parts.append(
                {options.k: sgd_scores(features[rows], labels[rows], features[test], seed=options.seed, **shape)}
            )
    joined = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    return {
        "scores": joined[options.k],
        "by_k": joined if options.task == "knn" else {},
        "learned": tuple(len(drawn) for drawn in chosen),
        "chosen": tuple(strengths),
    }


def _chance(labels: Num[np.ndarray, "images ..."], sides: Sides, options: ProbeOptions) -> Prediction:
    """Score every test image with the class shares of the training images, the best guess without looking."""
    known = labels[sides.train]
    if options.kind == "multilabel":
        present = ~np.isnan(known)
        shares = np.where(present, known, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    else:
        shares = np.bincount(known.astype(int), minlength=len(options.classes)) / len(known)
    scores = np.tile(shares.astype(np.float64), (len(sides.test), 1))
    return Prediction(arm="chance", fraction=options.fractions[-1], seed=0, scores=scores)


def _check_features(
    features_by_arm: Mapping[str, Sequence[Num[np.ndarray, "_ _"]]], labels: Num[np.ndarray, "images ..."]
) -> None:
    for arm, inits in features_by_arm.items():
        if not inits:
            raise EvaluationError(f"arm '{arm}' has no features; give one array an initialisation")
        for features in inits:
            if len(features) != len(labels):
                raise EvaluationError(f"arm '{arm}': {len(features)} feature rows do not go with {len(labels)} labels")
            bad = int((~np.isfinite(features).all(axis=1)).sum())
            if bad:
                raise EvaluationError(
                    f"arm '{arm}': {bad} of {len(features)} images have features that are not finite; the backbone has "
                    "diverged or was loaded wrongly. Check the run's loss curve, or evaluate with precision='fp32'"
                )


def check_sides(labels: Num[np.ndarray, "images ..."], sides: Sides, name: str, classes: Sequence[str] = ()) -> None:
    """Refuse sides on which nothing can be learned or scored.

    Args:
        labels: `[images]` of one label by its classes' places, or `[images, labels]`, NaN where not known.
        sides: Who is learned from and who is scored.
        name: Of the label.
        classes: Their names, in the order of their places.

    Raises:
        LabelError: A training side or the test side is of one class; or a class that is scored is on no image of the
            training side.
    """
    for what, rows in [*(("training", train) for train, _ in sides.pairs), ("test", sides.test)]:
        values = labels[rows]
        columns = values.T if values.ndim == 2 else values[None]
        if not any(len(np.unique(column[~np.isnan(column.astype(np.float64))])) > 1 for column in columns):
            raise LabelError(
                f"{name}: the {len(rows)} images of a {what} side are of one class; use protocol='folds' with fewer "
                "folds, or choose a label that more patients have"
            )
    if labels.ndim > 1:  # each of several labels is scored by itself, and left out where it is of one class
        return
    for train, test in sides.pairs:
        missing = np.setdiff1d(labels[test], labels[train])
        named = [classes[int(one)] if int(one) < len(classes) else f"{one:g}" for one in missing[~np.isnan(missing)]]
        if named:
            raise LabelError(
                f"{name}: {', '.join(named)} is among the {len(test)} images that are scored and not among the "
                f"{len(train)} that are learned from; give images of more patients with it, leave it out of the store, "
                "or use fewer folds"
            )
