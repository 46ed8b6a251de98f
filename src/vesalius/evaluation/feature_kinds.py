"""Kinds of frozen features: how what a backbone makes of an image becomes the one vector that a probe sees.

A kind is one or several pieces, joined by `+` and laid side by side in that order:

- `cls`: the [CLS] token (DINO's k-NN protocol).
- `mean`: the mean patch token.
- `heads`: for every head of the last block, the patch tokens averaged by its [CLS] attention. Where heads are guided to
  parts of the anatomy, these are the features of the parts.
- `grid`: the patch tokens averaged in 4 x 4 cells of the image, row by row. It keeps where things are, as raw pixels do
  and as the other pieces do not; images that stand alike (chest X-rays) can use it.

Every arm of an evaluation is given the same kind, the untrained network included.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.errors import BackboneError, ConfigError, nearest
from vesalius.records.features import Features

__all__ = ["FEATURE_PIECES", "asked_of_backbone", "choose_kind", "pool_features"]

FEATURE_PIECES = ("cls", "mean", "heads", "grid")

_CELLS = 4  # a side


def choose_kind(backbone: Backbone, kind: str) -> str:
    """Resolve `auto` ([CLS] and mean patch where there is a [CLS] token, else the mean) and check any other kind.

    Raises:
        ConfigError: Unknown piece, or one twice.
        BackboneError: [CLS] or heads asked of a backbone without them.
    """
    if kind == "auto":
        return "cls+mean" if backbone.has_cls else "mean"
    pieces = kind.split("+")
    for piece in pieces:
        if piece not in FEATURE_PIECES:
            raise ConfigError(
                f"unknown features '{piece}'{nearest(piece, FEATURE_PIECES)}; known: auto, or "
                f"{', '.join(FEATURE_PIECES)}, joined by '+'"
            )
    if len(set(pieces)) < len(pieces):
        raise ConfigError(f"features '{kind}' name a piece twice")
    if "cls" in pieces and not backbone.has_cls:
        raise BackboneError(f"{backbone.name} has no [CLS] token; use features='mean'")
    if "heads" in pieces and not backbone.attention_heads:
        raise BackboneError(f"{backbone.name} has no heads with a [CLS] row; use features='mean' or 'grid'")
    return kind


def asked_of_backbone(kind: str) -> dict[str, bool]:
    """Return what `Backbone.forward_features` has to give for a kind."""
    return {"patches": kind != "cls", "attention": "heads" in kind.split("+")}


def pool_features(features: Features, kind: str) -> Float[Tensor, "batch width"]:
    """Return the vector of each image in fp32; `kind` is one that `choose_kind` returned.

    Raises:
        BackboneError: The features do not carry what the kind takes.
    """
    return torch.cat([_piece(features, piece) for piece in kind.split("+")], dim=1)


def _piece(features: Features, piece: str) -> Float[Tensor, "batch width"]:
    if piece == "cls":
        return _there(features.cls, "[CLS] token")
    patches = _there(features.patches, "patch tokens")
    if piece == "mean":
        return patches.mean(dim=1)
    if piece == "heads":
        attention = _there(features.attention, "attention rows")
        shares = attention / attention.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        return (shares @ patches).flatten(1)
    rows, columns = features.grid
    cells = (min(_CELLS, rows), min(_CELLS, columns))
    square = patches.transpose(1, 2).reshape(len(patches), -1, rows, columns)
    return functional.adaptive_avg_pool2d(square, cells).permute(0, 2, 3, 1).flatten(1)


def _there(tensor: Tensor | None, what: str) -> Tensor:
    if tensor is None:
        raise BackboneError(f"these features carry no {what}")
    return tensor.float()
