from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as peer
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ViewError
from vesalius.records.view import View
from vesalius.views.bands import gaussian_taps, weigh_rows
from vesalius.views.crops import Crops
from vesalius.views.geometry import (
    box_affine,
    box_taps,
    compose,
    image_to_view,
    invert,
    map_to_view,
    resample,
    resample_separably,
    view_to_image,
)


def crops(box: tuple[float, ...], *, flip: bool = False, rotation_deg: float = 0.0) -> Crops:
    return Crops(
        box=torch.tensor([box]).float(), flip=torch.tensor([flip]), rotation_deg=torch.tensor([rotation_deg]).float()
    )


def separably(images, box, flip, size, interpolation, fill="zero"):
    count, columns = len(images), images.shape[3]
    boxes = torch.tensor([box] * count, dtype=torch.float32)
    taps = box_taps(
        boxes, torch.tensor([flip] * count), tuple(images.shape[2:]), size, interpolation=interpolation, fill=fill
    )
    return resample_separably(images, torch.arange(count), *taps, columns).transpose(2, 3)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [(10, 20, 100, 70), (0, 0, 180, 200), (150, 150, 20, 31), (5, 6, 1, 1), (0, 3, 180, 2)])
@pytest.mark.parametrize("size", [(112, 96), (40, 30), (7, 224), (1, 1)])
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_equal_torchvision_resized_crop(interpolation, box, size, flip):
    images = torch.rand(2, 3, 200, 180, generator=torch.Generator().manual_seed(0))
    left, top, width, height = box
    expected = peer.resized_crop(
        images, top, left, height, width, size, interpolation=peer.InterpolationMode(interpolation), antialias=True
    )
    expected = expected.flip(-1) if flip else expected
    torch.testing.assert_close(separably(images, box, flip, size, interpolation), expected, atol=1e-4, rtol=0)


