"""Means over images and their intervals, by hand, and where few images have a figure."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.evaluation.image_scores import resampled_means, score_images
from vesalius.evaluation.intervals import PatientResamples, draw_resamples


def test_means_by_hand() -> None:
    """Two patients, three images: the first patient drawn twice, each once, the second twice."""
    resamples = PatientResamples(np.array([[2, 0], [1, 1], [0, 2]]), np.array([0, 0, 1]))
    found = resampled_means(np.array([0.2, 0.4, 0.9]), resamples)
    np.testing.assert_allclose(found, [0.3, 0.5, 0.9])
    found = resampled_means(np.array([np.nan, 0.4, 0.9]), resamples)
    np.testing.assert_allclose(found, [0.4, 0.65, 0.9])


def test_a_resample_without_any_figure_has_none() -> None:
    resamples = PatientResamples(np.array([[2, 0], [0, 2]]), np.array([0, 1]))
    np.testing.assert_array_equal(resampled_means(np.array([0.7, np.nan]), resamples), [0.7, np.nan])


def test_a_part_that_few_images_show_has_an_interval_of_its_own_figures() -> None:
    values = np.full(50, np.nan)
    values[[3, 20, 41]] = 0.80, 0.82, 0.85
    (score,) = score_images({"ours": {"iou": values}}, draw_resamples(np.arange(50).astype(str))).scores
    assert score.value == pytest.approx(0.8233, abs=1e-3)
    assert 0.80 <= score.low <= score.value <= score.high <= 0.85
