"""What a recipe leaves open until the images are counted."""

from __future__ import annotations

from vesalius.errors import ConfigError
from vesalius.methods.moco import MocoConfig
from vesalius.methods.registry import resolve_method, student_views
from vesalius.training.recipe import Recipe
from vesalius.views.plans import plan_by_name

__all__ = ["resolve_recipe"]


def resolve_recipe(recipe: Recipe, images: int) -> tuple[Recipe, tuple[str, ...]]:
    """Replace every `auto` that depends on the number of images; return the recipe and what was chosen.

    Raises:
        ConfigError: The global views and the backbone are of different sizes, or the several sizes of the views all
            larger, or all smaller; contrast by place where the student sees one view.
    """
    method, notes = resolve_method(recipe.method, images)
    plan = plan_by_name(recipe.views.plan, **recipe.views.options)
    seen = {spec.size for place, (_, spec) in enumerate(plan.expanded) if place in plan.teacher_views}
    if seen != {recipe.backbone.image_size}:
        raise ConfigError(
            f"global views of {sorted(seen)} px, but backbone.image_size = {recipe.backbone.image_size}: the backbone "
            "is exported and evaluated at its image_size; set views.options.size and backbone.image_size alike"
        )
    contrast = recipe.guidance is not None and recipe.guidance.contrast is not None
    if contrast and student_views(method, plan) < 2:
        raise ConfigError(
            f"guidance.contrast compares two views of an image, and method {method.name} on the plan '{plan.name}' has "
            "its student see one: take a plan of two views (small-chest), or another method"
        )
    sizes = recipe.views.sizes
    if sizes and not min(sizes) <= recipe.backbone.image_size <= max(sizes):
        raise ConfigError(
            f"views.sizes = {list(sizes)} are not about backbone.image_size = {recipe.backbone.image_size}, at which "
            "the backbone is exported and evaluated; set views.sizes as well (views.sizes=[] for one size)"
        )
    groups = method.norm_groups if isinstance(method, MocoConfig) else 1
    if groups > 1 and (recipe.training.batch_size < 2 * groups or recipe.training.batch_size % groups):
        raise ConfigError(
            f"training.batch_size = {recipe.training.batch_size} is no two or more images for each of "
            f"method.norm_groups = {groups}; set one a multiple of the other"
        )
    return recipe.model_copy(update={"method": method}), notes
