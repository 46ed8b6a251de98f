"""`explain` beyond single heads: their average, rollout, the most attended half, and backbones without [CLS]."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vesalius import pipeline
from vesalius.backbones.block_attention import block_attentions
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.load import load_backbone
from vesalius.backbones.normalise import normalise
from vesalius.errors import BackboneError, ConfigError
from vesalius.interpret.attention_maps import attention_maps
from vesalius.interpret.last_attention import attention_saliency

FREE = ("guidance=null", "method={name: dino}")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    pixels[0, :2] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "case.png")
    return tmp_path / "case.png"


def explain(run: Path, *images: Path, **options) -> tuple[Path, ...]:
    return pipeline.explain(run, images, progress=False, device="cpu", upsampling="nearest", **options)


def test_average_and_rollout_stand_beside_the_heads(guided_run: Path, picture: Path) -> None:
    (folder,) = explain(guided_run, picture, average=True, rollout=True)
    names = {"head_0.png", "heart_head_1.png", "average.png", "rollout.png", "sheet.png"}
    assert {path.name for path in folder.glob("*.png")} == names
    arrays = np.load(folder / "attention.npz")
    heads = np.stack([arrays["head_0"], arrays["heart_head_1"]])
    np.testing.assert_allclose(arrays["average"], heads.mean(0), rtol=1e-5)
    assert arrays["cells"].tolist() == [4, 4]
    backbone = load_backbone(guided_run / "backbone")
    with Image.open(picture) as opened:
        pixels = torch.from_numpy(np.array(opened)).float()[None, None] / 255
    rolled = torch.eye(17, dtype=torch.float64)
    for block in block_attentions(backbone, normalise(pixels, backbone.preprocessing)):
        rolled = (block.weights[0, 0].double().mean(0) + torch.eye(17)) / 2 @ rolled
    expected = rolled[0, 1:].reshape(4, 4) / rolled[0, 1:].sum()
    np.testing.assert_allclose(arrays["rollout"], expected.numpy(), rtol=1e-3, atol=1e-5)
    record = json.loads((folder / "explanation.json").read_text())
    assert record["plan"]["attention_of"] == "[CLS]"
    assert [one.get("joined") for one in record["attention"]] == [None, None, "average", "rollout"]


def test_half_of_the_attention_leaves_the_rest_of_the_image_dark(guided_run: Path, picture: Path) -> None:
    (whole,) = explain(guided_run, picture, heads=[0], out=picture.parent / "whole")
    (half,) = explain(guided_run, picture, heads=[0], mass=0.5, out=picture.parent / "half")
    attention = np.load(half / "attention.npz")["head_0"].flatten()
    assert attention.tolist() == np.load(whole / "attention.npz")["head_0"].flatten().tolist(), (
        "the map itself is whole"
    )
    order = np.argsort(-attention)
    kept = set(order[: 1 + int((np.cumsum(attention[order]) < 0.5).sum())].tolist())
    shown = {
        name: np.asarray(Image.open(folder / "head_0.png")).astype(int)
        for name, folder in (("whole", whole), ("half", half))
    }
    for patch in range(16):
        row, column = divmod(patch, 4)
        places = np.s_[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        assert np.array_equal(shown["whole"][places], shown["half"][places]) == (patch in kept)


@pytest.mark.parametrize(
    ("backbone", "heads"),
    [("swin_tiny_patch4_window7_224", 24), ("vitae_v2_half", 4)],
)
def test_without_cls_the_average_patch_is_shown(
    write_run: Callable[..., Path], picture: Path, backbone: str, heads: int
) -> None:
    run = write_run("other", *FREE, backbone=f"backbone={{name: {backbone}, image_size: 64, drop_path: 0}}")
    (folder,) = explain(run, picture, average=True)
    assert len(list(folder.glob("head_*.png"))) == heads
    arrays = np.load(folder / "attention.npz")
    assert arrays["average"].shape == (2, 2)
    assert arrays["average"].sum() == pytest.approx(1)
    assert json.loads((folder / "explanation.json").read_text())["plan"]["attention_of"] == "average patch"
    with pytest.raises(BackboneError, match="merge tokens: use the map of the last block"):
        explain(run, picture, rollout=True, overwrite=True)


def test_a_figure_of_what_joins_the_heads(write_run: Callable[..., Path], guided_run: Path, picture: Path) -> None:
    other = write_run("other", *FREE)
    (drawn,) = explain(guided_run, picture, figure="heads", average=True, mass=0.5, compare=[other])
    record = json.loads(drawn.with_suffix(".json").read_text())
    assert [one["columns"] for one in record["shown"]] == [[["average of the heads", "average"]]] * 2
    with pytest.raises(ConfigError, match="mass = 50"):
        explain(guided_run, picture, mass=50.0)
    with pytest.raises(ConfigError, match="figure parts shows a head a part"):
        explain(guided_run, picture, figure="parts", rollout=True)


def test_the_attention_of_a_network_is_half_of_its_heads_average() -> None:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_vit", image_size=64)).eval()
    for weight in backbone.parameters():
        weight.data.mul_(2)
    inputs = torch.randn(1, 1, 64, 96)
    with torch.no_grad():
        features = backbone.forward_features(inputs, attention=True)
    average = attention_maps(features.attention, features.grid)[0].mean(0).flatten()
    order = average.argsort(descending=True)
    kept = order[: 1 + int((average[order].cumsum(0) < 0.5 - 1e-6).sum())]
    saliency = attention_saliency(backbone, inputs)
    assert saliency.shape == (64, 96)
    centres = saliency[8::16, 8::16].flatten()  # beside a patch's centre, half a pixel away
    assert set(centres.nonzero().flatten().tolist()) >= set(kept.tolist())
    assert saliency.max() == pytest.approx(1, abs=0.05)
    assert centres[kept].argmax() == 0
