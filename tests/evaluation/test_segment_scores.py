"""The pooled IoU is scikit-learn's on all pixels, patients are resampled, and tables hold what it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vesalius.data.store import open_store
from vesalius.evaluation.image_scores import resampled_ratios
from vesalius.evaluation.intervals import draw_resamples
from vesalius.evaluation.mask_parts import mask_parts
from vesalius.evaluation.segment_counts import SegmentCounts
from vesalius.evaluation.segment_options import SegmentOptions
from vesalius.evaluation.segment_scores import POOLED, SegmentScoring, pooled_pixels


@pytest.fixture(scope="module")
def job(phantom_store: Path) -> SegmentCounts:
    store = open_store(phantom_store)
    there, rows = mask_parts(store, ())
    options = SegmentOptions(protocol="folds", folds=2, bootstrap=200)
    return SegmentCounts(store, rows, there, options=options, batch_size=8)


def guesses(job: SegmentCounts, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks with noise upon them: what is guessed of every image, and what was counted of it."""
    rows, parts = job.rows, job.parts
    truth = torch.from_numpy(job.store.masks[rows].astype(np.int64))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(rows), len(parts) + 1, *truth.shape[1:], generator=generator)
    for number, value in enumerate(parts.values(), 1):
        noise[:, number] += 1.5 * (truth == value)
    served = list(noise.split(8))
    counts = job.counted(lambda images: served.pop(0), np.arange(len(rows)), edges=False)
    return noise.argmax(dim=1).numpy(), counts


def test_it_is_scikit_learns_on_all_pixels(job: SegmentCounts, tmp_path: Path) -> None:
    from sklearn.metrics import jaccard_score

    (guess, counts), (other, further) = guesses(job, 0), guesses(job, 1)
    arms: dict[str, Any] = {"pretrained": {1.0: np.stack([counts, further])}, "random_init": {1.0: counts[None]}}
    result = SegmentScoring(tmp_path, job, "test_vit", [], {}).result("mean", arms, list(range(len(job.parts))))
    found = {one.arm: one for one in result.scores if one.metric == POOLED}
    truth = job.store.masks[job.rows]
    values = np.array([0, *job.parts.values()])
    how: dict[str, Any] = {"labels": values[1:], "average": "macro"}
    expected = [jaccard_score(truth.ravel(), values[one].ravel(), **how) for one in (guess, other)]
    assert found["random_init"].value == pytest.approx(expected[0], rel=1e-9)
    both = np.mean(expected)
    assert found["pretrained"].value == pytest.approx(both, rel=1e-9)  # the mean over draws of labels
    assert found["pretrained"].spread == pytest.approx(np.std(expected, ddof=1), rel=1e-9)
    assert found["pretrained"].low < both < found["pretrained"].high
    [file] = tmp_path.glob("evaluations/segment-mean-*/predictions.parquet")
    table = pd.read_parquet(file)
    for seed, own in table[table["arm"] == "pretrained"].groupby("seed"):
        common, union = pooled_pixels(own)
        assert common.shape == union.shape == (len(job.names), len(job.parts))
        assert float(resampled_ratios(common, union, None)[0]) == pytest.approx(expected[int(seed)], rel=1e-9)


def test_intervals_hold_the_spread_over_draws_of_labels(job: SegmentCounts, tmp_path: Path) -> None:
    """Two draws that differ much: the interval reaches from the one to the other, and the baseline's is its own."""
    counts = guesses(job, 0)[1]
    poor = counts.copy()
    poor[..., 0] *= 0.5  # half of what was common
    arms: dict[str, Any] = {"pretrained": {1.0: np.stack([counts, poor])}, "random_init": {1.0: poor[None]}}
    result = SegmentScoring(tmp_path, job, "test_vit", [], {}).result("mean", arms, list(range(len(job.parts))))
    for metric in ("dice", "iou", POOLED):
        ours, theirs = ({one.arm: one for one in result.scores if one.metric == metric}[arm] for arm in arms)
        good = 2 * ours.value - theirs.value
        assert ours.low < theirs.value < good < ours.high
        assert theirs.high < ours.value
    assert {it["word"] for it in result.settings["comparisons"]} == {"within"}


def test_patients_are_drawn_with_all_their_pixels() -> None:
    common = np.array([[3.0, 0.0], [1.0, 0.0], [5.0, 2.0]])
    union = np.array([[4.0, 0.0], [2.0, 0.0], [9.0, 8.0]])
    resamples = draw_resamples(np.array(["a", "b", "c"]), resamples=50, seed=0)
    drawn = resampled_ratios(common, union, resamples)
    for weights, value in zip(resamples.counts, drawn, strict=True):
        rows = np.repeat(np.arange(3), weights)
        ratios = [common[rows, 0].sum() / union[rows, 0].sum()]
        if union[rows, 1].sum():  # the second part is shown by the third patient alone
            ratios.append(common[rows, 1].sum() / union[rows, 1].sum())
        assert value == pytest.approx(np.mean(ratios))
    assert np.isnan(resampled_ratios(np.zeros((2, 1)), np.zeros((2, 1)), None)).all()
