from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as peer

from vesalius.views import operations

FACTORS = torch.tensor([0.0, 0.6, 1.0, 1.4, 2.0])


@pytest.fixture(params=[1, 3])
def images(request):
    images = torch.rand(5, request.param, 40, 33, generator=torch.Generator().manual_seed(3))
    images[0, :, :4] = 0.0  # black, white and gray patches: the corner cases of hue and saturation
    images[1, :, :4] = 1.0
    images[2, :, :4] = 0.5
    return images


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness", "gamma"])
def test_factors_equal_torchvision(images, name):
    factors = FACTORS.clamp(min=0.1) if name == "gamma" else FACTORS
    got = getattr(operations, f"adjust_{name}")(images, factors)
    expected = torch.stack(
        [getattr(peer, f"adjust_{name}")(one, float(factor)) for one, factor in zip(images, factors, strict=True)]
    )
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_hue_equals_torchvision(images):
    factors = torch.tensor([-0.5, -0.1, 0.0, 0.1, 0.37])
    got = operations.adjust_hue(images, factors)
    expected = torch.stack([peer.adjust_hue(one, float(f)) for one, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_gray_equals_torchvision(images):
    torch.testing.assert_close(operations.rgb_to_grayscale(images), peer.rgb_to_grayscale(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kernel_size", [3, 13, 23])
def test_blur_equals_torchvision(images, kernel_size):
    sigma = torch.tensor([0.1, 0.5, 1.0, 1.7, 2.0])
    got = operations.gaussian_blur(images, sigma, kernel_size=kernel_size)
    expected = torch.stack(
        [peer.gaussian_blur(one, [kernel_size] * 2, [float(s)] * 2) for one, s in zip(images, sigma, strict=True)]
    )
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_blur_of_an_image_smaller_than_its_kernel_keeps_the_mean():
    got = operations.gaussian_blur(torch.full((1, 1, 3, 2), 0.7), torch.tensor([2.0]), kernel_size=13)
    torch.testing.assert_close(got, torch.full((1, 1, 3, 2), 0.7))


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_solarize_equals_torchvision(images, threshold):
    expected = peer.solarize(images, threshold)
    torch.testing.assert_close(operations.solarize(images, threshold), expected, atol=0, rtol=0)


def test_sharpness_leaves_a_two_pixel_image(images):
    torch.testing.assert_close(operations.adjust_sharpness(images[..., :2], FACTORS), images[..., :2])


def test_nothing_is_changed_in_place(images):
    before = images.clone()
    for name in ("brightness", "contrast", "saturation", "sharpness", "gamma", "hue"):
        getattr(operations, f"adjust_{name}")(images, FACTORS.clamp(0.1, 0.5))
    operations.gaussian_blur(images, FACTORS, kernel_size=5)
    operations.solarize(images, 0.5)
    assert torch.equal(images, before)
