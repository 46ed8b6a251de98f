"""The pictures of a run: what its views look like, and where its backbone looks."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.backbones.normalise import normalise
from vesalius.data.batches import ImagePool
from vesalius.interpret.pictures import Sheet, attention_picture, save_png, views_picture
from vesalius.interpret.region_pictures import regions_picture
from vesalius.training.recipe import Recipe
from vesalius.training.region_snapshots import read_snapshots, shown_images
from vesalius.training.run_folder import RunFolder
from vesalius.views.make_views import make_views
from vesalius.views.plans import plan_by_name

__all__ = ["draw_run"]

_IMAGES = 6


def draw_run(recipe: Recipe, pool: ImagePool, folder: RunFolder) -> None:
    """Draw sample views into the run folder, once; attention where the backbone gives it, regions where they are kept.

    Args:
        recipe: Resolved.
        pool: The images trained on; six are drawn, evenly over the pool.
        folder: A finished run.

    Raises:
        BackboneError: The run has no readable backbone.
        OSError: The folder cannot be written.
    """
    if (folder.pictures / "views.png").is_file():
        return
    backbone = load_backbone(folder.backbone)
    about = backbone.preprocessing
    images = pool.gather(np.linspace(0, len(pool) - 1, min(_IMAGES, len(pool))).astype(np.int64))
    if backbone.attention_heads:
        pixels = images.float() / 255.0 if images.dtype == torch.uint8 else images
        save_png(_attention(pixels, backbone), folder.pictures / "attention.png")
    snapshots = read_snapshots(folder.path)
    if len(snapshots) > 1:
        looked_at = pool.gather(shown_images(pool))
        seen = looked_at.float() / 255.0 if looked_at.dtype == torch.uint8 else looked_at
        save_png(regions_picture(seen, snapshots), folder.pictures / "regions.png")
    plan = plan_by_name(recipe.views.plan, **recipe.views.options)
    generator = torch.Generator().manual_seed(recipe.training.seed)
    views = make_views(images, plan, generator, out_channels=about.in_chans, mean=about.mean, std=about.std)
    save_png(views_picture(views, about.mean, about.std), folder.pictures / "views.png")


@torch.no_grad()
def _attention(pixels: Float[Tensor, "batch channels height width"], backbone: Backbone) -> Sheet:
    features = backbone.forward_features(normalise(pixels, backbone.preprocessing), attention=True)
    assert features.attention is not None  # noqa: S101 (asked for above)
    return attention_picture(pixels, features.attention, features.grid)
