"""Schedules as the papers write them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.schedules import Progress, cosine, linear, warmup_cosine


def _authors_schedule(base: float, final: float, epochs: int, per_epoch: int, warmup_epochs: int) -> np.ndarray:
    """DINO's own figures: a linear warm-up, then half a cosine over the remaining steps."""
    warmup = np.linspace(0, base, warmup_epochs * per_epoch)
    steps = np.arange(epochs * per_epoch - warmup_epochs * per_epoch)
    return np.concatenate([warmup, final + 0.5 * (base - final) * (1 + np.cos(np.pi * steps / len(steps)))])


@pytest.mark.parametrize("warmup_epochs", [0, 1, 3])
def test_equals_the_authors(warmup_epochs: int) -> None:
    expected = _authors_schedule(5e-4, 1e-6, 7, 11, warmup_epochs)
    ours = [
        warmup_cosine(5e-4, 1e-6, Progress(step=step, total_steps=77, steps_per_epoch=11), warmup_epochs * 11)
        for step in range(77)
    ]
    assert ours == pytest.approx(expected.tolist(), rel=1e-12, abs=1e-18)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-1, 2))
def test_bounds_and_ends(start: float, end: float, fraction: float) -> None:
    for schedule in (cosine, linear):
        value = schedule(start, end, fraction)
        assert min(start, end) - 1e-9 <= value <= max(start, end) + 1e-9
        assert math.isclose(schedule(start, end, 0.0), start, abs_tol=1e-9)
        assert math.isclose(schedule(start, end, 1.0), end, abs_tol=1e-9)
        assert schedule(start, end, 7.0) == schedule(start, end, 1.0)


def test_progress() -> None:
    progress = Progress(step=30, total_steps=120, steps_per_epoch=20)
    assert (progress.fraction, progress.epoch) == (0.25, 1.5)
    assert Progress(step=0, total_steps=0, steps_per_epoch=0).fraction == 0.0
