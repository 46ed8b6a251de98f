"""Which methods there are: the one place that a recipe's `method` section and the training go through."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from vesalius.backbones.interface import Backbone
from vesalius.methods.base import Method
from vesalius.methods.dino import Dino, DinoConfig
from vesalius.methods.dino_presets import resolve_dino
from vesalius.methods.no_method import NoMethod, NoMethodConfig

__all__ = ["MethodConfig", "build_method", "resolve_method"]


def _name(section: Any) -> str:
    """Tell the method of a section; DINO where none is named."""
    return str(section.get("name", "dino") if isinstance(section, dict) else section.name)


MethodConfig = Annotated[
    Annotated[DinoConfig, Tag("dino")] | Annotated[NoMethodConfig, Tag("none")], Discriminator(_name)
]
"""The `method` section of a recipe: a union told apart by `name`."""


def resolve_method(config: MethodConfig, images: int) -> tuple[MethodConfig, tuple[str, ...]]:
    """Replace every `auto` that depends on the number of images; return the options and what was chosen."""
    return resolve_dino(config, images) if isinstance(config, DinoConfig) else (config, ())


def build_method(config: MethodConfig, backbone: Backbone, *, teacher_views: tuple[int, ...] = (0, 1)) -> Method:
    """Build the method around a student backbone.

    Args:
        config: Resolved options.
        backbone: The student.
        teacher_views: Places, in the plan's order, of the views that a teacher sees.

    Raises:
        ConfigError: Options that the method cannot be built with.
    """
    if isinstance(config, NoMethodConfig):
        return NoMethod(backbone)
    return Dino(config, backbone, teacher_views=teacher_views)
