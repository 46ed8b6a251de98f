"""The batched registration finds known deformations, treats each image alone, and refuses what is no image."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from vesalius.errors import RegistrationError
from vesalius.registration.affine import find_affines
from vesalius.registration.batched import BatchedOptions, BatchedRegistration, Level
from vesalius.registration.bspline import control_points, evaluate
from vesalius.registration.deformation import area_factor, warp

SIZE = 64


def blobs(seed: int, count: int = 14) -> torch.Tensor:
    """Return a smooth picture with a mask-like structure, `[1, 1, SIZE, SIZE]` in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    picture = torch.zeros(SIZE, SIZE)
    for _ in range(count):
        x, y, width, weight = torch.rand(4, generator=generator).tolist()
        picture += (weight - 0.3) * torch.exp(
            -((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (0.02 + 0.02 * width)
        )
    return ((picture - picture.min()) / (picture.max() - picture.min()))[None, None]


def identity() -> torch.Tensor:
    y, x = torch.meshgrid((torch.arange(SIZE) + 0.5) / SIZE, (torch.arange(SIZE) + 0.5) / SIZE, indexing="ij")
    return torch.stack([x, y])[None]


def bent(template: torch.Tensor, seed: int, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Bend the template by a known spline; return the image and its true coordinates."""
    generator = torch.Generator().manual_seed(seed)
    points = control_points(1 / 4)
    field = strength * torch.randn(1, 2, points, points, generator=generator)
    coordinates = identity() + evaluate(field, 1 / 4, (SIZE, SIZE))
    return warp(template, coordinates), coordinates


def test_finds_a_known_deformation() -> None:
    template = blobs(0, count=80)
    images, truth = zip(*(bent(template, seed, 0.03) for seed in (1, 2, 3)), strict=True)
    truths = torch.cat(truth)
    found = BatchedRegistration().register(torch.cat(images), template)
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    before = (identity() - truths)[inner].norm(dim=1).mean((1, 2))
    after = (found.coordinates - truths)[inner].norm(dim=1).mean((1, 2))
    assert (after < 0.4 * before).all(), (before, after)
    assert (area_factor(found.coordinates) > 0).float().mean() > 0.99
    assert (found.similarity > 0.8).all()


def test_images_of_a_batch_know_nothing_of_each_other() -> None:
    template = blobs(0)
    one, two = bent(template, 1, 0.03)[0], bent(template, 2, 0.03)[0]
    registration = BatchedRegistration(BatchedOptions(levels=(Level(steps=8),), affine_steps=5))
    together = registration.register(torch.cat([one, two]), template)
    alone = registration.register(two, template)
    torch.testing.assert_close(together.coordinates[1:], alone.coordinates, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("scale", "shift"), [(1.2, 0.1), (0.85, -0.15), (1.0, 0.2)])
def test_affine_starts_reach_far(scale: float, shift: float) -> None:
    template = blobs(4)
    theta = torch.tensor([[[scale, 0, shift], [0, scale, -shift]]])
    grid = functional.affine_grid(theta, [1, 1, SIZE, SIZE], align_corners=False)
    image = functional.grid_sample(template, grid, padding_mode="border", align_corners=False)
    found = find_affines(image, template, starts=3, steps=80)[0]
    nearest = found[(found - theta).abs().sum((1, 2)).argmin()]
    torch.testing.assert_close(nearest, theta[0], atol=0.05, rtol=0)


def test_focus_draws_the_search_to_a_place() -> None:
    """Two halves that ask for opposite shifts: the half in focus is matched the better."""
    template = blobs(5, count=40)
    right = (torch.arange(SIZE) >= SIZE // 2).float()[None, None, None]
    places = identity() + 0.06 * torch.stack([2 * right[0, 0] - 1, torch.zeros(1, SIZE)]).expand(1, 2, SIZE, SIZE)
    image = warp(template, places)
    registration = BatchedRegistration(BatchedOptions(levels=(), affine_steps=0))
    errors = []
    for weights in (0.01 + right, 1.01 - right):
        found = registration.register(image, template, weights.expand(1, 1, SIZE, SIZE))
        errors.append((found.coordinates - places).norm(dim=1)[0])
    inner = slice(SIZE // 2 + 8, SIZE - 6)
    assert errors[0][:, inner].mean() < errors[1][:, inner].mean()


def test_refuses_an_image_without_contrast() -> None:
    with pytest.raises(RegistrationError, match="image 1 of the batch has no contrast"):
        BatchedRegistration().register(torch.cat([blobs(0), torch.zeros(1, 1, SIZE, SIZE)]), blobs(0))
    with pytest.raises(RegistrationError, match="template"):
        BatchedRegistration().register(blobs(0), torch.full((1, 1, SIZE, SIZE), torch.nan))


def test_a_search_that_diverges_is_told(monkeypatch) -> None:
    """A rate of the whole side a step throws places far out, and they stay finite; places that are not are refused."""
    wild = BatchedRegistration(BatchedOptions(learning_rate=1.0))
    assert torch.isfinite(wild.register(blobs(1), blobs(0)).coordinates).all()
    with pytest.raises(ValidationError, match="learning_rate"):
        BatchedOptions(learning_rate=1e30)
    broken = torch.full((1, 5, 2, 3), torch.inf)
    monkeypatch.setattr("vesalius.registration.batched.find_affines", lambda *_, **__: broken)
    with pytest.raises(RegistrationError, match="diverged: its places are not finite; lower its learning_rate"):
        BatchedRegistration().register(blobs(1), blobs(0))
