"""What is drawn follows the named distributions. Seeds are fixed; bounds are four standard errors or wider."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.transforms import v2

from vesalius.views.crops import draw_crops
from vesalius.views.geometry import map_to_view
from vesalius.views.intensity import draw_intensity
from vesalius.views.make_views import make_views
from vesalius.views.plans import PLANS, ViewPlan, ViewSpec, plan_by_name

N = 4000
SIZE = (256, 256)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close_to(flags: torch.Tensor, probability: float) -> bool:
    margin = 4 * math.sqrt(probability * (1 - probability) / len(flags))
    return abs(float(flags.float().mean()) - probability) <= margin


def uniform_in(values: torch.Tensor, low: float, high: float) -> bool:
    """Range and a Kolmogorov-Smirnov distance (its critical value at 1e-4 is 2.2 / sqrt(n))."""
    ordered = values.double().sort().values
    expected = ((ordered - low) / (high - low)).clamp(0, 1)
    steps = torch.arange(1, len(ordered) + 1) / len(ordered)
    inside = float(values.min()) >= low - 1e-6 and float(values.max()) <= high + 1e-6
    return inside and float((steps - expected).abs().max()) < 2.2 / math.sqrt(len(ordered))


@pytest.mark.parametrize("area", [(0.4, 1.0), (0.14, 1.0), (0.05, 0.4), (0.3, 1.0)])
def test_boxes_follow_torchvision_random_resized_crop(area):
    box = draw_crops(ViewSpec(name="v", area=area), N, SIZE, generator()).box
    torch.manual_seed(1)
    transform = v2.RandomResizedCrop(8, scale=area)
    image = torch.zeros(1, *SIZE)
    peer = [transform.make_params([image]) for _ in range(N)]
    names = ("left", "top", "width", "height")
    for column, name in enumerate(names):
        theirs = torch.tensor([float(one[name]) for one in peer]).sort().values
        ours = box[:, column].sort().values
        grid = torch.arange(257.0)
        distance = (torch.searchsorted(ours, grid) - torch.searchsorted(theirs, grid)).abs().max() / N
        assert distance < 2.2 * math.sqrt(2 / N), name


@pytest.mark.parametrize("size", [(256, 256), (300, 100), (7, 9), (1, 1)])
def test_boxes_stay_inside_and_keep_area_and_aspect(size):
    box = draw_crops(ViewSpec(name="v", area=(0.05, 0.4)), N, size, generator()).box
    left, top, width, height = box.unbind(1)
    assert torch.equal(box, box.round())
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (width >= 1).all()
    assert (height >= 1).all()
    assert (left + width <= size[1]).all()
    assert (top + height <= size[0]).all()
    if size == (256, 256):
        share = width * height / 256**2
        assert uniform_in(share.clamp(0.05, 0.4), 0.05, 0.4)
        assert uniform_in(
            (width / height).log().clamp(math.log(3 / 4), math.log(4 / 3)), math.log(3 / 4), math.log(4 / 3)
        )


def test_boxes_larger_than_the_image_hold_all_of_it():
    spec = ViewSpec(name="v", size=60, area=(2.25, 2.25), aspect=(1.0, 1.0), interpolation="bilinear")
    box = draw_crops(spec, N, (40, 40), generator()).box
    left, top, width, height = box.unbind(1)
    assert (width == 60).all()
    assert (height == 60).all()
    for edge in (left, top):
        assert uniform_in(edge - torch.rand(N, generator=generator(8)), -21, 0)  # each of 21 whole pixels alike
    plan = ViewPlan(name="p", specs=(spec,), teacher_views=(0,))
    images = torch.ones(4, 1, 40, 40)
    [view] = make_views(images, plan, generator(9), out_channels=1, mean=(0.0,), std=(1.0,))
    assert view.pixels.sum(dim=(1, 2, 3)).tolist() == pytest.approx([1600] * 4)  # all of it, and black around
    usual = draw_crops(spec.model_copy(update={"aspect": (3 / 4, 4 / 3)}), N, (30, 90), generator()).box
    assert (usual[:, 2] * usual[:, 3]).mean() == pytest.approx(2.25 * 30 * 90, rel=0.02)  # none falls back
    mixed = draw_crops(spec.model_copy(update={"area": (0.5, 2.0), "aspect": (0.8, 1.25)}), N, SIZE, generator()).box
    share = mixed[:, 2] * mixed[:, 3] / 256**2
    assert float(share.min()) < 0.55
    assert float(share.max()) > 1.9


def test_an_impossible_aspect_falls_back_to_the_largest_legal_box():
    box = draw_crops(ViewSpec(name="v", area=(1.0, 1.0), aspect=(1, 1)), 5, (100, 300), generator()).box
    assert box[:, 2:].tolist() == [[100.0, 100.0]] * 5


def test_dino_draws_what_its_authors_name():
    spec = {spec.name: spec for spec in PLANS["dino"].specs}
    for name, blur, solarize in (("global_1", 1.0, 0.0), ("global_2", 0.1, 0.2), ("local", 0.5, 0.0)):
        drawn = draw_intensity(spec[name], N, generator(1))
        assert close_to(drawn.blur_sigma > 0, blur)
        assert uniform_in(drawn.blur_sigma[drawn.blur_sigma > 0], 0.1, 2.0)
        assert close_to(drawn.solarize, solarize)
        assert close_to(drawn.gray, 0.2)
        assert close_to(drawn.brightness != 1, 0.8)
        assert torch.equal(drawn.brightness != 1, drawn.contrast != 1)  # one coin for the whole jitter
        chosen = drawn.brightness != 1
        assert uniform_in(drawn.brightness[chosen], 0.6, 1.4)
        assert uniform_in(drawn.contrast[chosen], 0.6, 1.4)
        assert uniform_in(drawn.saturation[chosen], 0.8, 1.2)
        assert uniform_in(drawn.hue[chosen], -0.1, 0.1)
        crops = draw_crops(spec[name], N, SIZE, generator(2))
        assert close_to(crops.flip, 0.5)
        assert (crops.rotation_deg == 0).all()


def test_medino_draws_what_table_3_names():
    spec = PLANS["medino-chest"].specs[0]
    crops = draw_crops(spec, N, SIZE, generator(3))
    turned = crops.rotation_deg != 0
    assert close_to(turned, 0.2)
    assert uniform_in(crops.rotation_deg[turned], -30, 30)
    assert not crops.flip.any()
    assert (crops.box[:, 2:] == 224).all()  # a crop of 224 from 256, at the image's own scale
    left = crops.box[:, 0]
    assert float(left.min()) < 0  # translations may leave the image
    assert float(left.max()) > 32
    assert float(left.abs().max()) <= 32 + 13
    drawn = draw_intensity(spec, N, generator(4))
    for factor in (drawn.brightness, drawn.contrast, drawn.sharpness):
        assert close_to(factor != 1, 0.1)
        assert uniform_in((factor[factor != 1] - 1).abs(), 0.0, 0.2)
    assert not close_to(drawn.brightness != drawn.contrast, 0.1)  # three coins, not one
    assert not (drawn.blur_sigma > 0).any()
    assert not drawn.solarize.any()


def test_upside_down_is_half_a_turn_and_a_mirror():
    """Half of the images, whether mirrored or not; a view of one is the view of its rows in reverse."""
    spec = ViewSpec(name="v", size=16, area=(1.0, 1.0), aspect=(1.0, 1.0), flip_p=0.5, vertical_flip_p=0.5)
    drawn = draw_crops(spec, N, (16, 16), generator(5))
    assert close_to(drawn.rotation_deg == 180, 0.5)
    assert close_to(drawn.flip & (drawn.rotation_deg == 180), 0.25)
    always = spec.model_copy(update={"flip_p": 0.0, "vertical_flip_p": 1.0})
    images = torch.rand(3, 1, 16, 16, generator=generator(6))
    plan = ViewPlan(name="p", specs=(always,), teacher_views=(0,))
    [view] = make_views(images, plan, generator(7), out_channels=1, mean=(0.0,), std=(1.0,))
    torch.testing.assert_close(view.pixels, images.flip(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(map_to_view(images, view), images.flip(2), atol=1e-5, rtol=0)


def test_jitter_orders_are_all_equally_likely():
    order = draw_intensity(PLANS["dino"].specs[0], N, generator(5)).order
    code = (order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = torch.unique(code, return_counts=True)[1]
    assert len(counts) == 24
    assert float((counts - N / 24).abs().max()) < 5 * math.sqrt(N / 24)


def test_small_chest_and_fixed_size():
    small = plan_by_name("small-chest").specs[0]
    crops = draw_crops(small, N, SIZE, generator(6))
    assert close_to(crops.rotation_deg != 0, 0.2)
    assert uniform_in(crops.rotation_deg[crops.rotation_deg != 0], -5, 5)
    first, second = (spec for spec in PLANS["fixed-size"].specs if spec.name != "local")
    assert (first.area, first.size, first.blur_p, first.solarize_p) == ((0.14, 1.0), 224, 1.0, 0.0)
    assert (second.blur_p, second.solarize_p) == (0.1, 0.2)


def test_draws_follow_the_generator_alone():
    spec = PLANS["dino"].specs[0]
    torch.manual_seed(1)
    one = draw_crops(spec, 8, SIZE, generator(7))
    torch.manual_seed(2)
    two = draw_crops(spec, 8, SIZE, generator(7))
    other = draw_crops(spec, 8, SIZE, generator(8))
    assert torch.equal(one.box, two.box)
    assert not torch.equal(one.box, other.box)
