"""What a deformation is trusted for."""

from __future__ import annotations

import torch

from vesalius.guidance.carried_parts import BEYOND, carry
from vesalius.guidance.templates import paired_by_name
from vesalius.registration.deformation import Deformation, identity

SIZE = 64


def _shifted(share: float) -> Deformation:
    places = identity(SIZE, SIZE).expand(1, -1, -1, -1).clone()
    places[:, 0] += share
    return Deformation(coordinates=places, similarity=torch.ones(1))


def test_places_a_little_outside_the_template_are_trusted_and_those_far_outside_are_not() -> None:
    parts = torch.zeros(1, 1, SIZE, SIZE)
    parts[:, :, 16:48, 16:48] = 1
    near = carry(parts, _shifted(BEYOND / 2), map_size=16)
    assert (near.known == 1).all()
    assert float(near.coordinates[:, 0].max()) > 1
    far = carry(parts, _shifted(0.5), map_size=16)
    known = far.known[0, 0].bool()
    outside = far.coordinates[0, 0] > 1 + BEYOND + 1 / 16
    assert outside.any()
    assert not known[outside].any()
    assert known[far.coordinates[0, 0] < 1].all()


def test_folds_are_not_trusted() -> None:
    folded = _shifted(0.0)
    folded.coordinates[:, 0, :, 20:28] = folded.coordinates[:, 0, :, 20:28].flip(-1)
    carried = carry(torch.ones(1, 1, SIZE, SIZE), folded, map_size=16)
    assert carried.quality["folding"] > 0
    assert (carried.known[0, 0, :, 5:7] == 0).all()
    assert (carried.known[0, 0, :, 10:] == 1).all()


def test_a_mirroring_swaps_what_is_told_by_its_side_and_no_chambers_of_the_heart() -> None:
    names = paired_by_name(("left_lung", "left_ventricle", "right_lung", "right_ventricle", "heart"))
    assert names.pairs == ((0, 2),)
    assert names.mirrored == [2, 1, 0, 3, 4]
