"""A finished run as it is explained: its backbone, its heads by name, and where they look in an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.backbones.block_attention import block_attentions, heads_of_last_block
from vesalius.backbones.load import load_backbone
from vesalius.backbones.normalise import to_input
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import weights_fingerprint
from vesalius.data.source_image import SourceImage
from vesalius.devices import choose_device
from vesalius.errors import BackboneError, ConfigError
from vesalius.interpret.attention_rollout import attention_rollout
from vesalius.interpret.guided_heads import Head, Joined, name_heads
from vesalius.interpret.last_attention import last_attention
from vesalius.training.recipe import Recipe
from vesalius.training.run_folder import RunFolder

__all__ = ["ExplainedRun", "Look", "look", "open_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRun:
    """What explaining needs of a run.

    Attributes:
        path: The run folder.
        name: What it is called, beside others.
        recipe: Resolved.
        backbone: In evaluation mode.
        weights: Digest of its weights, 16 hex digits.
        heads: All of the last block.
    """

    path: Path
    name: str
    recipe: Recipe
    backbone: TimmBackbone
    weights: str
    heads: tuple[Head, ...]

    @property
    def whose_row(self) -> str:
        """Say whose attention is shown: that of [CLS], or of the average patch where there is none."""
        return "[CLS]" if self.backbone.attention_heads else "average patch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where every head of a backbone looks in one image.

    Attributes:
        attention: [CLS] over the patch grid, or the average patch where there is none; each head's map sums to 1.
        image_size: (height, width) of the input.
        cells: How many patches, down and across, the input has; not whole where its last patch was filled up.
        rollout: Through all blocks, where it was asked for.
    """

    attention: Float[Tensor, "heads rows columns"]
    image_size: tuple[int, int]
    cells: tuple[float, float]
    rollout: Float[Tensor, "rows columns"] | None = None

    def map_of(self, shown: Head | Joined) -> Float[Tensor, "rows columns"]:
        """Return the map of a head or of all heads, summing to 1."""
        if isinstance(shown, Head):
            return self.attention[shown.number]
        if shown.how == "average":
            return self.attention.mean(0)
        assert self.rollout is not None  # noqa: S101 (whoever shows it asks for it)
        return self.rollout


def open_run(folder: Path, *, name: str = "") -> ExplainedRun:
    """Open a run whose attention can be shown.

    Args:
        folder: The run folder.
        name: What it is called beside others; by default the folder's name.

    Raises:
        RunError: No run, or one without a backbone.
        BackboneError: Damaged weights, or a backbone without attention.
    """
    run = RunFolder(folder)
    recipe = run.recipe()
    run.check_backbone()
    backbone = load_backbone(run.backbone)
    heads = heads_of_last_block(backbone)
    if not heads:
        raise BackboneError(f"{folder}: {backbone.name} has no attention to show; use a ViT, DeiT, Swin or ViTAEv2")
    attention = None if recipe.guidance is None else recipe.guidance.attention
    return ExplainedRun(
        path=run.path,
        name=name or run.path.resolve().name,
        recipe=recipe,
        backbone=backbone,
        weights=weights_fingerprint(run.backbone),
        heads=name_heads({} if attention is None else attention.heads, heads),
    )


@torch.inference_mode()
def look(
    run: ExplainedRun,
    source: SourceImage,
    *,
    rollout: bool = False,
    image_size: int | None = None,
    device: str = "auto",
) -> Look:
    """Compute the last block's attention of one image, in float32: of [CLS], or of the average patch (`mean_row`).

    Args:
        run: The run.
        source: The image.
        rollout: Also roll out the attention of all blocks (`attention_rollout`).
        image_size: Side of the input in pixels; by default the weights' own. Larger inputs have finer maps.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        BackboneError: The backbone does not take this size, or has no rollout.
        ConfigError: A size below one patch.
        EvaluationError: Attention that is not finite.
    """
    patch = run.backbone.patch_size or 1
    size = run.backbone.preprocessing.image_size if image_size is None else (image_size, image_size)
    if min(size) < patch:
        raise ConfigError(f"image_size = {min(size)}: below one patch of {run.backbone.name}; give {patch} or more")
    where = choose_device(device)
    backbone = run.backbone.to(where)
    inputs = to_input(source.square[None], backbone, where, size)
    maps, side = last_attention(backbone, inputs)
    rolled = None
    if rollout:
        rolled = attention_rollout(block_attentions(backbone, inputs), has_cls=backbone.has_cls).cpu()
        rolled = rolled[0] / rolled.sum()
    return Look(
        attention=maps[0],
        image_size=size,
        cells=(size[0] / side, size[1] / side),
        rollout=rolled,
    )
