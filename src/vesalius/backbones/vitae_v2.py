"""ViTAEv2: convolutions inside and beside the attention of every cell (Zhang et al. 2022, arXiv 2202.10108).

Importing this module makes `vitae_v2_small` and `vitae_v2_half` names that `timm.create_model` knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from timm.layers.attention import Attention
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from vesalius.backbones.windows import attend_in_windows

__all__ = ["NormalCell", "ReductionCell", "Stage", "VitaeV2", "vitae_v2_half", "vitae_v2_small"]

Maps = Float[Tensor, "batch channels height width"]
Coarser = Float[Tensor, "batch out rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One row of the table of ViTAEv2-S.

    Attributes:
        kernel, stride, dilations: Of the reduction cell's pyramid of convolutions.
        embed: E, channels of each of them.
        width: T, channels of the stage.
        depth: Normal cells.
        heads: Of attention, in the reduction cell and in the normal ones.
        groups: Of the parallel convolutions, in the reduction cell and in the normal ones.
        window: Side of the windows that attention is kept to; None for all tokens.
    """

    kernel: int
    stride: int
    dilations: tuple[int, ...]
    embed: int
    width: int
    depth: int
    heads: tuple[int, int]
    groups: tuple[int, int]
    window: int | None


_SMALL = (
    Stage(
        kernel=7, stride=4, dilations=(1, 2, 3, 4), embed=64, width=64, depth=2, heads=(1, 1), groups=(1, 1), window=7
    ),
    Stage(
        kernel=3, stride=2, dilations=(1, 2, 3), embed=64, width=128, depth=2, heads=(1, 2), groups=(16, 32), window=7
    ),
    Stage(
        kernel=3, stride=2, dilations=(1, 2), embed=128, width=256, depth=8, heads=(2, 4), groups=(32, 64), window=None
    ),
    Stage(
        kernel=3, stride=2, dilations=(1, 2), embed=256, width=512, depth=2, heads=(4, 8), groups=(64, 128), window=None
    ),
)
_HALF = (
    Stage(
        kernel=7, stride=4, dilations=(1, 2, 3, 4), embed=32, width=32, depth=2, heads=(1, 1), groups=(1, 1), window=7
    ),
    Stage(kernel=3, stride=2, dilations=(1, 2, 3), embed=32, width=64, depth=2, heads=(1, 1), groups=(8, 16), window=7),
    Stage(
        kernel=3, stride=2, dilations=(1, 2), embed=64, width=128, depth=8, heads=(1, 2), groups=(16, 32), window=None
    ),
    Stage(
        kernel=3, stride=2, dilations=(1, 2), embed=128, width=256, depth=2, heads=(2, 4), groups=(32, 64), window=None
    ),
)

_CFG = {
    "url": "",  # no weights are published under a licence that allows to hand them on
    "input_size": (3, 224, 224),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "num_classes": 1000,
    "first_conv": (*(f"stages.0.0.pyramid.{place}" for place in range(4)), "stages.0.0.convolutions.0"),
    "classifier": "head",
}
default_cfgs = generate_default_cfgs({"vitae_v2_small": _CFG, "vitae_v2_half": _CFG})


class VitaeV2(nn.Module):
    """Four stages of one reduction cell and some normal cells; no position embedding, no [CLS], no final norm.

    Args:
        stages: From fine to coarse.
        in_chans: Channels of the image.
        num_classes: Outputs of the classifier on the global mean; 0 for none.
        drop_path_rate: Stochastic depth of the last cell, rising evenly from 0 at the first.
        pyramid: Whether a reduction cell looks at several scales by dilated convolutions; without, one convolution of
            as many channels.
        parallel: Whether convolutions stand beside attention in every cell.
        mlp_ratio: Width of the normal cells' MLPs over the stage's; more than 4 makes up for parameters left out.

    Example:
        >>> vitae_v2_half(in_chans=1, num_classes=0)(torch.randn(2, 1, 96, 96)).shape
        torch.Size([2, 256])
    """

    output_fmt = "NCHW"

    def __init__(
        self,
        stages: Sequence[Stage] = _SMALL,
        *,
        in_chans: int = 3,
        num_classes: int = 1000,
        drop_path_rate: float = 0.0,
        pyramid: bool = True,
        parallel: bool = True,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        normal: dict[str, Any] = {"parallel": parallel, "mlp_ratio": mlp_ratio}
        cells = sum(1 + stage.depth for stage in stages)
        rates = iter(torch.linspace(0.0, drop_path_rate, cells).tolist())
        self.num_features = stages[-1].width
        self.num_classes, self.stride = num_classes, stages[0].stride
        reductions = [math.prod(stage.stride for stage in stages[: place + 1]) for place in range(len(stages))]
        self.feature_info = [
            {"num_chs": stage.width, "reduction": reduction, "module": f"stages.{place}"}
            for place, (stage, reduction) in enumerate(zip(stages, reductions, strict=True))
        ]
        widths = [in_chans, *(stage.width for stage in stages)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                ReductionCell(stage, width, drop_path=next(rates), pyramid=pyramid, parallel=parallel),
                *(NormalCell(stage, drop_path=next(rates), **normal) for _ in range(stage.depth)),
            )
            for stage, width in zip(stages, widths, strict=False)
        )
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.apply(_init)

    def forward_features(self, x: Maps) -> Coarser:
        """Return the last stage's map, 1/32 of the height and width (rounded up), of an image of any size."""
        out: Tensor = self.forward_intermediates(x)[0]
        return out

    def forward_head(self, x: Maps, pre_logits: bool = False) -> Float[Tensor, "batch out"]:
        """Average over the map and classify."""
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x: Maps) -> Float[Tensor, "batch out"]:
        """Compute the classes, or the global mean where there are none."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Maps,
        indices: Sequence[int] | None = None,
        *,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> tuple[Coarser, list[Tensor]] | list[Tensor]:
        """Return the last map and those of the stages asked for (all), fine to coarse, as timm's models do."""
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt = {output_fmt}: ViTAEv2 gives maps as NCHW alone")
        wanted, last = feature_take_indices(len(self.stages), None if indices is None else list(indices))
        # Later strides of 2 round up in every branch alike; the first one needs whole steps.
        x = nn.functional.pad(x, (0, -x.shape[3] % self.stride, 0, -x.shape[2] % self.stride))
        maps = []
        for place, stage in enumerate(self.stages):
            x = stage(x)
            if place in wanted:
                maps.append(x)
            if stop_early and place == last:
                break
        return maps if intermediates_only else (x, maps)