def test_a_box_reaching_outside_sees_zeros_as_torchvision_crop_pads_them():
    images = torch.rand(1, 1, 64, 64)
    box = (-20, 30, 60, 50)
    expected = peer.resized_crop(images, 30, -20, 50, 60, [32, 32], antialias=True)
    torch.testing.assert_close(separably(images, box, False, (32, 32), "bilinear"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("fill", "mode"), [("edge", "edge"), ("reflect", "symmetric")])
def test_fill_folds_the_outside_back(fill, mode):
    images = torch.rand(1, 1, 64, 48)
    padded = peer.pad(images, [20, 20, 20, 20], padding_mode=mode)
    expected = separably(padded, (5, 50, 40, 50), False, (30, 20), "bicubic")
    torch.testing.assert_close(
        separably(images, (-15, 30, 40, 50), False, (30, 20), "bicubic", fill), expected, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("angle", [20.0, -30.0, 5.0, 90.0, 179.0])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_turn_equals_torchvision_rotate(angle, mode):
    images = torch.rand(2, 3, 100, 80, generator=torch.Generator().manual_seed(1))
    affine = crops((0, 0, 80, 100), rotation_deg=angle).affine((100, 80)).expand(2, -1, -1)
    expected = peer.rotate(images, angle, peer.InterpolationMode(mode))
    got = resample(images, affine, (100, 80), mode)
    if mode == "nearest":  # centres that fall on a pixel edge may go either way
        assert (got != expected).float().mean() < 0.01
    else:
        torch.testing.assert_close(got, expected, atol=2e-4, rtol=0)


def test_turn_keeps_a_ramp():
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    images = (0.3 + 0.004 * x + 0.002 * y)[None, None]
    affine = crops((16, 16, 32, 32), rotation_deg=33.0).affine((40, 40))
    points = torch.stack(torch.meshgrid(torch.arange(40) + 0.5, torch.arange(40) + 0.5, indexing="xy"), -1).view(
        1, -1, 2
    )
    there = view_to_image(points, affine)
    expected = 0.3 + 0.004 * there[..., 0] + 0.002 * there[..., 1]
    for mode in ("bilinear", "bicubic"):
        got = resample(images, affine, (40, 40), mode)
        tolerance = 1e-5 if mode == "bilinear" else 5e-4  # grid sampling takes a = -0.75, which bends a ramp
        torch.testing.assert_close(got.view(1, -1), expected, atol=tolerance, rtol=0)


places = st.floats(0.25, 0.75)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(40, 130),
    height=st.integers(40, 130),
    size=st.tuples(st.integers(24, 140), st.integers(24, 140)),
    flip=st.booleans(),
    angle=st.one_of(st.just(0.0), st.floats(-180, 180)),
    place=st.tuples(places, places),
    mode=st.sampled_from(["bilinear", "bicubic"]),
)
def test_a_dot_appears_where_the_affine_says(width, height, size, flip, angle, place, mode):
    affine = crops((60, 70, width, height), flip=flip, rotation_deg=angle).affine(size)
    target = torch.tensor([[[place[0] * size[1], place[1] * size[0]]]])
    x, y = view_to_image(target, affine)[0, 0].tolist()
    rows, columns = torch.arange(260) + 0.5, torch.arange(250) + 0.5
    image = torch.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / (2 * 3.0**2))[None, None]
    view = resample(image, affine, size, mode).clamp(min=0)[0, 0]
    mass = view / view.sum()
    seen_x = float((mass.sum(0) * (torch.arange(size[1]) + 0.5)).sum())
    seen_y = float((mass.sum(1) * (torch.arange(size[0]) + 0.5)).sum())
    # A tenth of an image pixel, in view pixels: a convention wrong by half a pixel would show.
    assert abs(seen_x - float(target[0, 0, 0])) < 0.05 + 0.1 * size[1] / width
    assert abs(seen_y - float(target[0, 0, 1])) < 0.05 + 0.1 * size[0] / height


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(-180, 180), flip=st.booleans(), seed=st.integers(0, 999))
def test_affines_invert_and_compose(angle, flip, seed):
    affine = crops((3, 4, 50, 70), flip=flip, rotation_deg=angle).affine((32, 64))
    points = torch.rand(1, 9, 2, generator=torch.Generator().manual_seed(seed)) * 60
    back = image_to_view(view_to_image(points, affine), affine)
    torch.testing.assert_close(back, points, atol=2e-3, rtol=1e-4)
    twice = view_to_image(view_to_image(points, affine), affine)
    torch.testing.assert_close(view_to_image(points, compose(affine, affine)), twice, atol=2e-3, rtol=1e-4)
    identity = compose(invert(affine), affine)
    torch.testing.assert_close(identity, torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]), atol=1e-3, rtol=0)


def test_places_are_as_exact_under_autocast():
    turned = crops((3, 5, 200, 210), rotation_deg=7.0)
    affine = compose(turned.affine((112, 112)), torch.eye(2, 3)[None])
    points = torch.rand(1, 500, 2) * 112
    with torch.autocast("cpu", torch.bfloat16):
        found = view_to_image(points, affine)
        back = image_to_view(found, affine)
        both = compose(affine, invert(affine))
    torch.testing.assert_close(found, view_to_image(points, affine))
    torch.testing.assert_close(back, points, atol=1e-3, rtol=0)
    torch.testing.assert_close(both, torch.eye(2, 3)[None], atol=1e-4, rtol=0)


def test_box_affine_maps_corners_to_the_box():
    affine = box_affine(torch.tensor([[10.0, 20, 30, 40]]), (8, 6))
    corners = view_to_image(torch.tensor([[[0.0, 0], [6, 8]]]), affine)
    torch.testing.assert_close(corners, torch.tensor([[[10.0, 20], [40, 60]]]))


@pytest.mark.parametrize("rotation_deg", [0.0, 12.0])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_shrinking_does_not_alias(rotation_deg, mode):
    rows = torch.arange(256)
    board = ((rows[:, None] + rows) % 2).float()[None, None]  # nothing but the highest frequency
    affine = crops((28, 28, 200, 200), rotation_deg=rotation_deg).affine((60, 60))
    view = resample(board, affine, (60, 60), mode)
    assert view.std() < 0.02
    assert abs(float(view.mean()) - 0.5) < 0.01
    naive = torch.nn.functional.interpolate(board[..., 28:228, 28:228], size=(60, 60), mode=mode)
    assert naive.std() > 0.1  # what would have come through


