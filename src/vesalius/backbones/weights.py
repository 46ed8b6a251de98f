"""Reading and writing a backbone's weights: safetensors and `config.json`, never a foreign pickle."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from vesalius.atomic import replace_text, replacing
from vesalius.backbones.interface import Backbone
from vesalius.errors import BackboneError

__all__ = ["describe", "read_description", "read_statistics", "read_weights", "save_backbone", "weights_fingerprint"]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file, a tensors-only PyTorch file, or a folder with `model.safetensors`.

    Raises:
        BackboneError: Missing or damaged file, or a PyTorch file that holds more than tensors.
    """
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise BackboneError(f"{file}: no such weights; expected a .safetensors or .pth file, or a backbone folder")
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BackboneError(
            f"{file}: not readable as weights ({error}). Only safetensors and PyTorch files of plain tensors are read"
        ) from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BackboneError(f"{file}: holds no state dict (a mapping of names to tensors)")
    return content


def save_backbone(backbone: Backbone, folder: Path, *, state: dict[str, Tensor], model_prefix: str = "model.") -> None:
    """Write `model.safetensors` and `config.json` so that `timm.create_model("local-dir:FOLDER")` opens them.

    Of ViTAEv2 timm knows the name where `vesalius.backbones.vitae_v2` is imported.

    Args:
        backbone: Gives the description.
        folder: Created; each file is replaced atomically.
        state: The backbone's state dict.
        model_prefix: What `Backbone` puts before timm's own names; it is cut off.
    """
    tensors = {
        key.removeprefix(model_prefix): value.detach().float().cpu().contiguous().clone()
        if value.is_floating_point()
        else value.detach().cpu().clone()
        for key, value in state.items()
    }
    with replacing(folder / "model.safetensors") as partial:
        safetensors.torch.save_file(tensors, partial, metadata={"format": "pt"})
    replace_text(folder / "config.json", json.dumps(describe(backbone), indent=2) + "\n")


def describe(backbone: Backbone) -> dict[str, Any]:
    """Tell what `config.json` holds: timm's own description, and beside it preprocessing and pooling."""
    own = backbone.preprocessing.model_dump(mode="json") | {"pool": backbone.pool}
    return backbone.description() | {"vesalius": own}


def read_description(folder: Path) -> dict[str, Any]:
    """Read a backbone folder's `config.json`.

    Raises:
        BackboneError: The file is missing or is not a vesalius backbone description.
    """
    file = Path(folder) / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{file}: not readable ({error}); expected a backbone folder that a run wrote") from error
    if not isinstance(content, dict) or "vesalius" not in content or "architecture" not in content:
        raise BackboneError(f"{file}: has no 'vesalius' section; expected a backbone folder that a run wrote")
    return content


def read_statistics(weights: Path) -> dict[str, tuple[float, ...]]:
    """Return `mean` and `std` that the `config.json` beside some weights tells, ours or timm's; empty without one.

    Raises:
        BackboneError: The file cannot be read.
    """
    file = (weights if weights.is_dir() else weights.parent) / "config.json"
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        told = content.get("vesalius") or content.get("pretrained_cfg") or {}
        return {key: tuple(float(one) for one in told[key]) for key in ("mean", "std") if told.get(key)}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"{file}: not readable ({error}); copy it again, or remove it and set backbone.mean and backbone.std"
        ) from error


def weights_fingerprint(folder: Path) -> str:
    """Return the sha256 of the folder's weights, the first 16 hex digits."""
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()[:16]
