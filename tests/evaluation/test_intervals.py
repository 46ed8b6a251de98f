from __future__ import annotations

import time

import numpy as np
import pytest

from vesalius.errors import EvaluationError
from vesalius.evaluation.intervals import bootstrap_metrics, draw_resamples, paired_interval, percentile_interval


def _clustered(generator: np.random.Generator, *, patients: int, images: int):
    """Images of one patient share label and most of the score's error, as films of one chest do."""
    label = generator.integers(2, size=patients)
    shared = generator.normal(size=patients)
    patient = np.repeat(np.arange(patients), images)
    score = 0.8 * label[patient] + shared[patient] + 0.3 * generator.normal(size=patients * images)
    return label[patient], np.stack([-score, score], axis=1), patient


def _interval(labels, scores, groups, *, seed: int, resamples: int = 300):
    draws = draw_resamples(groups, resamples=resamples, seed=seed)
    values = bootstrap_metrics(labels, scores, draws, kind="binary", metrics=("roc_auc",))["roc_auc"]
    return percentile_interval(values)


def test_covers_nominally_by_patient_and_far_too_rarely_by_image() -> None:
    generator = np.random.default_rng(0)
    labels, scores, _ = _clustered(generator, patients=60_000, images=1)
    order = np.argsort(scores[:, 1])
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    yes = labels.sum()
    truth = (ranks[labels == 1].sum() - yes * (yes + 1) / 2) / (yes * (len(labels) - yes))
    hits = {"patient": 0, "image": 0}
    widths = {"patient": 0.0, "image": 0.0}
    rounds = 250
    for one in range(rounds):
        labels, scores, patient = _clustered(generator, patients=80, images=6)
        for unit, groups in (("patient", patient), ("image", np.arange(len(patient)))):
            low, high = _interval(labels, scores, groups, seed=one)
            hits[unit] += low <= truth <= high
            widths[unit] += (high - low) / rounds
    # 250 rounds put two standard errors at 2.8 points; the percentile bootstrap itself runs a little narrow.
    assert 0.91 <= hits["patient"] / rounds <= 0.985
    assert hits["image"] / rounds < 0.75
    assert widths["patient"] > 1.8 * widths["image"]


def test_same_seed_same_interval_other_seed_another() -> None:
    labels, scores, patient = _clustered(np.random.default_rng(1), patients=40, images=2)
    assert _interval(labels, scores, patient, seed=5) == _interval(labels, scores, patient, seed=5)
    assert _interval(labels, scores, patient, seed=5) != _interval(labels, scores, patient, seed=6)


def test_every_resample_draws_as_many_patients_and_whole_ones() -> None:
    patient = np.array(["b", "a", "b", "c", "a", "b"])
    draws = draw_resamples(patient, resamples=50, seed=0)
    assert (draws.counts.sum(axis=1) == 3).all()
    weights = np.concatenate(list(draws.weights()))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()


def test_a_thousand_resamples_of_a_thousand_images_take_less_than_a_second() -> None:
    labels, scores, patient = _clustered(np.random.default_rng(2), patients=500, images=2)
    start = time.process_time()
    _interval(labels, scores, patient, seed=0, resamples=1000)
    assert time.process_time() - start < 1.0


def test_pairing_is_narrower_than_the_two_intervals_suggest() -> None:
    generator = np.random.default_rng(3)
    labels, ours, patient = _clustered(generator, patients=200, images=2)
    theirs = ours - 0.25 * np.stack([-labels, labels], axis=1) + 0.05 * generator.normal(size=ours.shape)
    draws = draw_resamples(patient, resamples=400, seed=0)
    values = [
        bootstrap_metrics(labels, one, draws, kind="binary", metrics=("roc_auc",))["roc_auc"] for one in (ours, theirs)
    ]
    low, _ = paired_interval([values[0]], [values[1]])
    assert low > 0
    assert percentile_interval(values[0])[0] < percentile_interval(values[1])[1]
    assert paired_interval([values[0]], [values[0]]) == (0.0, 0.0)


def test_undefined_resamples_are_left_out_and_nothing_defined_is_nan() -> None:
    assert percentile_interval(np.array([np.nan, 0.5, 0.5, np.nan])) == (0.5, 0.5)
    assert np.isnan(percentile_interval(np.array([np.nan, np.nan]))).all()


def test_no_resample_is_refused() -> None:
    with pytest.raises(EvaluationError, match="at least one resample"):
        draw_resamples(np.arange(4), resamples=0)
