"""Cubic B-splines: partition of unity, lines kept, refinement exact, roughness blind to affines."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from vesalius.registration.bspline import control_points, evaluate, refine, roughness

SPACINGS = st.sampled_from([1 / 3, 1 / 4, 1 / 8, 0.3, 1 / 16])


@given(spacing=SPACINGS, rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_constant_control_points_give_a_constant(spacing: float, rows: int, columns: int) -> None:
    points = control_points(spacing)
    field = evaluate(torch.full((2, 2, points, points), 0.7), spacing, (rows, columns))
    assert field.shape == (2, 2, rows, columns)
    torch.testing.assert_close(field, torch.full_like(field, 0.7))


@given(spacing=SPACINGS)
def test_a_line_stays_a_line(spacing: float) -> None:
    points = control_points(spacing)
    places = (torch.arange(points) - 1) * spacing
    control = (2 * places[None, :] - 3 * places[:, None])[None, None]
    centres = (torch.arange(20) + 0.5) / 20
    expected = (2 * centres[None, :] - 3 * centres[:, None])[None, None]
    torch.testing.assert_close(evaluate(control, spacing, (20, 20)), expected, atol=1e-5, rtol=1e-5)
    assert float(roughness(control, spacing)) == pytest.approx(0, abs=1e-8)


def test_values_are_scipys() -> None:
    spacing, points = 0.25, control_points(0.25)
    control = torch.randn(1, 1, points, 1).expand(-1, -1, -1, points).contiguous()
    knots = [(place - 3) * spacing for place in range(points + 4)]
    theirs = BSpline(knots, control[0, 0, :, 0].double().numpy(), 3)((torch.arange(30) + 0.5).numpy() / 30)
    ours = evaluate(control, spacing, (30, 1))[0, 0, :, 0]
    torch.testing.assert_close(ours.double(), torch.from_numpy(theirs), atol=1e-5, rtol=1e-5)


@given(spacing=SPACINGS, seed=st.integers(0, 100))
def test_refinement_changes_nothing(spacing: float, seed: int) -> None:
    points = control_points(spacing)
    control = torch.randn(1, 2, points, points, generator=torch.Generator().manual_seed(seed))
    finer = refine(control, spacing)
    assert finer.shape[-1] == control_points(spacing / 2)
    torch.testing.assert_close(
        evaluate(finer, spacing / 2, (33, 21)), evaluate(control, spacing, (33, 21)), atol=1e-4, rtol=1e-4
    )


def test_roughness_grows_with_wildness() -> None:
    control = torch.randn(3, 2, 9, 9)
    one, twice = roughness(control, 1 / 6), roughness(2 * control, 1 / 6)
    torch.testing.assert_close(twice, 4 * one)
    assert (one > 0).all()
