from __future__ import annotations

import dataclasses

import pytest
import torch
import torchvision.transforms.v2.functional as peer

from vesalius.errors import ViewError
from vesalius.views import make_views as module
from vesalius.views.geometry import map_to_view
from vesalius.views.make_views import ViewParameters, apply_views, draw_views, make_views
from vesalius.views.plans import PLANS, ViewPlan, ViewSpec, plan_by_name


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, channels: int = 1, size: tuple[int, int] = (96, 80), seed: int = 0) -> torch.Tensor:
    """Smooth random images, uint8."""
    coarse = torch.rand(count, channels, 9, 8, generator=generator(seed))
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    return (smooth * 255).round().to(torch.uint8)


def torchvision_view(image: torch.Tensor, spec: ViewSpec, drawn: ViewParameters, row: int) -> torch.Tensor:
    """The same view by torchvision's functions, one after the other (upright crops only)."""
    left, top, width, height = (int(v) for v in drawn.crops.box[row])
    mode = peer.InterpolationMode(spec.interpolation)
    x = peer.resized_crop(image.float() / 255, top, left, height, width, [spec.size] * 2, mode, antialias=True).clamp(
        0, 1
    )
    x = peer.horizontal_flip(x) if drawn.crops.flip[row] else x
    own = drawn.intensity
    steps = {
        0: lambda x: peer.adjust_brightness(x, float(own.brightness[row])),
        1: lambda x: peer.adjust_contrast(x, float(own.contrast[row])),
        2: lambda x: peer.adjust_saturation(x, float(own.saturation[row])),
        3: lambda x: peer.adjust_hue(x, float(own.hue[row])),
    }
    for step in own.order[row].tolist():
        x = steps[step](x)
    if own.gray[row]:
        x = peer.rgb_to_grayscale(x, num_output_channels=len(x))
    x = peer.adjust_gamma(x, float(own.gamma[row]))
    x = peer.adjust_sharpness(x, float(own.sharpness[row]))
    if own.blur_sigma[row] > 0:
        x = peer.gaussian_blur(x, [spec.blur_kernel] * 2, [float(own.blur_sigma[row])] * 2)
    return peer.solarize(x, spec.solarize_threshold) if own.solarize[row] else x


def sized(name: str, size: int, local_size: int, **options):
    """Return a named plan with small views; the whole image of R2O's has no local ones beside it."""
    local = {"local_size": local_size} if "local" in [spec.name for spec in PLANS[name].specs] else {}
    further = {key: value for key, value in options.items() if local or key != "locals"}
    return plan_by_name(name, size=size, **local, **further)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(PLANS))
def test_views_equal_torchvision_step_by_step(name, channels):
    plan = sized(name, 40, 24, locals=2, rotation_p=0, gamma=0.3, gamma_p=0.5, sharpness=0.4, solarize_p=0.3)
    images = pictures(6, channels)
    drawn = draw_views(plan, 6, (96, 80), generator(1))
    views = apply_views(images, plan, drawn, out_channels=channels, mean=[0.5], std=[0.2])
    for view, (_, spec), one in zip(views, plan.expanded, drawn, strict=True):
        for row in range(6):
            expected = (torchvision_view(images[row], spec, one, row) - 0.5) / 0.2
            off = (view.pixels[row] - expected).abs()
            # Rounding may push a value over the solarizing threshold; nothing else may differ.
            assert float((off > 2e-4).float().mean()) < (0.002 if one.intensity.solarize[row] else 1e-9)


