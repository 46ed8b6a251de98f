"""From a recipe's `backbone` section to a backbone with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import timm
import torch
from pydantic import Field
from torch import Tensor

from vesalius.backbones.interface import Pool, Preprocessing
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import read_statistics, read_weights
from vesalius.config import StrictModel
from vesalius.errors import BackboneError, nearest

__all__ = ["BackboneConfig", "create_backbone"]


_SEED = 0x7665  # of weights that are only compared with; no training is seeded so


class BackboneConfig(StrictModel):
    """Which backbone, for what input, from which weights.

    Attributes:
        name: A timm model name, for example `vit_tiny_patch16_224`, `swin_tiny_patch4_window7_224`, `resnet18`.
        image_size: Side of the square input the weights are made for; the family decides which others it admits.
        in_chans: 1 or 3; pretrained patch embeddings are folded to gray by summing.
        pretrained: Load timm's weights for the name (needs the network or timm's cache).
        weights: A local weights file (safetensors, or a PyTorch file that holds tensors only) or backbone folder.
        init: `timm` (the library's own) or `xavier` (plain ViTs; linear layers as in Glorot 2010 and JAX's ViT): a
            narrow ViT starts with features that tell images apart better, which short trainings need.
        pool: The vector that the method trains: `cls` ([CLS], as in DINO), `mean` (mean patch) or `average` of the two,
            which reaches every token from the first step on; `auto` is [CLS] where there is one.
        drop_path: Stochastic depth of the student; the teacher has none.
        patch_drop: Share of the patch tokens that a ViT leaves out while it trains, drawn anew for every image; the
            teacher and every later use see all. Half of the tokens is nearly half of the student's cost.
        arguments: Further arguments of the timm model, as its own documentation names them (`{patch_size: 8}`, of
            ViTAEv2 `{pyramid: false}`).
        mean, std: Normalisation, one figure a channel; by default the weights' own (of a folder's `config.json`, else
            as timm publishes them for the name), without weights 0.5 and 0.25.
    """

    name: str = "vit_small_patch16_224"
    image_size: int = 224
    in_chans: int = 1
    pretrained: bool = False
    weights: Path | None = None
    init: Literal["timm", "xavier"] = "timm"
    pool: Literal["auto"] | Pool = "auto"
    drop_path: float = 0.1
    patch_drop: float = Field(default=0.0, ge=0, lt=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def create_backbone(config: BackboneConfig) -> TimmBackbone:
    """Build a backbone and load its weights.

    Raises:
        BackboneError: Unknown name (the nearest is named) or argument, unreadable or unfitting weights, or weights that
            would have to be downloaded where there is no network.
    """
    name = config.name
    if not timm.is_model(name.split(".")[0]):
        raise BackboneError(f"unknown backbone '{name}'{nearest(name, timm.list_models())}")
    if config.in_chans not in (1, 3):
        raise BackboneError(f"in_chans = {config.in_chans}: a backbone takes 1 (gray) or 3 channels")
    state = read_weights(config.weights) if config.weights is not None else None
    backbone = TimmBackbone(
        name=name, arguments=_arguments(config), preprocessing=_preprocessing(config), pool=config.pool
    )
    if config.pretrained or state is not None:
        _load_pretrained(backbone, state, config)
    return backbone


def _arguments(config: BackboneConfig) -> dict[str, Any]:
    """Choose what the family needs so that it takes any input size."""
    arguments: dict[str, Any] = {"in_chans": config.in_chans, "num_classes": 0}
    family = timm.models.model_entrypoint(config.name).__module__.rsplit(".", 1)[-1]
    if family in ("vision_transformer", "deit"):
        arguments |= {"img_size": config.image_size, "dynamic_img_size": True, "dynamic_img_pad": True}
        if config.init == "xavier":
            arguments["weight_init"] = "jax"
        if config.patch_drop > 0.0:
            arguments["patch_drop_rate"] = config.patch_drop
    elif config.patch_drop > 0.0:
        raise BackboneError(f"patch_drop = {config.patch_drop}: only plain ViTs leave tokens out, {config.name} cannot")
    elif config.init != "timm":
        raise BackboneError(f"init = {config.init} is for plain ViTs; {config.name} keeps timm's own")
    elif family == "swin_transformer":
        arguments |= {"img_size": config.image_size, "dynamic_img_size": True}
    if family == "swin_transformer" or (config.drop_path > 0.0 and family != "inception_v3"):
        arguments["drop_path_rate"] = config.drop_path  # of a Swin 0 as well: timm's own default is .1
    own = sorted(arguments.keys() & config.arguments.keys())
    if own:
        raise BackboneError(f"backbone.arguments may not set {own}: the recipe's own keys of the backbone do")
    return arguments | config.arguments


def _preprocessing(config: BackboneConfig) -> Preprocessing:
    mean, std = config.mean, config.std
    if config.pretrained or config.weights is not None:
        published = timm.get_pretrained_cfg(config.name, allow_unregistered=True)
        own = read_statistics(config.weights) if config.weights is not None else {}
        mean = mean or own.get("mean") or (tuple(published.mean) if published is not None else None)
        std = std or own.get("std") or (tuple(published.std) if published is not None else None)
    size = (config.image_size, config.image_size)
    return Preprocessing(
        image_size=size,
        in_chans=config.in_chans,
        mean=_for_channels(mean or (0.5,), config.in_chans, "mean"),
        std=_for_channels(std or (0.25,), config.in_chans, "std"),
    )


def _for_channels(values: tuple[float, ...], channels: int, what: str) -> tuple[float, ...]:
    """Fit published colour statistics to the channels: averaged for gray, repeated for colour."""
    if len(values) == channels:
        return values
    if channels == 1:
        return (sum(values) / len(values),)
    if len(values) == 1:
        return values * channels
    raise BackboneError(f"{what} has {len(values)} figures for {channels} channels")


def _load_pretrained(backbone: TimmBackbone, state: dict[str, Tensor] | None, config: BackboneConfig) -> None:
    """Load published weights, or a given state dict, through timm's own filters (gray folding, position resize)."""
    overlay = {"state_dict": state} if state is not None else None
    origin = str(config.weights) if state is not None else "timm's published weights"
    try:
        source = _from_seed(config, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # the hub client raises a dozen unrelated types when it is offline
        raise BackboneError(
            f"{config.name}: {origin} could not be loaded ({type(error).__name__}: {error}). "
            "Without a network, name a local file by backbone.weights"
        ) from error
    # timm tells nobody of names that do not match: what the same seed gives without weights was not loaded.
    unloaded = _from_seed(config, pretrained=False).parameters()
    pairs = zip(source.named_parameters(), unloaded, strict=True)
    missing = [name for (name, one), other in pairs if one.ndim > 1 and torch.equal(one, other)]
    if missing:
        there = f"; they are named {', '.join(list(state)[:3])}, ..." if state else ""
        raise BackboneError(
            f"{origin}: no weights in it for {len(missing)} parts of {config.name} ({', '.join(missing[:3])}, ...)"
            f"{there}. Of a run, name its folder `backbone`"
        )
    with torch.no_grad():
        backbone.model.load_state_dict(source.state_dict())


def _from_seed(config: BackboneConfig, **how: Any) -> Any:
    """Build the timm model from random weights that are always the same, and leave the random numbers as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return timm.create_model(config.name, **_arguments(config), **how)
