"""Which methods there are: the one place that a recipe's `method` section and the training go through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from vesalius.backbones.interface import Backbone
from vesalius.errors import ConfigError
from vesalius.methods.base import Method
from vesalius.methods.byol import Byol, ByolConfig
from vesalius.methods.dino import Dino, DinoConfig
from vesalius.methods.moco import Moco, MocoConfig
from vesalius.methods.moco_v3 import MocoV3, MocoV3Config
from vesalius.methods.no_method import NoMethod, NoMethodConfig
from vesalius.methods.presets import resolve_auto
from vesalius.methods.r2o import R2o, R2oConfig
from vesalius.methods.simclr import SimClr, SimClrConfig
from vesalius.methods.simsiam import SimSiam, SimSiamConfig
from vesalius.methods.swav import Swav, SwavConfig
from vesalius.views.plans import ViewPlan

__all__ = ["MethodConfig", "build_method", "resolve_method", "student_views"]


def _name(section: Any) -> str:
    """Tell the method of a section; DINO where none is named."""
    return str(section.get("name", "dino") if isinstance(section, dict) else section.name)


MethodConfig = Annotated[
    Annotated[DinoConfig, Tag("dino")]
    | Annotated[ByolConfig, Tag("byol")]
    | Annotated[SimSiamConfig, Tag("simsiam")]
    | Annotated[SwavConfig, Tag("swav")]
    | Annotated[MocoConfig, Tag("moco")]
    | Annotated[MocoV3Config, Tag("moco-v3")]
    | Annotated[SimClrConfig, Tag("simclr")]
    | Annotated[R2oConfig, Tag("r2o")]
    | Annotated[NoMethodConfig, Tag("none")],
    Discriminator(_name),
]
"""The `method` section of a recipe: a union told apart by `name`."""

_BUILT_BY: dict[type[Any], Callable[..., Method]] = {
    DinoConfig: Dino,
    ByolConfig: Byol,
    SimSiamConfig: SimSiam,
    SwavConfig: Swav,
    MocoV3Config: MocoV3,
}


def resolve_method(config: MethodConfig, images: int) -> tuple[MethodConfig, tuple[str, ...]]:
    """Replace every `auto` that depends on the number of images; return the options and what was chosen."""
    return resolve_auto(config, images)


def student_views(config: MethodConfig, plan: ViewPlan) -> int:
    """Return of how many views the method's student computes features: not of MoCo's key, nor of R2O's whole image."""
    if isinstance(config, R2oConfig):
        return len(plan.teacher_views)
    return 1 if isinstance(config, MocoConfig) else len(plan)


def build_method(config: MethodConfig, backbone: Backbone, plan: ViewPlan) -> Method:
    """Build the method around a student backbone, for the views of a plan.

    Raises:
        ConfigError: Options that the method cannot be built with, or views that it cannot compare.
    """
    if isinstance(config, NoMethodConfig):
        return NoMethod(backbone)
    shared = plan.teacher_views
    if len(shared) < 2 or shared != tuple(range(len(shared))):
        raise ConfigError(
            f"method {config.name} compares the first two or more views of a plan; '{plan.name}' offers views {shared}"
        )
    further = len(plan) - len(shared)
    if isinstance(config, R2oConfig):
        if len(shared) != 2 or further != 1 or plan.expanded[-1][0] != "whole":
            raise ConfigError(
                f"method r2o compares two views and looks at the whole image; '{plan.name}' is not such a plan: "
                "set views.plan=r2o or r2o-chest"
            )
        return R2o(config, backbone)
    if plan.expanded[-1][0] == "whole":
        raise ConfigError(f"the plan '{plan.name}' shows the whole image, which method {config.name} has no use for")
    if isinstance(config, MocoConfig | SimClrConfig) and further:
        raise ConfigError(
            f"method {config.name} compares views of one kind, and the plan '{plan.name}' has {further} local ones: "
            "set views.options.locals=0"
        )
    if isinstance(config, SimClrConfig):
        return SimClr(config, backbone)
    if isinstance(config, MocoConfig):
        return Moco(config, backbone, views=len(shared))
    return _BUILT_BY[type(config)](config, backbone, teacher_views=len(shared))
