"""From a recipe to the networks that learn, on the device and in the precision they compute in."""

from __future__ import annotations

from typing import NamedTuple

from lightning import seed_everything

from vesalius.backbones.create_backbone import create_backbone
from vesalius.backbones.synced_batch_norm import synchronise_batch_norm
from vesalius.data.knowledge_pool import KnowledgePool
from vesalius.errors import ConfigError
from vesalius.guidance.registry import build_guidance
from vesalius.methods.no_method import NoMethod
from vesalius.methods.registry import build_method
from vesalius.training.leading import several
from vesalius.training.precision import choose_precision, suit_accelerator
from vesalius.training.recipe import Recipe
from vesalius.training.step import TrainingStep
from vesalius.views.plans import plan_by_name

__all__ = ["Built", "build_networks"]


class Built(NamedTuple):
    """The parts of a step, Lightning's name of the precision, and why it was taken."""

    step: TrainingStep
    precision: str
    why: str


def build_networks(recipe: Recipe, knowledge: KnowledgePool | None, *, accelerator: str) -> Built:
    """Build method and guidance, from the recipe's seed.

    Args:
        recipe: Resolved.
        knowledge: Maps of the images, where the recipe has guidance.
        accelerator: `cpu` or `cuda`.

    Raises:
        ConfigError: Parts that do not fit together, or a recipe from which nothing is to be learned.
    """
    seed_everything(recipe.training.seed, verbose=False)
    plan = plan_by_name(recipe.views.plan, **recipe.views.options)
    method = build_method(recipe.method, create_backbone(recipe.backbone), plan)
    guidance = None
    if recipe.guidance is not None and knowledge is not None:
        guidance = build_guidance(
            recipe.guidance, knowledge.names, method.student, template_side=knowledge.template_side
        )
    elif isinstance(method, NoMethod):
        raise ConfigError("method none learns from guidance alone: give the recipe a guidance section")
    suit_accelerator(method, accelerator=accelerator)
    if several(recipe) and method.synchronised_norms:
        synchronise_batch_norm(method, accelerator=accelerator)
    precision, why = choose_precision(recipe.training.precision, accelerator=accelerator)
    return Built(TrainingStep(recipe, method, plan, guidance), precision, why)
