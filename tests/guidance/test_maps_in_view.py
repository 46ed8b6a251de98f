"""Knowledge maps follow a view: crops, turns, and mirrored views with paired parts."""

from __future__ import annotations

import torch

from vesalius.guidance.maps_in_view import coordinates_in_view, mirrored_views, parts_in_view
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View

NAMES = PartNames(("left_lung", "right_lung", "heart"), ((0, 1),))
SIZE = 32


def knowledge(batch: int) -> Knowledge:
    """Return maps of 16 px: right lung in the image's left half, left lung in its right half, heart below."""
    parts = torch.zeros(batch, 3, 16, 16, dtype=torch.uint8)
    parts[:, 1, :, :8], parts[:, 0, :, 8:], parts[:, 2, 8:] = 255, 255, 255
    axis = (torch.arange(16) + 0.5) / 16
    places = torch.stack([axis[None].expand(16, 16), axis[:, None].expand(16, 16)]).expand(batch, 2, 16, 16)
    known = torch.full((batch, 1, 16, 16), 255, dtype=torch.uint8)
    return Knowledge(parts, places.to(torch.float16), known, torch.ones(batch, dtype=torch.bool))


def view(*affines: list[list[float]]) -> View:
    pixels = torch.zeros(len(affines), 1, SIZE, SIZE)
    return View(pixels=pixels, affine=torch.tensor(affines), image_size=(SIZE, SIZE))


WHOLE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
MIRRORED = [[-1.0, 0.0, float(SIZE)], [0.0, 1.0, 0.0]]
RIGHT_HALF = [[0.5, 0.0, SIZE / 2], [0.0, 0.5, 0.0]]
TURNED = [[0.0, -1.0, float(SIZE)], [1.0, 0.0, 0.0]]


def test_a_crop_sees_its_part_of_the_map() -> None:
    parts = parts_in_view(knowledge(2), view(WHOLE, RIGHT_HALF), NAMES, (4, 4)).view(2, 3, 4, 4)
    torch.testing.assert_close(parts[0, 0], torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 4), atol=0.15, rtol=0)
    torch.testing.assert_close(parts[1, 0], torch.ones(4, 4), atol=0.15, rtol=0)
    torch.testing.assert_close(parts[1, 1], torch.zeros(4, 4), atol=0.15, rtol=0)


def test_a_mirrored_view_swaps_pairs_and_mirrors_places() -> None:
    two = view(WHOLE, MIRRORED)
    assert mirrored_views(two).tolist() == [False, True]
    parts = parts_in_view(knowledge(2), two, NAMES, (4, 4))
    torch.testing.assert_close(parts[0], parts[1])
    places, known = coordinates_in_view(knowledge(2), two, NAMES, (4, 4))
    torch.testing.assert_close(places[0], places[1], atol=1e-3, rtol=0)
    assert (known == 1).all()


def test_without_pairs_a_mirrored_view_keeps_names_and_places() -> None:
    plain = PartNames(NAMES.names)
    parts = parts_in_view(knowledge(2), view(WHOLE, MIRRORED), plain, (4, 4)).view(2, 3, 4, 4)
    torch.testing.assert_close(parts[0], parts[1].flip(-1))
    places, _ = coordinates_in_view(knowledge(2), view(WHOLE, MIRRORED), plain, (4, 4))
    torch.testing.assert_close(places[0].view(4, 4, 2), places[1].view(4, 4, 2).flip(1), atol=1e-3, rtol=0)


def test_a_turned_view_is_no_mirrored_one() -> None:
    turned = view(TURNED)
    assert not mirrored_views(turned).any()
    places, _ = coordinates_in_view(knowledge(1), turned, NAMES, (4, 4))
    # The view's top-left patch shows the image's top-right corner.
    torch.testing.assert_close(places[0, 0], torch.tensor([0.875, 0.125]), atol=0.02, rtol=0)


def test_patches_beyond_the_image_or_in_a_fold_are_not_known() -> None:
    beyond = [[1.0, 0.0, SIZE / 2], [0.0, 1.0, 0.0]]
    _, known = coordinates_in_view(knowledge(1), view(beyond), NAMES, (4, 4))
    assert known.view(4, 4)[:, 2:].max() == 0
    assert known.view(4, 4)[:, 0].min() > 0.99
    folded = knowledge(1)
    folded.known[:, :, :4, :4] = 0
    _, known = coordinates_in_view(folded, view(WHOLE), NAMES, (4, 4))
    assert known.view(4, 4)[0, 0] == 0
    assert known.view(4, 4)[3, 3] == 1


def test_a_patch_that_only_leans_over_the_edge_is_known() -> None:
    leaning = [[1.0, 0.0, SIZE / 16], [0.0, 1.0, 0.0]]  # half a map pixel beyond the right edge
    places, known = coordinates_in_view(knowledge(1), view(leaning), NAMES, (4, 4))
    assert (known == 1).all()
    assert float(places.view(4, 4, 2)[0, 3, 0]) > 0.87