def test_turning_by_nothing_and_by_almost_nothing_agree():
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    chirp = 0.5 + 0.5 * torch.sin((x**2 + y**2) / 400)[None, None]
    straight = resample(chirp, crops((20, 20, 200, 200)).affine((80, 80)), (80, 80))
    almost = resample(chirp, crops((20, 20, 200, 200), rotation_deg=0.01).affine((80, 80)), (80, 80))
    assert (straight - almost).abs().mean() < 0.02


def test_nearest_keeps_labels_and_dtype_and_follows_the_flip():
    labels = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    labels[..., :20] = 3
    affine = crops((0, 0, 40, 40), flip=True).affine((20, 20))
    view = resample(labels, affine, (20, 20), "nearest")
    assert view.dtype == torch.uint8
    assert view[..., :10].eq(0).all()
    assert view[..., 10:].eq(3).all()


@pytest.mark.parametrize("fill", ["zero", "minimum", "edge", "reflect"])
def test_nearest_fill(fill):
    labels = torch.arange(1, 5, dtype=torch.uint8).view(1, 1, 1, 4)
    affine = box_affine(torch.tensor([[-2.0, 0, 8, 1]]), (1, 8))
    wanted = {"zero": [0, 0, 1, 2, 3, 4, 0, 0], "minimum": [1, 1, 1, 2, 3, 4, 1, 1],
              "edge": [1, 1, 1, 2, 3, 4, 4, 4], "reflect": [2, 1, 1, 2, 3, 4, 4, 3]}  # fmt: skip
    assert resample(labels, affine, (1, 8), "nearest", fill=fill).flatten().tolist() == wanted[fill]


def test_maps_of_any_resolution_follow_the_view():
    full = torch.zeros(1, 1, 224, 224)
    full[..., 64:128, 32:96] = 1
    coarse = torch.nn.functional.avg_pool2d(full, 16)
    affine = crops((16, 40, 150, 140), flip=True, rotation_deg=20.0).affine((112, 112))
    view = View(pixels=torch.zeros(1, 1, 112, 112), affine=affine, image_size=(224, 224))
    fine, rough = map_to_view(full, view), map_to_view(coarse, view)
    assert fine.shape == rough.shape == (1, 1, 112, 112)
    assert ((fine > 0.5) != (rough > 0.5)).float().mean() < 0.06
    grid = map_to_view(full, view, size=(7, 7))
    torch.testing.assert_close(grid, torch.nn.functional.avg_pool2d(fine, 16), atol=0.25, rtol=0)
    assert (grid - torch.nn.functional.avg_pool2d(fine, 16)).abs().mean() < 0.04


def test_zero_sigma_leaves_an_axis_alone():
    images = torch.rand(2, 1, 9, 5)
    taps = gaussian_taps(torch.zeros(2), size=9, kernel_size=7)
    torch.testing.assert_close(weigh_rows(images, torch.arange(2), taps), images)


def test_gradient_flows_through_a_resampled_map():
    maps = torch.rand(2, 1, 20, 20, requires_grad=True)
    affine = torch.cat([crops((2, 2, 10, 12)).affine((8, 8)), crops((2, 2, 10, 12), rotation_deg=9).affine((8, 8))])
    resample(maps, affine, (8, 8)).sum().backward()
    assert maps.grad is not None
    assert all(float(grad.abs().sum()) > 10 for grad in maps.grad)


def test_errors_say_what_arrived():
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    affine = box_affine(torch.tensor([[0.0, 0, 8, 8]]), (8, 8))
    with pytest.raises(ViewError, match=r"uint8.*nearest"):
        resample(labels, affine, (8, 8))
    with pytest.raises(ViewError, match="1 images but 2 affines"):
        resample(labels, affine.repeat(2, 1, 1), (8, 8), "nearest")
    with pytest.raises(ViewError, match="determinant 0"):
        invert(torch.zeros(1, 2, 3))