@pytest.mark.parametrize("rotation_p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(96, 80), (128, 128), (33, 200)])
def test_affines_agree_with_pixels_and_maps_follow(rotation_p, size):
    plan = ViewPlan(
        name="geometry",
        specs=(ViewSpec(name="a", count=2, size=56, area=(0.3, 1), flip_p=0.5, rotation_p=rotation_p, rotation_deg=40,
                        translation=0.1, interpolation="bilinear"),),
    )  # fmt: skip
    images = pictures(8, 1, size)
    for view in make_views(images, plan, generator(2), mean=[0.0], std=[1.0]):
        followed = map_to_view(images.float() / 255, view)
        inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
        assert float((followed - view.pixels)[inner].abs().mean()) < 0.002
        assert view.image_size == size


def test_names_order_and_teacher_views():
    plan = plan_by_name("dino", size=32, local_size=16)
    views = make_views(pictures(2), plan, generator())
    assert [view.name for view in views] == [name for name, _ in plan.expanded]
    assert [tuple(view.pixels.shape) for view in views] == [(2, 1, 32, 32)] * 2 + [(2, 1, 16, 16)] * 8
    assert [views[place].name for place in plan.teacher_views] == ["global_1", "global_2"]


@pytest.mark.parametrize("name", list(PLANS))
def test_same_seed_same_views_and_each_image_on_its_own(name, monkeypatch):
    plan = sized(name, 32, 16)
    images = pictures(7, 3)
    one = make_views(images, plan, generator(3), out_channels=3)
    two = make_views(images, plan, generator(3), out_channels=3)
    other = make_views(images, plan, generator(4), out_channels=3)
    assert all(
        torch.equal(a.pixels, b.pixels) and torch.equal(a.affine, b.affine) for a, b in zip(one, two, strict=True)
    )
    assert not torch.equal(one[0].pixels, other[0].pixels)
    monkeypatch.setattr(module, "_CHUNK_PIXELS", 1)  # every image in a chunk of its own
    alone = make_views(images, plan, generator(3), out_channels=3)
    for a, b in zip(one, alone, strict=True):
        torch.testing.assert_close(a.pixels, b.pixels, atol=2e-5, rtol=0)
    drawn = draw_views(plan, 7, (96, 80), generator(3))
    changed = images.clone()
    changed[1:] = 255 - changed[1:]
    for a, b in zip(one, apply_views(changed, plan, drawn, out_channels=3), strict=True):
        torch.testing.assert_close(a.pixels[0], b.pixels[0], atol=2e-5, rtol=0)


def test_dtypes_give_the_same_view():
    plan = plan_by_name("small-chest", size=40)
    images = pictures(4)
    views = {
        "uint8": make_views(images, plan, generator(5)),
        "uint16": make_views((images.int() * 257).to(torch.uint16), plan, generator(5)),
        "float": make_views(images.float() / 255, plan, generator(5)),
        "double": make_views(images.double() / 255, plan, generator(5)),
    }
    for name in ("uint16", "float", "double"):
        torch.testing.assert_close(views[name][0].pixels, views["uint8"][0].pixels, atol=2e-5, rtol=0)
    half = make_views(images, plan, generator(5), dtype=torch.bfloat16)[0].pixels
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), views["uint8"][0].pixels, atol=0.02, rtol=0)


def test_sixteen_bits_keep_more_than_eight():
    fine = torch.linspace(30000, 30200, 64 * 64).view(1, 1, 64, 64).to(torch.int32).to(torch.uint16)
    plan = ViewPlan(name="whole", specs=(ViewSpec(name="a", size=64, area=(1, 1), aspect=(1, 1)),), teacher_views=(0,))
    pixels = make_views(fine, plan, generator(), mean=[0.0], std=[1.0])[0].pixels
    torch.testing.assert_close(pixels, fine.float() / 65535, atol=1e-6, rtol=0)
    assert len(torch.unique(pixels)) > 150


