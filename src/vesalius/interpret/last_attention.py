"""The last block's attention as maps over the image, whatever token is read: that of [CLS], or of the average patch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.backbones.block_attention import block_attentions
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.interpret.attention_maps import attention_maps, mass_mask
from vesalius.interpret.mean_row import mean_row
from vesalius.interpret.source_canvas import sample_map

__all__ = ["attention_saliency", "last_attention"]


@torch.no_grad()
def last_attention(
    backbone: TimmBackbone, inputs: Float[Tensor, "batch channels height width"]
) -> tuple[Float[Tensor, "batch heads rows columns"], int]:
    """Return every head's map, each summing to 1, on the CPU in float32, and the side of a cell in input pixels.

    Raises:
        BackboneError: A backbone without attention, or one that does not take this size.
        EvaluationError: Attention that is not finite.
    """
    if backbone.attention_heads:
        features = backbone.forward_features(inputs, patches=False, attention=True)
        assert features.attention is not None  # noqa: S101 (asked for)
        return attention_maps(features.attention.float().cpu(), features.grid), backbone.patch_size or 1
    [last] = block_attentions(backbone, inputs, last=True)
    return attention_maps(mean_row(last).flatten(2).float().cpu(), last.grid), last.patch_px


def attention_saliency(
    backbone: TimmBackbone, inputs: Float[Tensor, "1 channels height width"], *, mass: float = 0.5
) -> Float[Tensor, "height width"]:
    """Return the average of the heads as a map at the input's size, from 0 to 1: the patches that hold half of it.

    Matsoukas et al. 2022, figure 4. It says where the backbone looks, whatever the answer.

    Raises:
        BackboneError, EvaluationError: See `last_attention`.
    """
    maps, side = last_attention(backbone, inputs)
    average = maps[0].mean(0)
    average = average * mass_mask(average.flatten(), mass=mass).reshape(average.shape)
    down, across = ((torch.arange(one) + 0.5) / side for one in inputs.shape[2:])
    return sample_map(average / average.max(), down, across)
