"""Every decoder on every family of backbones: sizes, gradients, what is read, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.interface import Backbone
from vesalius.evaluation.fit_segmentation import bend, segmentation_loss
from vesalius.evaluation.segment_options import DECODERS
from vesalius.evaluation.segmentation_network import SegmentationNetwork

FAMILIES = {
    "resnet18": {},
    "vit_tiny_patch16_224": {"pool": "mean"},
    "vitae_v2_half": {},
    "swin_tiny_patch4_window7_224": {"arguments": {"embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}},
}


def backbone_of(name: str, side: int = 64) -> Backbone:
    torch.manual_seed(0)
    return create_backbone(BackboneConfig(name=name, image_size=side, in_chans=1, drop_path=0.0, **FAMILIES[name]))


@pytest.mark.parametrize("decoder", DECODERS[1:])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_decoder_reads_every_family(name: str, decoder: str) -> None:
    network = SegmentationNetwork(backbone_of(name), decoder, 4, image_size=64).train()
    pixels = torch.randn(2, 1, 64, 64)
    logits = network(pixels)
    assert logits.shape == (2, 4, 64, 64)
    logits.square().mean().backward()
    first = next(iter(network.backbone.parameters()))
    assert first.grad is not None
    assert float(first.grad.abs().sum()) > 0
    learned = [one for one in network.decoder.parameters() if one.grad is None]
    assert not learned


def test_the_fpn_merges_as_its_library_does() -> None:
    theirs = pytest.importorskip("segmentation_models_pytorch").decoders.fpn.decoder.MergeBlock("add")
    network = SegmentationNetwork(backbone_of("resnet18"), "fpn", 3, image_size=64).eval()
    pixels = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        ours = network(pixels)
        network.decoder.decoder.merge = theirs
        torch.testing.assert_close(ours, network(pixels), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decoder", ["fpn", "unet"])
def test_sides_that_are_no_multiple_of_32(decoder: str) -> None:
    network = SegmentationNetwork(backbone_of("resnet18", 72), decoder, 2, image_size=72).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 72, 72)).shape == (1, 2, 72, 72)


def test_a_frozen_encoder_is_read_as_it_is() -> None:
    """The decoder sees the very maps that the backbone gives."""
    backbone = backbone_of("resnet18").eval()
    network = SegmentationNetwork(backbone, "fcn", 2, image_size=64).eval()
    seen = []
    network.decoder.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    pixels = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        network(pixels)
        stages = backbone.forward_features(pixels, stages=True).stages
    assert torch.equal(seen[0][3], stages[-2])
    assert torch.equal(seen[0][4], stages[-1])


@pytest.mark.parametrize("kind", ["dice", "cross_entropy", "both"])
def test_the_loss_leaves_out_what_is_not_known(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    known = torch.ones(2, 1, 8, 8)
    known[:, :, :, 5:] = 0
    shares = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float() * known
    target = torch.cat([shares, known], dim=1)
    whole = segmentation_loss(logits[..., :5], torch.cat([shares, known], dim=1)[..., :5], kind)
    assert float(segmentation_loss(logits, target, kind)) == pytest.approx(float(whole), rel=1e-5)
    if kind == "cross_entropy":
        theirs = torch.nn.functional.cross_entropy(logits[..., :5], labels[..., :5])
        assert float(whole) == pytest.approx(float(theirs), rel=1e-5)
    right = 20 * target[:, :3] - 10
    assert float(segmentation_loss(right, target, kind)) < 0.01 < float(whole)


def test_image_and_mask_are_bent_alike() -> None:
    rows = torch.linspace(0, 1, 48)[:, None].expand(48, 48)
    pixels = torch.stack([rows, rows.T])[:, None].clone()
    bent, target = bend(pixels, pixels.clone(), 0.05, torch.Generator().manual_seed(1))
    assert torch.equal(bent, target)
    assert 0.005 < float((bent - pixels).abs().mean()) < 0.1
    assert not torch.equal(bent[0, 0] - pixels[0, 0], (bent[1, 0] - pixels[1, 0]).T)  # each by its own field
    again, _ = bend(pixels, pixels, 0.05, torch.Generator().manual_seed(1))
    assert torch.equal(again, bent)
    still, _ = bend(pixels, pixels, 0.0, torch.Generator())
    assert np.array_equal(still, pixels)
