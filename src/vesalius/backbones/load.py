"""Opening a backbone folder that a run wrote."""

from __future__ import annotations

from pathlib import Path

import timm
import torch

from vesalius.backbones.interface import Preprocessing
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import read_description, read_weights
from vesalius.config import build
from vesalius.errors import BackboneError

__all__ = ["load_backbone"]


def load_backbone(folder: Path) -> TimmBackbone:
    """Build the backbone of `RUN/backbone` with its weights, in evaluation mode.

    Raises:
        BackboneError: The folder is not one, or weights and description do not fit each other.
    """
    description = read_description(folder)
    content = {key: value for key, value in description["vesalius"].items() if key != "pool"}
    preprocessing = build(Preprocessing, content, source=str(Path(folder) / "config.json"))
    missing = {"model_args", "pool"} - {*description, *description["vesalius"]}
    if missing:
        raise BackboneError(
            f"{folder}: config.json lacks {sorted(missing)}; expected a backbone folder that a run wrote"
        )
    if not timm.is_model(description["architecture"]):
        raise BackboneError(f"{folder}: config.json names '{description['architecture']}', which timm does not have")
    arguments = description["model_args"]
    backbone = TimmBackbone(
        name=description["architecture"],
        arguments=arguments,
        preprocessing=preprocessing,
        pool=description["vesalius"]["pool"],
    )
    try:
        with torch.no_grad():
            backbone.model.load_state_dict(read_weights(Path(folder)))
    except RuntimeError as error:
        raise BackboneError(f"{folder}: weights and config.json do not fit each other: {error}") from error
    return backbone.eval()
