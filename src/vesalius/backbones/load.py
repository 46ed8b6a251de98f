"""Building a backbone again from what a run wrote of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from vesalius.backbones.interface import Preprocessing
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import read_description, read_weights
from vesalius.config import build
from vesalius.errors import BackboneError

__all__ = ["build_backbone", "load_backbone"]


def load_backbone(folder: Path) -> TimmBackbone:
    """Build the backbone of `RUN/backbone` with its weights, in evaluation mode.

    Raises:
        BackboneError: The folder is not one, or weights and description do not fit each other.
    """
    backbone = build_backbone(read_description(folder), source=Path(folder) / "config.json")
    try:
        with torch.no_grad():
            backbone.model.load_state_dict(read_weights(Path(folder)))
    except RuntimeError as error:
        raise BackboneError(f"{folder}: weights and config.json do not fit each other: {error}") from error
    return backbone.eval()


def build_backbone(description: Mapping[str, Any], *, source: Path) -> TimmBackbone:
    """Build the architecture that a description tells, with random weights.

    Args:
        description: See `vesalius.backbones.weights.describe`.
        source: The file that it was read from, for errors.

    Raises:
        BackboneError: It is incomplete, or names what timm does not have.
    """
    content = {key: value for key, value in description["vesalius"].items() if key != "pool"}
    preprocessing = build(Preprocessing, content, source=str(source))
    missing = {"model_args", "pool"} - {*description, *description["vesalius"]}
    if missing:
        raise BackboneError(
            f"{source.parent}: {source.name} lacks {sorted(missing)}; expected a backbone folder that a run wrote"
        )
    if not timm.is_model(description["architecture"]):
        raise BackboneError(
            f"{source.parent}: {source.name} names '{description['architecture']}', which timm does not have"
        )
    return TimmBackbone(
        name=description["architecture"],
        arguments=description["model_args"],
        preprocessing=preprocessing,
        pool=description["vesalius"]["pool"],
    )
