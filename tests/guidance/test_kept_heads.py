"""What guidance trained is kept with the run, and the head that tells places is found among it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import KnowledgeError
from vesalius.guidance.coordinates import CoordinatesConfig
from vesalius.guidance.kept_heads import read_places_head, save_heads
from vesalius.guidance.place_contrast import PlaceContrastConfig
from vesalius.guidance.registry import GuidanceConfig, build_guidance
from vesalius.records.knowledge import PartNames


@pytest.mark.parametrize("tokens", ["last", "inner"])
@pytest.mark.parametrize("contrast", [None, PlaceContrastConfig()])
def test_the_head_of_places_comes_back(tmp_path: Path, tokens: str, contrast: PlaceContrastConfig | None) -> None:
    student = create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0))
    config = GuidanceConfig(coordinates=CoordinatesConfig(tokens=tokens), contrast=contrast)
    guidance = build_guidance(config, PartNames(()), student)
    save_heads(guidance, tmp_path)
    head = read_places_head(tmp_path)
    features = student.forward_features(torch.randn(2, 1, 32, 32))
    torch.testing.assert_close(head(features), guidance.parts[0].head(features))


def test_the_kept_head_follows_as_slowly_as_what_is_exported(tmp_path: Path) -> None:
    """A teacher's tokens are of steps ago; the student's head of today would misread them."""
    student = create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0))
    guidance = build_guidance(GuidanceConfig(coordinates=CoordinatesConfig()), PartNames(()), student)
    head = guidance.parts[0].head
    before = head.linear.weight.detach().clone()
    with torch.no_grad():
        head.linear.weight.add_(1.0)
    guidance.after_step(0.9)
    save_heads(guidance, tmp_path)
    torch.testing.assert_close(read_places_head(tmp_path).linear.weight.detach(), before + 0.1)
    guidance.after_step(0.0)
    save_heads(guidance, tmp_path)
    assert torch.equal(read_places_head(tmp_path).linear.weight, head.linear.weight)
    assert {name for name, _ in guidance.trained_parameters()} == {
        "coordinates.linear.weight",
        "coordinates.linear.bias",
    }


def test_a_run_that_was_not_told_places_has_no_such_head(tmp_path: Path) -> None:
    student = create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0))
    save_heads(build_guidance(GuidanceConfig(contrast=PlaceContrastConfig()), PartNames(()), student), tmp_path)
    with pytest.raises(KnowledgeError, match="holds no head that tells places"):
        read_places_head(tmp_path)
