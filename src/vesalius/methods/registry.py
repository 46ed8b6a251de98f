"""Which methods there are: the one place that a recipe's `method` section and the training go through."""

from __future__ import annotations

from vesalius.backbones.interface import Backbone
from vesalius.methods.base import Method
from vesalius.methods.dino import Dino, DinoConfig
from vesalius.methods.dino_presets import resolve_dino

__all__ = ["MethodConfig", "build_method", "resolve_method"]

MethodConfig = DinoConfig
"""The `method` section of a recipe; further methods join it as a union told apart by `name`."""


def resolve_method(config: MethodConfig, images: int) -> tuple[MethodConfig, tuple[str, ...]]:
    """Replace every `auto` that depends on the number of images; return the options and what was chosen."""
    return resolve_dino(config, images)


def build_method(config: MethodConfig, backbone: Backbone, *, teacher_views: tuple[int, ...] = (0, 1)) -> Method:
    """Build the method around a student backbone.

    Args:
        config: Resolved options.
        backbone: The student.
        teacher_views: Places, in the plan's order, of the views that a teacher sees.

    Raises:
        ConfigError: Options that the method cannot be built with.
    """
    return Dino(config, backbone, teacher_views=teacher_views)
