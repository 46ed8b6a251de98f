"""What may be added to DINO's loss: each with its weight, on the global views alone, and only where asked for."""

from __future__ import annotations

import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.losses.koleo_loss import koleo_loss
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.methods.dino import Dino, DinoConfig
from vesalius.records.view import View
from vesalius.schedules import Progress
from vesalius.views.make_views import make_views
from vesalius.views.plans import plan_by_name

PROGRESS = Progress(step=3, total_steps=10, steps_per_epoch=5)


@pytest.fixture
def views() -> tuple[View, ...]:
    plan = plan_by_name("small-chest", size=32, locals=1, local_size=16)
    images = torch.randint(0, 256, (6, 1, 48, 48), dtype=torch.uint8)
    return make_views(images, plan, torch.Generator().manual_seed(1), out_channels=1, mean=(0.5,), std=(0.25,))


def dino(**options: object) -> Dino:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=32, drop_path=0.0))
    small = {"prototypes": 16, "hidden": 24, "bottleneck": 8}
    return Dino(DinoConfig.model_validate(small | options), backbone).train()


def test_further_losses_are_added_with_their_weights(views: tuple[View, ...]) -> None:
    plain, method = dino(), dino(koleo=0.3, contrast=0.7, contrast_temperature=0.2)
    alone, both = plain(views, PROGRESS), method(views, PROGRESS)
    assert "contrast_loss" not in alone.logs
    assert "dino_loss" not in alone.logs
    torch.testing.assert_close(both.logs["dino_loss"], alone.loss.detach())
    one, two, _ = (features.pooled for features in both.student_features)
    torch.testing.assert_close(both.logs["koleo_loss"], (koleo_loss(one) + koleo_loss(two)).detach())
    contrast = nt_xent_loss(method.head.embed(one), method.head.embed(two), temperature=0.2)
    torch.testing.assert_close(both.logs["contrast_loss"], contrast.detach())
    weighted = alone.loss + 0.3 * both.logs["koleo_loss"] + 0.7 * both.logs["contrast_loss"]
    torch.testing.assert_close(both.loss, weighted)


def test_contrast_reaches_the_student_only(views: tuple[View, ...]) -> None:
    method = dino(contrast=1.0)
    method(views, PROGRESS).loss.backward()
    assert all(p.grad is not None for _, p in method.trained_parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
