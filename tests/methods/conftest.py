"""Views and backbones small enough to look at every figure of a method's step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.interface import Backbone
from vesalius.records.view import View
from vesalius.views.make_views import make_views
from vesalius.views.plans import plan_by_name


@pytest.fixture
def two_views() -> tuple[View, ...]:
    return _views(0)


@pytest.fixture
def three_views() -> tuple[View, ...]:
    return _views(1)


@pytest.fixture
def student() -> Callable[[str], Backbone]:
    def build(name: str = "test_vit") -> Backbone:
        torch.manual_seed(0)
        return create_backbone(BackboneConfig(name=name, image_size=32, drop_path=0.0)).train()

    return build


def _views(further: int) -> tuple[View, ...]:
    plan = plan_by_name("small-chest", size=32, locals=further, local_size=16)
    images = torch.randint(0, 256, (6, 1, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return make_views(images, plan, torch.Generator().manual_seed(1), out_channels=1, mean=(0.5,), std=(0.25,))
