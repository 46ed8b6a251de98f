"""Every timm model as a `Backbone`: ViT and DeiT with [CLS], Swin, ResNet, ViTAEv2 and other feature maps."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import timm
import torch
from jaxtyping import Float
from timm.layers.attention import Attention
from torch import Tensor

import vesalius.backbones.vitae_v2  # noqa: F401 (makes its names known to timm)
from vesalius.backbones.attention_capture import capture_cls_row, capture_input
from vesalius.backbones.cache_slices import rows_in_cache
from vesalius.backbones.cls_alone import can_compute_cls_alone, compute_cls_alone
from vesalius.backbones.explicit_attention import ExplicitAttention
from vesalius.backbones.interface import Backbone, Pool, Preprocessing
from vesalius.backbones.patch_drop import PatchDrop
from vesalius.devices import out_of_memory
from vesalius.errors import BackboneError
from vesalius.records.features import Features

__all__ = ["TimmBackbone"]

_OF_TRAINING = ("drop_path_rate", "patch_drop_rate")


class TimmBackbone(Backbone):
    """A timm model behind the `Backbone` interface.

    Attributes:
        model: The timm module itself.
        prefix_tokens: How many tokens stand before the patches ([CLS], distillation, registers).
        channels_last: Whether its maps are `[batch, rows, columns, channels]` inside, as Swin's.
    """

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
        last: Any = getattr(self.model.blocks[-1], "attn", None) if self.has_cls else None
        self.attention_heads = int(last.num_heads) if type(last) in (Attention, ExplicitAttention) else 0
        left_out = float(arguments.get("patch_drop_rate", 0.0))
        if left_out > 0.0:
            self.model.patch_drop = PatchDrop(left_out, self.prefix_tokens)
        if pool in ("cls", "average") and not self.has_cls:
            raise BackboneError(f"pool = {pool}: {name} has no [CLS] token; use 'mean'")
        self.pool = pool if pool != "auto" else ("cls" if self.has_cls else "mean")
        embedding = getattr(self.model, "patch_embed", None)
        self.patch_size = int(embedding.patch_size[0]) if embedding is not None else None
        if embedding is None:
            # Convolutions in bf16 are a quarter faster with the channels innermost, on CPU and GPU.
            self.model = self.model.to(memory_format=torch.channels_last)
        self.channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        self.has_inner = embedding is not None and isinstance(getattr(self.model, "blocks", None), torch.nn.Sequential)
        self.cls_alone = self.pool == "cls" and can_compute_cls_alone(self.model)

    def forward_features(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        patches: bool = True,
        attention: bool = False,
        inner: bool = False,
        stages: bool = False,
    ) -> Features:
        """Compute features; see `Backbone.forward_features`."""
        patches, attention = patches or self._always_patches, attention or self._always_attention
        inner = inner or self._always_inner
        if inner and not self.has_inner:
            raise BackboneError(
                f"{self.name} has no last block of tokens, so that nothing enters it; use a ViT or DeiT"
            )
        if attention and not self.attention_heads:
            raise BackboneError(f"{self.why_no_attention}: its attention row cannot be given; use a plain ViT or DeiT")
        parts = []
        rows = rows_in_cache(self.model, x)
        for part in (x,) if rows == len(x) else torch.split(x, rows):
            features = (
                self._with_stages(part)
                if stages
                else self._forward(part, patches=patches, attention=attention, inner=inner)
            )
            parts.append(features if patches else replace(features, patches=None))
        return Features.joined(parts)

    def forward_stage(
        self, x: Float[Tensor, "batch channels height width"], stage: int
    ) -> Float[Tensor, "batch dim rows columns"]:
        """Compute the map of one stage; see `Backbone.forward_stage`."""
        take = getattr(self.model, "forward_intermediates", None)
        if take is None:
            raise BackboneError(f"{self.name} does not offer its stages")
        rows = rows_in_cache(self.model, x)
        options: dict[str, Any] = {"stop_early": True, "intermediates_only": True, "output_fmt": "NCHW"}
        try:
            maps = [take(part, indices=[stage], **options)[0] for part in torch.split(x, rows)]
        except (AssertionError, IndexError) as error:
            raise BackboneError(f"{self.name} has no stage {stage}: {error}") from error
        return torch.cat(maps)

    def freeze_patch_embedding(self) -> None:
        """Stop the gradients of the patch embedding; see `Backbone.freeze_patch_embedding`."""
        embedding = getattr(self.model, "patch_embed", None)
        if embedding is not None:
            embedding.proj.requires_grad_(False)

    def twin(self, *, drop_path: float = 0.0) -> TimmBackbone:
        """Build the same architecture afresh; see `Backbone.twin`."""
        arguments = self._lasting_arguments()
        if drop_path > 0.0 or "drop_path_rate" in self.arguments:
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

    def _forward(self, x: Tensor, *, patches: bool, attention: bool, inner: bool) -> Features:
        blocks: Any = getattr(self.model, "blocks", None)
        alone = self.cls_alone and not patches
        with contextlib.ExitStack() as stack:
            row = None
            entering = stack.enter_context(capture_input(blocks[-1], self.prefix_tokens)) if inner else None
            if alone:
                row = stack.enter_context(compute_cls_alone(blocks[-1], self.prefix_tokens))
            elif attention:
                row = stack.enter_context(capture_cls_row(blocks[-1].attn, self.prefix_tokens))
            try:
                output = self.model.forward_features(x)
            except (AssertionError, RuntimeError) as error:
                if out_of_memory(error):
                    raise
                raise BackboneError(f"{self.name} does not take input of {tuple(x.shape)}: {error}") from error
        seen = row.take() if row is not None and attention else None
        within = entering.take() if entering is not None else None
        if alone:
            return Features(
                pooled=output[:, 0],
                patches=None,
                grid=self._token_grid(x),
                cls=output[:, 0],
                attention=seen,
                inner=within,
                kept=self._kept(),
            )
        return replace(self._features(x, output, seen, ()), inner=within)

    def _features(self, x: Tensor, output: Tensor, attention: Tensor | None, stages: tuple[Tensor, ...]) -> Features:
        if output.ndim == 3:
            patches = output[:, self.prefix_tokens :]
            cls = output[:, 0] if self.has_cls else None
            return Features(
                pooled=self._pooled(cls, patches),
                patches=patches,
                grid=self._token_grid(x),
                cls=cls,
                attention=attention,
                stages=stages,
                kept=self._kept(),
            )
        if self.channels_last:
            output = output.permute(0, 3, 1, 2)
        grid = (int(output.shape[2]), int(output.shape[3]))
        return Features(
            pooled=output.mean(dim=(2, 3)), patches=output.flatten(2).transpose(1, 2), grid=grid, stages=stages
        )

    def _pooled(self, cls: Tensor | None, patches: Tensor) -> Tensor:
        if self.pool == "mean" or cls is None:
            return patches.mean(dim=1)
        return cls if self.pool == "cls" else 0.5 * (cls + patches.mean(dim=1))

    def _token_grid(self, x: Tensor) -> tuple[int, int]:
        size = self.patch_size or 1
        return -(-x.shape[2] // size), -(-x.shape[3] // size)

    def _kept(self) -> Tensor | None:
        dropping = getattr(self.model, "patch_drop", None)
        return dropping.kept if isinstance(dropping, PatchDrop) else None

    def _with_stages(self, x: Tensor) -> Features:
        try:
            output, maps = self.model.forward_intermediates(x, output_fmt="NCHW")
        except AttributeError as error:
            raise BackboneError(f"{self.name} does not offer its stages") from error
        return self._features(x, output, None, tuple(maps))


def _create(name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return timm.create_model(name, **arguments)
    except (TypeError, RuntimeError, ValueError) as error:
        raise BackboneError(f"{name} cannot be built with {dict(arguments)}: {error}") from error
