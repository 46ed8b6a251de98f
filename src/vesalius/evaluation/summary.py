"""From predictions to scores with intervals, comparisons and a verdict."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from vesalius.evaluation.amounts import ALL
from vesalius.evaluation.calibration import calibration_of
from vesalius.evaluation.delong import compare_aucs
from vesalius.evaluation.image_scores import score_draws
from vesalius.evaluation.intervals import PatientResamples, bootstrap_metrics, draw_resamples
from vesalius.evaluation.metrics import binary_problems, compute_metrics, rank_in_folds
from vesalius.evaluation.probes import Prediction, ProbeOptions
from vesalius.evaluation.protocol import Sides
from vesalius.evaluation.verdict import compare, verdict
from vesalius.records.result import Result, Score

__all__ = ["summarise"]

_OURS = "pretrained"
_BASELINES = ("random_init", "pixels", "chance")

_Draws = dict[tuple[str, float], list[dict[str, Any]]]


def summarise(
    predictions: Sequence[Prediction],
    labels: Num[np.ndarray, "images ..."],
    patients: Shaped[np.ndarray, " images"],
    *,
    sides: Sides,
    options: ProbeOptions,
) -> Result:
    """Turn predictions into scores with intervals and a verdict."""
    truth = labels[sides.test]
    resamples = draw_resamples(patients[sides.test], resamples=options.bootstrap, seed=options.seed)
    scores: list[Score] = []
    draws: _Draws = {}
    notes: list[str] = []
    for arm, fraction in dict.fromkeys((one.arm, one.fraction) for one in predictions):
        group = [one for one in predictions if (one.arm, one.fraction) == (arm, fraction)]
        group_scores, group_draws, reasons = _score_group(group, truth, resamples, sides, options)
        scores += group_scores
        draws[arm, fraction] = group_draws
        notes += [reason for reason in reasons if reason not in notes]
    tested = _delong(predictions, truth, patients[sides.test], sides, options)
    words, comparisons = _stand(scores, draws, tested, options, notes)
    return Result(
        task=options.task,
        label=options.label,
        kind=options.kind,
        scores=tuple(scores),
        train_images=len(sides.train),
        test_images=len(sides.test),
        train_patients=len(np.unique(patients[sides.train])),
        test_patients=len(np.unique(patients[sides.test])),
        protocol=sides.protocol,
        settings=_settings(predictions, truth, sides, options) | {"notes": notes, "comparisons": comparisons},
        verdict=words,
    )


def _score_group(
    group: Sequence[Prediction],
    truth: Num[np.ndarray, "test ..."],
    resamples: PatientResamples,
    sides: Sides,
    options: ProbeOptions,
) -> tuple[list[Score], list[dict[str, Any]], list[str]]:
    """Score the seeds of one arm and fraction; the interval pools their draws, so it holds their spread too."""
    how: dict[str, Any] = {"kind": options.kind, "metrics": options.metrics, "folds": sides.test_folds}
    points = [compute_metrics(truth, one.scores, names=options.classes, **how) for one in group]
    draws = [bootstrap_metrics(truth, one.scores, resamples, **how) for one in group]
    learned = float(np.mean([np.mean(one.learned) if one.learned else 0 for one in group]))
    scores = []
    for metric in options.metrics:
        values = [values[metric] for values, _ in points]
        score = score_draws(group[0].arm, metric, values, [draw[metric] for draw in draws])
        scores.append(replace(score, fraction=group[0].fraction, images=learned))
    return scores, draws, points[0][1]


def _delong(
    predictions: Sequence[Prediction],
    truth: Num[np.ndarray, "test ..."],
    patients: Shaped[np.ndarray, " test"],
    sides: Sides,
    options: ProbeOptions,
) -> dict[tuple[str, float], float]:
    """Return DeLong's p of the pretrained arm against each other arm and share, on the first draw of labels."""
    if options.kind != "binary" or "roc_auc" not in options.metrics:
        return {}
    ranked = {
        (one.arm, one.fraction): rank_in_folds(one.scores, sides.test_folds)[:, 1]
        for one in predictions
        if one.seed == 0 and one.arm != "chance"
    }
    [(_, _, positive, _)] = binary_problems(truth, np.zeros((len(truth), 2)), "binary")
    if positive.all() or not positive.any():
        return {}
    tested = {
        (arm, fraction): compare_aucs(positive, ranked[_OURS, fraction], theirs, patients).p
        for (arm, fraction), theirs in ranked.items()
        if arm != _OURS and (_OURS, fraction) in ranked
    }
    return {key: p for key, p in tested.items() if not np.isnan(p)}