class ReductionCell(nn.Module):
    """Shrinks the map: y = Attention(LN(pyramid)) + convolutions(input), then y + MLP(LN y).

    The pyramid is one dilated convolution a dilation, each through GELU, laid side by side. Nothing skips the cell.
    """

    def __init__(
        self, stage: Stage, channels: int, *, drop_path: float = 0.0, pyramid: bool = True, parallel: bool = True
    ) -> None:
        """Build the cell for a map of `channels`; see `VitaeV2` for the options."""
        super().__init__()
        scales, embed = (stage.dilations, stage.embed) if pyramid else ((1,), stage.embed * len(stage.dilations))
        self.pyramid = nn.ModuleList(
            nn.Conv2d(
                channels,
                embed,
                stage.kernel,
                stage.stride,
                padding=math.ceil(((stage.kernel - 1) * scale + 1 - stage.stride) / 2),
                dilation=scale,
            )
            for scale in scales
        )
        self.act = nn.GELU()
        dim, width, heads = embed * len(scales), stage.width, stage.heads[0]
        self.window = stage.window
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, attn_head_dim=width // heads, dim_out=width, qkv_bias=True)
        strides = (2, 2, 1) if stage.stride == 4 else (stage.stride, 1, 1)
        widths = (channels, stage.embed, stage.embed, width)
        self.convolutions = _convolutions(widths, strides, stage.groups[0]) if parallel else None
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Maps) -> Coarser:
        """Return the map of the next stage."""
        scales = torch.cat([self.act(one(x)) for one in self.pyramid], dim=1)
        grid = (scales.shape[2], scales.shape[3])
        y = attend_in_windows(self.attn, self.norm1(_tokens(scales)), grid, self.window)
        if self.convolutions is not None:  # alone, the attention is all that the next stage sees: it is never dropped
            y = self.drop_path(y) + _tokens(self.convolutions(x))
        return _maps(y + self.drop_path(self.mlp(self.norm2(y))), grid)


class NormalCell(nn.Module):
    """Keeps the map's size: y = x + Attention(LN x) + convolutions(x), then y + MLP(LN y)."""

    def __init__(self, stage: Stage, *, drop_path: float = 0.0, parallel: bool = True, mlp_ratio: float = 4.0) -> None:
        """Build a cell of the stage."""
        super().__init__()
        width = stage.width
        self.window = stage.window
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, stage.heads[1], qkv_bias=True)
        widths = (width, 4 * width, width, width)
        self.convolutions = _convolutions(widths, (1, 1, 1), stage.groups[1]) if parallel else None
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(mlp_ratio * width))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Maps) -> Maps:
        """Return a map of the same size."""
        grid = (x.shape[2], x.shape[3])
        tokens = _tokens(x)
        beside = self.drop_path(attend_in_windows(self.attn, self.norm1(tokens), grid, self.window))
        if self.convolutions is not None:
            beside = beside + self.drop_path(_tokens(self.convolutions(x)))
        y = tokens + beside
        return _maps(y + self.drop_path(self.mlp(self.norm2(y))), grid)


def _convolutions(widths: tuple[int, ...], strides: tuple[int, ...], groups: int) -> nn.Sequential:
    """Three 3 x 3 convolutions, batch norm and SiLU after the first two."""
    modules: list[nn.Module] = []
    for place, stride in enumerate(strides):
        modules.append(nn.Conv2d(widths[place], widths[place + 1], 3, stride, padding=1, groups=groups))
        if place < 2:
            modules += [nn.BatchNorm2d(widths[place + 1]), nn.SiLU()]
    return nn.Sequential(*modules)


def _tokens(maps: Maps) -> Float[Tensor, "batch tokens channels"]:
    return maps.flatten(2).transpose(1, 2)


def _maps(tokens: Float[Tensor, "batch tokens channels"], grid: tuple[int, int]) -> Maps:
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@register_model
def vitae_v2_small(pretrained: bool = False, **arguments: Any) -> VitaeV2:
    """ViTAEv2-S: 18.84 M parameters without its classifier."""
    return _build("vitae_v2_small", _SMALL, pretrained, arguments)


@register_model
def vitae_v2_half(pretrained: bool = False, **arguments: Any) -> VitaeV2:
    """ViTAEv2-S at half of every width, 5.0 M parameters; not published by its authors, made for work on CPUs."""
    return _build("vitae_v2_half", _HALF, pretrained, arguments)


def _build(name: str, stages: Sequence[Stage], pretrained: bool, arguments: dict[str, Any]) -> VitaeV2:
    # timm reads weights (files, folders), folds their first convolutions to gray, and drops the classifier.
    model: VitaeV2 = build_model_with_cfg(VitaeV2, name, pretrained, stages=stages, **arguments)
    return model
