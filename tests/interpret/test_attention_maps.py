from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import EvaluationError
from vesalius.interpret.attention_maps import attention_maps, enlarge_nearest, mass_mask


def test_maps_are_row_major_and_sum_to_one() -> None:
    attention = torch.arange(1.0, 7.0).reshape(1, 1, 6) * 0.01  # [CLS] -> [CLS] took the rest
    maps = attention_maps(attention, (2, 3))
    assert maps.shape == (1, 1, 2, 3)
    torch.testing.assert_close(maps[0, 0] * 21, torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


def test_grid_that_does_not_fit_says_both_numbers() -> None:
    with pytest.raises(EvaluationError, match=r"197 patches .* 14 x 14 = 196"):
        attention_maps(torch.ones(1, 3, 197), (14, 14))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_attention_that_is_none_is_refused(bad: float) -> None:
    attention = torch.full((1, 1, 4), 0.25)
    attention[0, 0, 2] = bad
    with pytest.raises(EvaluationError, match="not finite"):
        attention_maps(attention, (2, 2))
    with pytest.raises(EvaluationError, match="not finite"):
        mass_mask(attention)


def test_a_head_that_looks_at_no_patch_tells_of_none() -> None:
    """[CLS] may look at itself alone, to the last digit: that is a map, the same everywhere."""
    rows = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [0.1, 0.0, 0.3, 0.0]]])
    maps = attention_maps(rows, (2, 2))
    torch.testing.assert_close(maps.flatten(2)[0], torch.tensor([[0.25] * 4, [0.25, 0.0, 0.75, 0.0]]))
    assert mass_mask(rows)[0].tolist() == [[True, True, True, False], [False, False, True, False]]


def test_enlarging_repeats_values_exactly_and_by_pixel_centres() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert torch.equal(
        enlarge_nearest(maps, (4, 6))[0, 0], torch.tensor([[1.0] * 3 + [2.0] * 3] * 2 + [[3.0] * 3 + [4.0] * 3] * 2)
    )
    # 3 pixels over 2 patches: the middle pixel's centre lies on the border and belongs to the second patch.
    assert enlarge_nearest(maps, (1, 3))[0, 0].tolist() == [[3.0, 4.0, 4.0]]
    assert enlarge_nearest(torch.rand(1, 2, 14, 14), (224, 224)).shape == (1, 2, 224, 224)


def test_mass_reached_exactly_is_enough() -> None:
    # .4 + .2 = .6 to the last digit: a third patch would make the set larger than needed.
    assert mass_mask(torch.tensor([0.2, 0.4, 0.2, 0.2]), mass=0.6).tolist() == [True, True, False, False]
    assert mass_mask(torch.tensor([0.2, 0.4, 0.2, 0.2]), mass=0.61).tolist() == [True, True, True, False]


@pytest.mark.parametrize(("tokens", "expected"), [(10, 6), (5, 3), (49, 30), (196, 118), (3, 2)])
def test_uniform_attention_keeps_the_rounded_up_share(tokens: int, expected: int) -> None:
    mask = mass_mask(torch.full((2, 3, tokens), 1 / tokens), mass=0.6)
    assert mask.sum(-1).unique().tolist() == [expected]
    assert mask[0, 0, :expected].all()  # ties: the earlier patch first


def test_one_patch_with_everything_and_the_whole_mass() -> None:
    attention = torch.tensor([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    assert mass_mask(attention, mass=0.6).tolist() == [[False, True, False], [False, True, True]]
    assert mass_mask(attention, mass=1.0).tolist() == [[False, True, False], [True, True, True]]


def test_scale_does_not_matter() -> None:
    attention = torch.rand(4, 3, 49, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mass_mask(attention), mass_mask(attention * 0.013))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=9).filter(any), st.sampled_from([0.1, 0.35, 0.6, 0.9, 1.0]))
def test_no_smaller_set_holds_the_mass(values: list[int], mass: float) -> None:
    attention = torch.tensor([float(value) for value in values])
    mask = mass_mask(attention, mass=mass)
    needed = mass * sum(values) - 1e-4
    assert float(attention[mask].sum()) >= needed
    smaller = combinations(values, int(mask.sum()) - 1)
    assert all(sum(chosen) < needed for chosen in smaller)


@pytest.mark.parametrize("mass", [0.0, -0.1, 1.1])
def test_mass_out_of_range(mass: float) -> None:
    with pytest.raises(EvaluationError, match=r"\(0, 1\]"):
        mass_mask(torch.ones(4), mass=mass)
