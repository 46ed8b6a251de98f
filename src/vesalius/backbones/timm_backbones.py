"""Every timm model as a `Backbone`: ViT and DeiT with [CLS], Swin, ResNet, Inception and other feature maps."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vesalius.backbones.attention_capture import capture_cls_row
from vesalius.backbones.cache_slices import rows_in_cache
from vesalius.backbones.cls_alone import can_compute_cls_alone, compute_cls_alone
from vesalius.backbones.interface import Backbone, Pool, Preprocessing
from vesalius.backbones.weights import read_weights
from vesalius.config import StrictModel
from vesalius.errors import BackboneError, nearest
from vesalius.records.features import Features

__all__ = ["BackboneConfig", "TimmBackbone", "create_backbone"]

_OF_TRAINING = ("drop_path_rate", "patch_drop_rate")


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
        mean, std: Normalisation, one figure a channel; by default the pretrained weights' own, else 0.5 and 0.25.
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
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class TimmBackbone(Backbone):
    """A timm model behind the `Backbone` interface; `model` is the timm module itself."""

    def __init__(
        self,
        *,
        name: str,
        arguments: Mapping[str, Any],
        preprocessing: Preprocessing,
        pool: Literal["auto"] | Pool = "auto",
    ) -> None:
        """Build the architecture with random weights (see `create_backbone` for weights).

        Args:
            name: timm model name.
            arguments: Keyword arguments for `timm.create_model`, kept for the twin and for `config.json`.
            preprocessing: What belongs to the weights.
            pool: See `BackboneConfig`.

        Raises:
            BackboneError: An architecture that cannot be built so, or [CLS] asked of one without.
        """
        super().__init__()
        self.name, self.arguments, self.preprocessing = name, dict(arguments), preprocessing
        self.model = _create(name, arguments)
        self.feature_dim = int(self.model.num_features)
        self.prefix_tokens = int(getattr(self.model, "num_prefix_tokens", 0))
        self.has_cls = getattr(self.model, "cls_token", None) is not None
        self.attention_heads = int(self.model.blocks[-1].attn.num_heads) if self.has_cls else 0
        self.drops_patches = float(arguments.get("patch_drop_rate", 0.0)) > 0.0
        if pool in ("cls", "average") and not self.has_cls:
            raise BackboneError(f"pool = {pool}: {name} has no [CLS] token; use 'mean'")
        self.pool = pool if pool != "auto" else ("cls" if self.has_cls else "mean")
        embedding = getattr(self.model, "patch_embed", None)
        self.patch_size = int(embedding.patch_size[0]) if embedding is not None else None
        if embedding is None:
            # Convolutions in bf16 are a quarter faster with the channels innermost, on CPU and GPU.
            self.model = self.model.to(memory_format=torch.channels_last)
        self._channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        self._cls_alone = self.pool == "cls" and can_compute_cls_alone(self.model)

    def forward_features(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        patches: bool = True,
        attention: bool = False,
        stages: bool = False,
    ) -> Features:
        """Compute features; see `Backbone.forward_features`."""
        patches, attention = patches or self._always_patches, attention or self._always_attention
        if attention and not self.has_cls:
            raise BackboneError(f"{self.name} has no [CLS] token: its attention row cannot be given; use a ViT or DeiT")
        parts = []
        rows = rows_in_cache(self.model, x)
        for part in (x,) if rows == len(x) else torch.split(x, rows):
            features = self._with_stages(part) if stages else self._forward(part, patches=patches, attention=attention)
            parts.append(features if patches else replace(features, patches=None))
        return Features.joined(parts)

    def twin(self, *, drop_path: float = 0.0) -> TimmBackbone:
        """Build the same architecture afresh; see `Backbone.twin`."""
        arguments = self._lasting_arguments()
        if drop_path > 0.0:
            arguments["drop_path_rate"] = drop_path
        return TimmBackbone(name=self.name, arguments=arguments, preprocessing=self.preprocessing, pool=self.pool)

    def description(self) -> dict[str, Any]:
        """Return timm's `config.json` content with the preprocessing that belongs to the weights."""
        height, width = self.preprocessing.image_size
        channels = self.preprocessing.in_chans
        pretrained = {
            "input_size": [channels, height, width],
            "mean": list(self.preprocessing.mean),
            "std": list(self.preprocessing.std),
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "num_classes": 0,
            "first_conv": self.model.pretrained_cfg.get("first_conv"),
            "classifier": self.model.pretrained_cfg.get("classifier"),
        }
        return {
            "architecture": self.name.split(".")[0],
            "num_classes": 0,
            "num_features": self.feature_dim,
            "pretrained_cfg": pretrained,
            "model_args": self._lasting_arguments() | {"in_chans": channels, "num_classes": 0},
        }

    def _lasting_arguments(self) -> dict[str, Any]:
        """Return timm's arguments without what only the training of a student has."""
        return {key: value for key, value in self.arguments.items() if key not in _OF_TRAINING}

    def _forward(self, x: Tensor, *, patches: bool, attention: bool) -> Features:
        blocks: Any = getattr(self.model, "blocks", None)
        alone = self._cls_alone and not patches
        with contextlib.ExitStack() as stack:
            row = None
            if alone:
                row = stack.enter_context(compute_cls_alone(blocks[-1], self.prefix_tokens))
            elif attention:
                row = stack.enter_context(capture_cls_row(blocks[-1].attn, self.prefix_tokens))
            try:
                output = self.model.forward_features(x)
            except (AssertionError, RuntimeError) as error:
                raise BackboneError(f"{self.name} does not take input of {tuple(x.shape)}: {error}") from error
        seen = row.take() if row is not None and attention else None
        if alone:
            return Features(
                pooled=output[:, 0], patches=None, grid=self._token_grid(x, seen), cls=output[:, 0], attention=seen
            )
        return self._features(x, output, seen, ())

    def _features(self, x: Tensor, output: Tensor, attention: Tensor | None, stages: tuple[Tensor, ...]) -> Features:
        if output.ndim == 3:
            patches = output[:, self.prefix_tokens :]
            cls = output[:, 0] if self.has_cls else None
            return Features(
                pooled=self._pooled(cls, patches),
                patches=patches,
                grid=self._token_grid(x, patches.transpose(1, 2)),
                cls=cls,
                attention=attention,
                stages=stages,
            )
        if self._channels_last:
            output = output.permute(0, 3, 1, 2)
        grid = (int(output.shape[2]), int(output.shape[3]))
        return Features(
            pooled=output.mean(dim=(2, 3)), patches=output.flatten(2).transpose(1, 2), grid=grid, stages=stages
        )

    def _pooled(self, cls: Tensor | None, patches: Tensor) -> Tensor:
        if self.pool == "mean" or cls is None:
            return patches.mean(dim=1)
        return cls if self.pool == "cls" else 0.5 * (cls + patches.mean(dim=1))

    def _token_grid(self, x: Tensor, of_patches: Tensor | None) -> tuple[int, int]:
        size = self.patch_size or 1
        grid = -(-x.shape[2] // size), -(-x.shape[3] // size)
        if of_patches is not None and of_patches.shape[-1] < grid[0] * grid[1]:
            return 1, of_patches.shape[-1]  # a student in training leaves tokens out (`patch_drop`)
        return grid

    def _with_stages(self, x: Tensor) -> Features:
        try:
            output, maps = self.model.forward_intermediates(x, output_fmt="NCHW")
        except AttributeError as error:
            raise BackboneError(f"{self.name} does not offer its stages") from error
        return self._features(x, output, None, tuple(maps))


def create_backbone(config: BackboneConfig) -> TimmBackbone:
    """Build a backbone and load its weights.

    Raises:
        BackboneError: Unknown name (the nearest is named), unreadable or unfitting weights, or weights that would
            have to be downloaded where there is no network.
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
    if config.drop_path > 0.0 and family != "inception_v3":
        arguments["drop_path_rate"] = config.drop_path
    return arguments


def _preprocessing(config: BackboneConfig) -> Preprocessing:
    mean, std = config.mean, config.std
    if config.pretrained or config.weights is not None:
        published = timm.get_pretrained_cfg(config.name, allow_unregistered=True)
        mean = mean or (tuple(published.mean) if published is not None else None)
        std = std or (tuple(published.std) if published is not None else None)
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


def _create(name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return timm.create_model(name, **arguments)
    except (TypeError, RuntimeError, ValueError) as error:
        raise BackboneError(f"{name} cannot be built with {dict(arguments)}: {error}") from error


def _load_pretrained(backbone: TimmBackbone, state: dict[str, Tensor] | None, config: BackboneConfig) -> None:
    """Load published weights, or a given state dict, through timm's own filters (gray folding, position resize)."""
    overlay = {"state_dict": state} if state is not None else None
    origin = str(config.weights) if state is not None else "timm's published weights"
    try:
        source = timm.create_model(config.name, pretrained=True, pretrained_cfg_overlay=overlay, **_arguments(config))
    except Exception as error:  # the hub client raises a dozen unrelated types when it is offline
        raise BackboneError(
            f"{config.name}: {origin} could not be loaded ({type(error).__name__}: {error}). "
            "Without a network, name a local file by backbone.weights"
        ) from error
    with torch.no_grad():
        backbone.model.load_state_dict(source.state_dict())
