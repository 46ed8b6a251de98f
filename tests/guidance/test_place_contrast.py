"""Contrast by place: what is compared with what, in which views, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import ConfigError
from vesalius.guidance.maps_in_view import cell_shares
from vesalius.guidance.place_contrast import PlaceContrast, PlaceContrastConfig
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.schedules import Progress

NOW = Progress(step=0, total_steps=10, steps_per_epoch=10)
SIDE, IMAGES, DIM = 8, 4, 6


@given(cells=st.integers(1, 6), x=st.floats(0, 1), y=st.floats(0, 1))
def test_shares_of_a_place_in_the_template_sum_to_one(cells: int, x: float, y: float) -> None:
    shares = cell_shares(torch.tensor([[[x, y]]]), cells)
    assert shares.shape == (1, 1, cells * cells)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    assert float(shares.min()) >= 0


def test_a_region_is_that_of_its_own_row_and_column() -> None:
    shares = cell_shares(torch.tensor([[[0.875, 0.125]]]), 4)
    assert int(shares.argmax()) == 3


def knowledge(guided: tuple[bool, ...] = (True,) * IMAGES) -> Knowledge:
    axis = (torch.arange(16) + 0.5) / 16
    places = torch.stack([axis[None].expand(16, 16), axis[:, None].expand(16, 16)]).expand(IMAGES, 2, 16, 16)
    known = torch.full((IMAGES, 1, 16, 16), 255, dtype=torch.uint8)
    return Knowledge(known[:, :0], places.to(torch.float16), known, torch.tensor(guided))


def whole(patches: torch.Tensor) -> tuple[Features, View]:
    view = View(pixels=torch.zeros(IMAGES, 1, 16, 16), affine=torch.eye(2, 3).expand(IMAGES, 2, 3), image_size=(16, 16))
    return Features(pooled=patches.mean(1), patches=patches, grid=(SIDE, SIDE)), view


def mirrored(patches: torch.Tensor) -> tuple[Features, View]:
    """The same images seen in a mirror: their patches change columns."""
    turned = patches.unflatten(1, (SIDE, SIDE)).flip(2).flatten(1, 2)
    affine = torch.tensor([[-1.0, 0.0, 16.0], [0.0, 1.0, 0.0]]).expand(IMAGES, 2, 3)
    view = View(pixels=torch.zeros(IMAGES, 1, 16, 16), affine=affine, image_size=(16, 16))
    return Features(pooled=turned.mean(1), patches=turned, grid=(SIDE, SIDE)), view


def loss_of(guidance: PlaceContrast, seen: list[tuple[Features, View]], known: Knowledge) -> torch.Tensor:
    features, views = zip(*seen, strict=True)
    return guidance(list(features), list(views), known, NOW).loss


def build(**options: float) -> PlaceContrast:
    torch.manual_seed(0)
    return PlaceContrast(PlaceContrastConfig(**options), PartNames(()), dim=DIM)


def test_views_of_one_image_are_nearer_than_views_of_two() -> None:
    guidance, patches = build(), torch.randn(IMAGES, SIDE * SIDE, DIM)
    same = loss_of(guidance, [whole(patches), whole(patches)], knowledge())
    others = loss_of(guidance, [whole(patches), whole(patches.roll(1, 0))], knowledge())
    assert same < others - 1


def test_a_mirrored_view_is_compared_at_the_same_places() -> None:
    guidance, patches = build(), torch.randn(IMAGES, SIDE * SIDE, DIM)
    upright = loss_of(guidance, [whole(patches), whole(patches)], knowledge())
    turned = loss_of(guidance, [whole(patches), mirrored(patches)], knowledge())
    torch.testing.assert_close(turned, upright, atol=1e-3, rtol=1e-3)


def test_another_place_is_never_a_negative() -> None:
    """Were the regions of one image its own negatives, images that are alike everywhere could not reach ln(2 B - 1)."""
    guidance = build(temperature=1.0)
    patches = torch.randn(1, SIDE * SIDE, DIM).expand(IMAGES, -1, -1)
    loss = loss_of(guidance, [whole(patches), whole(patches)], knowledge())
    assert loss.item() == pytest.approx(torch.log(torch.tensor(2.0 * IMAGES - 1)).item(), abs=1e-5)


def test_an_unguided_image_is_left_out() -> None:
    guidance, patches = build(), torch.randn(IMAGES, SIDE * SIDE, DIM, requires_grad=True)
    loss_of(guidance, [whole(patches), whole(patches)], knowledge((True, True, False, True))).backward()
    assert patches.grad[2].abs().sum() == 0
    assert patches.grad[0].abs().sum() > 0


def test_one_view_is_refused() -> None:
    with pytest.raises(ConfigError, match="two views of an image, the plan has one"):
        loss_of(build(), [whole(torch.randn(IMAGES, SIDE * SIDE, DIM))], knowledge())