def test_channels_in_and_out():
    plan = plan_by_name("small-chest", size=24, rotation_p=0.5)
    gray, colour = pictures(3, 1), pictures(3, 3)
    single = make_views(gray, plan, generator(6), mean=[0.4], std=[0.3])[0].pixels
    triple = make_views(gray, plan, generator(6), out_channels=3, mean=[0.4, 0.5, 0.6], std=[0.3, 0.2, 0.1])[0].pixels
    unit = single * 0.3 + 0.4
    for channel, (mean, std) in enumerate([(0.4, 0.3), (0.5, 0.2), (0.6, 0.1)]):
        torch.testing.assert_close(triple[:, channel], (unit[:, 0] - mean) / std, atol=1e-4, rtol=0)
    averaged = colour.float().mean(dim=1, keepdim=True) / 255
    torch.testing.assert_close(
        make_views(colour, plan, generator(6))[0].pixels,
        make_views(averaged, plan, generator(6))[0].pixels,
        atol=2e-5,
        rtol=0,
    )


@pytest.mark.parametrize("rotation_deg", [0.0, 30.0])
@pytest.mark.parametrize(("fill", "wanted"), [("zero", 0.0), ("minimum", 0.2), ("edge", 0.2), ("reflect", 0.2)])
def test_fill(fill, wanted, rotation_deg):
    images = torch.full((64, 1, 40, 40), 0.2)
    spec = ViewSpec(name="a", size=20, area=(1, 1), aspect=(1, 1), translation=0.4, rotation_p=1,
                    rotation_deg=rotation_deg, fill=fill, interpolation="bilinear")  # fmt: skip
    pixels = make_views(
        images, ViewPlan(name="p", specs=(spec,), teacher_views=(0,)), generator(7), mean=[0.0], std=[1.0]
    )[0].pixels
    assert float(pixels.min()) == pytest.approx(wanted, abs=1e-5)
    assert float(pixels.max()) == pytest.approx(0.2, abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2), (600, 500)])
def test_any_image_size(size):
    for name in PLANS:
        plan = sized(name, 16, 8, rotation_p=0.5, rotation_deg=9)
        for view in make_views(pictures(2, 1, size), plan, generator()):
            assert torch.isfinite(view.pixels).all()


def test_drawn_parameters_are_records():
    drawn = draw_views(plan_by_name("dino"), 3, (96, 80), generator())
    assert len(drawn) == 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        drawn[0].crops = drawn[1].crops


PLAN = plan_by_name("small-chest", size=16)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.zeros(2, 2, 9, 9, dtype=torch.uint8), {}, "2 channels"),
        (torch.zeros(0, 1, 9, 9, dtype=torch.uint8), {}, "at least one image"),
        (torch.zeros(2, 1, 9, 9, dtype=torch.int64), {}, "int64"),
        (torch.full((2, 1, 9, 9), 7.0), {}, r"\[7, 7\]"),
        (torch.full((2, 1, 9, 9), float("nan")), {}, "finite"),
        (torch.zeros(2, 1, 9, 9), {"out_channels": 2}, "out_channels = 2"),
        (torch.zeros(2, 1, 9, 9), {"mean": [0.1, 0.2]}, "2 means"),
        (torch.zeros(2, 1, 9, 9), {"std": [0.0]}, "positive"),
    ],
)
def test_errors_say_what_arrived(images, options, message):
    with pytest.raises(ViewError, match=message):
        make_views(images, PLAN, generator(), **options)


def test_parameters_of_another_plan_are_refused():
    drawn = draw_views(plan_by_name("dino"), 2, (9, 9), generator())
    with pytest.raises(ViewError, match=r"10 views.*small-chest.*2"):
        apply_views(torch.zeros(2, 1, 9, 9), PLAN, drawn)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", list(PLANS))
def test_cuda_gives_the_cpu_views(name):
    plan = sized(name, 32, 16)
    images = pictures(5, 3)
    on_cpu = make_views(images, plan, generator(9), out_channels=3)
    on_gpu = make_views(images.cuda(), plan, generator(9), out_channels=3)
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert b.pixels.is_cuda
        assert float(((a.pixels - b.pixels.cpu()).abs() > 1e-3).float().mean()) < 1e-3  # solarizing may flip a pixel