def _stand(
    scores: Sequence[Score],
    draws: _Draws,
    tested: Mapping[tuple[str, float], float],
    options: ProbeOptions,
    notes: Sequence[str],
) -> tuple[str, list[dict[str, Any]]]:
    """Compare the pretrained arm with each baseline; the verdict speaks of the first metric at the largest fraction."""
    first, largest = options.metrics[0], options.fractions[-1]
    by_key = {(score.arm, score.metric, score.fraction): score for score in scores}
    comparisons, spoken = [], []
    for fraction, metric, arm in itertools.product(options.fractions, options.metrics, _BASELINES):
        ours, theirs = by_key.get((_OURS, metric, fraction)), by_key.get((arm, metric, fraction))
        if ours is None or theirs is None:
            continue
        pair = ([draw[metric] for draw in draws[one, fraction]] for one in (_OURS, arm))
        it = compare(ours, theirs, *pair)
        if metric == "roc_auc":
            it = replace(it, delong_p=tested.get((arm, fraction)))
        comparisons.append({"fraction": fraction} | asdict(it))
        if (fraction, metric) == (largest, first) and arm != "chance":
            spoken.append((theirs, it))
    ours = by_key.get((_OURS, first, largest))
    words = "" if ours is None else verdict(ours, spoken, reasons=notes)
    return words, comparisons


def _settings(
    predictions: Sequence[Prediction], truth: Num[np.ndarray, "test ..."], sides: Sides, options: ProbeOptions
) -> dict[str, Any]:
    """Collect everything that shaped the figures."""
    settings: dict[str, Any] = {
        "classes": list(options.classes),
        "metrics": list(options.metrics),
        "fractions": list(options.fractions),
        "seeds": options.seeds,
        "seed": options.seed,
        "bootstrap": options.bootstrap,
        "interval": "95 % percentile, patients resampled, seeds pooled",
        "calibration": {
            one.arm: calibration_of(truth, one.scores, kind=options.kind).as_dict()
            for one in predictions
            if one.seed == 0 and one.fraction == options.fractions[-1] and one.arm != "chance"
        },
        "pairs": len(sides.pairs),
        "sides": sides.reason,
        "train_images_by_fraction": {
            str(one.fraction): round(float(np.mean(one.learned)), 1)
            for one in predictions
            if one.learned and one.arm == _OURS  # the probe of pixels beside fine-tuning holds no images out
        },
    }
    if options.task == "finetune":
        return settings
    if options.task == "linear":
        chosen = {one.arm: list(one.chosen) for one in predictions if one.fraction == ALL and one.chosen}
        return settings | {"solver": options.solver} | ({"chosen_c": chosen} if chosen else {})
    how: dict[str, Any] = {"kind": options.kind, "metrics": options.metrics, "folds": sides.test_folds}
    by_k: dict[str, dict[str, dict[str, float]]] = {}
    for one in predictions:
        if one.fraction == options.fractions[-1] and one.seed == 0 and one.by_k:
            by_k[one.arm] = {str(k): compute_metrics(truth, scores, **how)[0] for k, scores in one.by_k.items()}
    return settings | {"k": options.k, "temperature": options.temperature, "by_k": by_k}
