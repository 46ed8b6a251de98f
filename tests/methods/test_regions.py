"""Regions in views: shares that follow crops and flips, means of features, superpixels that look alike joined."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torchvision.ops import roi_align

from vesalius.errors import ConfigError
from vesalius.methods.regions import mask_pool, refine_regions, shares_in_view
from vesalius.records.view import View
from vesalius.views.crops import Crops
from vesalius.views.make_views import make_views
from vesalius.views.plans import plan_by_name


def view_of(boxes: list[list[float]], flips: list[bool], *, side: int = 8, size: int = 16) -> View:
    box, upright = torch.tensor(boxes, dtype=torch.float32), torch.zeros(len(boxes))
    crops = Crops(box=box, flip=torch.tensor(flips), rotation_deg=upright)
    pixels = torch.zeros(len(boxes), 1, side, side)
    return View(pixels=pixels, affine=crops.affine((side, side)), image_size=(size, size))


def quarters(size: int = 16) -> torch.Tensor:
    """Labels 0 to 3: upper left, upper right, lower left, lower right."""
    half = torch.arange(size) >= size // 2
    return (2 * half[:, None].long() + half[None].long())[None]


def test_the_whole_image_keeps_its_regions() -> None:
    shares = shares_in_view(quarters(), view_of([[0, 0, 16, 16]], [False]), (4, 4), count=4)
    assert torch.equal(shares.argmax(dim=1).view(1, 4, 4), quarters(4))
    assert torch.equal(shares.sum(dim=1), torch.ones(1, 16))


def test_a_flip_changes_sides() -> None:
    shares = shares_in_view(quarters(), view_of([[0, 0, 16, 16]], [True]), (2, 2), count=4)
    assert shares.argmax(dim=1)[0].tolist() == [1, 0, 3, 2]


def test_a_crop_shows_shares_and_nothing_outside_the_image() -> None:
    """A box that starts a quarter of a cell left of the middle, and one that leaves the image on the right."""
    shares = shares_in_view(
        quarters().expand(2, -1, -1), view_of([[6, 0, 8, 8], [12, 0, 8, 8]], [False, False]), (1, 1), count=4
    )
    torch.testing.assert_close(shares[0, :, 0], torch.tensor([0.25, 0.75, 0.0, 0.0]))
    torch.testing.assert_close(shares[1, :, 0], torch.tensor([0.0, 0.5, 0.0, 0.0]))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [64, 112, 224])
def test_shares_are_those_of_roi_align(size: int, flip: bool) -> None:
    """Within .13 of a cell, .01 on average: ROIAlign takes the same 64 points a cell, but blends a mask's pixels."""
    generator = torch.Generator().manual_seed(0)
    count, regions, images = 6, torch.rand(20, 6, 8, 8, generator=generator), torch.arange(20)[:, None]
    labels = functional.interpolate(regions, size=size, mode="bicubic").argmax(dim=1)
    extent = size * (0.3 + 0.6 * torch.rand(20, 2, generator=generator))
    corner = (size - extent) * torch.rand(20, 2, generator=generator)
    view = view_of(torch.cat([corner, extent], dim=1).tolist(), [flip] * 20, side=56, size=size)
    ours = shares_in_view(labels, view, (7, 7), count=count).unflatten(2, (7, 7))
    masks = functional.one_hot(labels, count).permute(0, 3, 1, 2).float()
    boxes = torch.cat([images, corner, corner + extent], dim=1)
    theirs = roi_align(masks, boxes, (7, 7), sampling_ratio=8, aligned=True)
    apart = (ours - (theirs.flip(3) if flip else theirs)).abs()
    assert apart.max() < 0.13
    assert apart.mean() < 0.01


def test_means_of_features() -> None:
    features = torch.tensor([[[1.0], [3.0], [5.0]]])
    shares = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 0.25]]])
    torch.testing.assert_close(mask_pool(features, shares)[0, :, 0], torch.tensor([2.0, 1.25]))


@pytest.mark.parametrize("over", ["batch", "process", "image"])
def test_superpixels_that_look_alike_become_one_region(over) -> None:
    """Sixteen squares an image, whose features say in which half they lie: left or right."""
    size = 16
    squares = (torch.arange(size) // 4)[:, None] * 4 + torch.arange(size) // 4
    prior = squares[None].expand(2, -1, -1).to(torch.uint8)
    half = (torch.arange(size) >= size // 2).long().expand(2, size, size)
    features = torch.nn.functional.one_hot(half, 2).permute(0, 3, 1, 2).float()
    features = features + 0.01 * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    whole = view_of([[0, 0, size, size]] * 2, [False, False])
    joined = refine_regions(features, prior, whole, clusters=2, over=over, generator=torch.Generator().manual_seed(0))
    for one in joined:
        assert len(one.unique()) == 2
        assert len(one[:, : size // 2].unique()) == 1
    if over != "image":  # one clustering names the same thing alike in every image
        assert torch.equal(joined[0], joined[1])


def test_groups_of_images_are_clustered_apart() -> None:
    """Halves look like nothing in the other group: two clusters tell them apart in each, and not in all images."""
    size = 16
    squares = ((torch.arange(size) // 4)[:, None] * 4 + torch.arange(size) // 4).expand(4, -1, -1)
    half = (torch.arange(size) >= size // 2).long().expand(4, size, size)
    seen = half + 2 * (torch.arange(4) % 2)[:, None, None]  # every second image is of the other group
    features = functional.one_hot(seen, 4).permute(0, 3, 1, 2).float()
    whole = view_of([[0, 0, size, size]] * 4, [False] * 4)

    def halves(images: int | None) -> list[int]:
        joined = refine_regions(
            features,
            squares,
            whole,
            clusters=2,
            over="batch",
            images=images,
            generator=torch.Generator().manual_seed(0),
        )
        if images == 2:
            assert torch.equal(joined[0], joined[2])
            assert torch.equal(joined[1], joined[3])
        return [len(one.unique()) for one in joined]

    assert halves(2) == halves(1) == [2, 2, 2, 2]
    assert halves(None) == halves(4) != [2, 2, 2, 2]
    with pytest.raises(ConfigError, match=r"cluster_images = 3 does not divide the 4 images of a process"):
        halves(3)


def test_the_plan_ends_with_the_image_as_it_is() -> None:
    plan = plan_by_name("r2o", size=32, area=(0.3, 0.6), flip_p=1.0)
    images = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = make_views(images, plan, torch.Generator().manual_seed(0), mean=(0.0,), std=(1.0,))
    assert [view.name for view in views] == ["global_1", "global_2", "whole"]
    torch.testing.assert_close(views[-1].pixels, images / 255, atol=1e-4, rtol=0)
    assert float(views[0].affine[0, 0, 0]) < 0
