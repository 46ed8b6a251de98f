"""ViTAEv2: the published size, any input, windows that lose nothing, weights kept by timm's own loader."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.load import load_backbone
from vesalius.backbones.vitae_v2 import NormalCell, ReductionCell, VitaeV2
from vesalius.backbones.weights import save_backbone
from vesalius.backbones.windows import join_windows, split_windows
from vesalius.errors import BackboneError


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def half(**options) -> VitaeV2:
    return timm.create_model("vitae_v2_half", num_classes=0, **options).eval()


def test_it_has_the_published_number_of_parameters() -> None:
    assert round(parameters(timm.create_model("vitae_v2_small", num_classes=0)) / 1e6, 2) == 18.84
    assert round(parameters(timm.create_model("vitae_v2_small")) / 1e6, 2) == 19.36


def test_a_pyramid_of_one_scale_costs_the_same_and_differs() -> None:
    """So the ablation of the dilated pyramid compares equal sizes."""
    plain = half(pyramid=False)
    assert parameters(plain) == parameters(half())
    assert {one.dilation for one in plain.modules() if isinstance(one, nn.Conv2d)} == {(1, 1)}
    beside = half(parallel=False)
    assert not [one for one in beside.modules() if isinstance(one, nn.BatchNorm2d)]


@pytest.mark.parametrize(("height", "width"), [(224, 224), (112, 112), (100, 130), (33, 47), (4, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_any_size_and_gives_its_stages(height: int, width: int, channels: int) -> None:
    model = half(in_chans=channels)
    with torch.no_grad():
        last, maps = model.forward_intermediates(torch.randn(2, channels, height, width))
    assert [one.shape[1] for one in maps] == [32, 64, 128, 256] == [info["num_chs"] for info in model.feature_info]
    for one, info in zip(maps, model.feature_info, strict=True):
        assert one.shape[2:] == (-(-height // info["reduction"]), -(-width // info["reduction"]))
    assert torch.equal(last, maps[-1])
    assert torch.isfinite(last).all()
    with pytest.raises(ValueError, match="NCHW alone"):
        model.forward_intermediates(torch.randn(1, channels, 32, 32), output_fmt="NHWC")


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), side=st.integers(1, 8), images=st.integers(1, 3))
def test_windows_are_joined_to_what_was_split(rows: int, columns: int, side: int, images: int) -> None:
    tokens = torch.randn(images, rows * columns, 5)
    windows = split_windows(tokens, (rows, columns), side)
    assert windows.shape == (images * -(-rows // side) * -(-columns // side), side * side, 5)
    assert torch.equal(join_windows(windows, (rows, columns), side), tokens)


def test_a_window_holds_neighbours_and_zeros_beyond_the_edge() -> None:
    tokens = torch.arange(1.0, 16.0).reshape(1, 15, 1)  # 3 rows of 5
    windows = split_windows(tokens, (3, 5), 2)[..., 0]
    assert windows.tolist() == [
        [1, 2, 6, 7],
        [3, 4, 8, 9],
        [5, 0, 10, 0],
        [11, 12, 0, 0],
        [13, 14, 0, 0],
        [15, 0, 0, 0],
    ]


def test_a_normal_cell_is_its_formula() -> None:
    model = half()
    cell = next(one for one in model.stages[2] if isinstance(one, NormalCell))
    x = torch.randn(2, 128, 5, 6)
    tokens = x.flatten(2).mT
    y = tokens + cell.attn(cell.norm1(tokens)) + cell.convolutions(x).flatten(2).mT
    torch.testing.assert_close(cell(x), (y + cell.mlp(cell.norm2(y))).mT.unflatten(2, (5, 6)))


def test_a_reduction_cell_is_its_formula() -> None:
    """Nothing skips it: without its branches nothing is left of the input."""
    cell = half().stages[3][0]
    assert isinstance(cell, ReductionCell)
    x = torch.randn(2, 128, 6, 6)
    tokens = torch.cat([nn.functional.gelu(one(x)) for one in cell.pyramid], dim=1).flatten(2).mT
    y = cell.attn(cell.norm1(tokens)) + cell.convolutions(x).flatten(2).mT
    torch.testing.assert_close(cell(x), (y + cell.mlp(cell.norm2(y))).mT.unflatten(2, (3, 3)))


def test_attention_of_the_first_stages_stays_in_its_window() -> None:
    model = half(parallel=False)
    cell = next(one for one in model.stages[0] if isinstance(one, NormalCell))
    x = torch.randn(1, 32, 14, 14, requires_grad=True)
    cell(x)[0, :, 0, 0].sum().backward()
    reached = x.grad.abs().sum(dim=1)[0] > 0
    assert reached[:7, :7].all()
    assert reached.sum() == 49


def test_weights_go_to_a_file_and_back_and_are_folded_to_gray(tmp_path: Path) -> None:
    colour = half()
    safetensors.torch.save_file(colour.state_dict(), tmp_path / "weights.safetensors")
    config = BackboneConfig(name="vitae_v2_half", image_size=64, in_chans=1, weights=tmp_path / "weights.safetensors")
    gray = create_backbone(config).eval()
    pixels = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour(pixels.expand(-1, 3, -1, -1))
        torch.testing.assert_close(gray(pixels), expected, rtol=1e-4, atol=1e-4)
    save_backbone(gray, tmp_path / "backbone", state=gray.state_dict())
    with torch.no_grad():
        assert torch.equal(load_backbone(tmp_path / "backbone")(pixels), gray(pixels))
        theirs = timm.create_model(f"local-dir:{tmp_path / 'backbone'}", pretrained=True).eval()
        torch.testing.assert_close(theirs(pixels), gray(pixels))


def test_its_inductive_biases_can_be_left_out_at_equal_parameters() -> None:
    """As the arms of `vesalius study dino-cxr-small` do; the backbone's description remembers it."""
    whole = parameters(create_backbone(BackboneConfig(name="vitae_v2_half", image_size=64)))
    for arguments in ({"pyramid": False}, {"parallel": False, "mlp_ratio": 5.5}):
        backbone = create_backbone(BackboneConfig(name="vitae_v2_half", image_size=64, arguments=arguments))
        assert parameters(backbone) == pytest.approx(whole, rel=0.01)
        assert arguments.items() <= backbone.description()["model_args"].items()
        assert parameters(backbone.twin()) == parameters(backbone)
    with pytest.raises(BackboneError, match=r"may not set \['in_chans'\]"):
        create_backbone(BackboneConfig(name="vitae_v2_half", arguments={"in_chans": 3}))
    with pytest.raises(BackboneError, match="cannot be built with"):
        create_backbone(BackboneConfig(name="vitae_v2_half", arguments={"pyramids": False}))


def test_what_it_does_not_have_is_refused() -> None:
    backbone = create_backbone(BackboneConfig(name="vitae_v2_half", image_size=64))
    assert (backbone.feature_dim, backbone.pool, backbone.has_cls) == (256, "mean", False)
    with pytest.raises(BackboneError, match=r"vitae_v2_half has no \[CLS\] token"):
        backbone.forward_features(torch.randn(1, 1, 64, 64), attention=True)
    with pytest.raises(BackboneError, match="could not be loaded"):
        create_backbone(BackboneConfig(name="vitae_v2_half", pretrained=True))
    with pytest.raises(BackboneError, match=r"unknown backbone 'vitae_v2_smal'.*vitae_v2_small"):
        create_backbone(BackboneConfig(name="vitae_v2_smal"))


def test_an_attention_without_convolutions_beside_it_is_never_dropped() -> None:
    """A reduction cell has no shortcut: dropped, it would hand an image on as a constant."""
    cell = half(parallel=False).stages[1][0]
    cell.drop_path.drop_prob = 0.999
    cell.train()
    x = torch.randn(8, 32, 16, 16)
    seen = cell(x)
    assert (seen.flatten(2).std(dim=2).mean(dim=1) > 0).all()
