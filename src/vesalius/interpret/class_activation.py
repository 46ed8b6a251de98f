"""Class activation maps of classifiers and segmentation networks: the Grad-CAM family, by the package grad-cam."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.errors import BackboneError, ConfigError, nearest

__all__ = ["METHODS", "class_activation", "default_layer"]

METHODS = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMPlusPlus",
    "xgrad-cam": "XGradCAM",
    "layer-cam": "LayerCAM",
    "hires-cam": "HiResCAM",
    "eigen-cam": "EigenCAM",
}
"""Names here, and of the package's classes."""

Target = Callable[[Tensor], Tensor]
"""From the network's output of one image, without the batch, to the one figure that is explained."""


def class_activation(
    network: nn.Module,
    backbone: TimmBackbone,
    pixels: Float[Tensor, "1 channels height width"],
    target: Target,
    *,
    method: str = "grad-cam",
    layer: str | None = None,
    dense: bool = False,
) -> Float[Tensor, "height width"]:
    """Weigh the channels of a layer by how much a target rises with them (Selvaraju et al. 2017, arXiv 1610.02391).

    With the sum of a class's logits over a region as the target it is SEG-Grad-CAM (Vinogradova et al. 2020, arXiv
    2002.11434; Juhász, section 2.4). Tokens become maps by themselves: those of [CLS] and registers are left out, and
    the grid follows from the input's shape.

    Args:
        network: From pixels to logits, with the backbone within; left in evaluation mode.
        backbone: Its encoder.
        pixels: One normalised image.
        target: What is explained.
        method: One of `METHODS`.
        layer: Whose channels, as the backbone's modules are named; by default `default_layer`.
        dense: Whether the network reads the backbone's maps, not its pooled features alone.

    Returns:
        The map at the input's size, from 0 to 1; 0 everywhere where no channel speaks for the target.

    Raises:
        ConfigError: Unknown method or layer, or the package is not installed.
        BackboneError: A layer whose output is no grid of the image, or that has no part in the answer.
    """
    if method not in METHODS:
        raise ConfigError(f"no method '{method}'; methods: {', '.join(METHODS)}{nearest(method, METHODS)}")
    name = default_layer(backbone, dense=dense) if layer is None else layer
    modules = dict(backbone.model.named_modules())
    if name not in modules or not name:
        raise ConfigError(f"{backbone.name} has no layer '{name}'{nearest(name, list(modules))}")
    size = (pixels.shape[2], pixels.shape[3])
    as_maps = partial(_as_maps, prefix=backbone.prefix_tokens, size=size, innermost=backbone.channels_last, name=name)
    made = _package(METHODS[method])
    backbone.always(patches=True)  # else a ViT computes its last block for [CLS] alone
    # The class as a context manager would swallow an IndexError, and a frozen encoder has gradients from the input on.
    explainer = made(network.eval(), [modules[name]], reshape_transform=as_maps)
    explainer.compute_input_gradient = True
    try:
        found = explainer(pixels, [target])[0]
    except (AttributeError, TypeError) as error:
        kept = explainer.activations_and_grads
        if kept.activations and (kept.gradients or not explainer.uses_gradients):
            raise
        # The package does not look whether the layer had a part in the output.
        raise BackboneError(f"{backbone.name}: layer {name} has no part in this answer; name another one") from error
    finally:
        explainer.activations_and_grads.release()
        backbone.always()
        network.zero_grad(set_to_none=True)
    return torch.from_numpy(found).float()


def default_layer(backbone: TimmBackbone, *, dense: bool = False) -> str:
    """Return the last stage or block; of a ViT whose pooled features are read, the last norm that patches go through.

    Behind a ViT's last block the patches do not reach a pooled [CLS] any more, so that nothing rises with them; what
    enters its last attention does. Mean patches are taken behind the final norm: a layer before it has gradients at
    right angles to its activations, whose product (HiResCAM, LayerCAM) is nothing but rounding.
    """
    last = str(backbone.model.feature_info[-1]["module"])
    if dense or not backbone.has_inner:
        return last
    return f"{last}.norm1" if backbone.pool == "cls" else "norm"


def _package(name: str) -> Any:
    try:
        return getattr(importlib.import_module("pytorch_grad_cam"), name)
    except ImportError as error:
        raise ConfigError(
            f"class activation maps need a package that is not installed ({error.name}): "
            "pip install 'vesalius[explain]'"
        ) from error


def _as_maps(
    output: Tensor, *, prefix: int, size: tuple[int, int], innermost: bool, name: str
) -> Float[Tensor, "batch channels rows columns"]:
    maps = _laid_out(output, prefix=prefix, size=size, innermost=innermost, name=name)
    if maps.shape[2] * maps.shape[3] == 1:
        raise BackboneError(
            f"layer {name} has one cell for an image of {size[0]} x {size[1]}, so that its map points nowhere; name an "
            "earlier layer, or train at a larger size"
        )
    return maps


def _laid_out(
    output: Tensor, *, prefix: int, size: tuple[int, int], innermost: bool, name: str
) -> Float[Tensor, "batch channels rows columns"]:
    height, width = size
    if len(output) == 1 and output.ndim == 4:
        apart = output.permute(0, 3, 1, 2)
        for maps in (apart, output) if innermost else (output, apart):
            if abs(maps.shape[2] * width - maps.shape[3] * height) <= max(height, width):  # of the image's shape
                return maps
    tokens = output.shape[1] if len(output) == 1 and output.ndim == 3 else 0
    for left_out in dict.fromkeys((prefix, 0)):
        rows = round(max(0, (tokens - left_out) * height / width) ** 0.5)
        columns = (tokens - left_out) // max(rows, 1)
        if rows > 0 and rows * columns == tokens - left_out:
            return output[:, left_out:].transpose(1, 2).reshape(len(output), -1, rows, columns)
    raise BackboneError(
        f"layer {name} gives {tuple(output.shape)}, which is no grid of an image of {height} x {width}; name a block, "
        "a stage or a norm within one"
    )
