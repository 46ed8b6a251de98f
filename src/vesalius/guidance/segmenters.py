"""Segmenters by name: torchvision's DeepLabv3, and every model of segmentation-models-pytorch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, nearest

__all__ = ["SEGMENTERS", "build_segmenter", "check_segmenter"]

SEGMENTERS = ("deeplabv3_resnet101", "deeplabv3_resnet50")
"""Of torchvision; the first is MeDINO's (Miao 2022, section 3.2). `smp:ARCHITECTURE:ENCODER` names all others."""


class _DeepLab(nn.Module):
    """torchvision's DeepLabv3 (Chen 2017, arXiv 1706.05587) for one gray channel, its logits alone."""

    def __init__(self, name: str, *, classes: int, pretrained: bool) -> None:
        super().__init__()
        from torchvision.models import segmentation

        weights = "DEFAULT" if pretrained else None
        made: Any = getattr(segmentation, name)
        self.model = made(weights=None, weights_backbone=weights, num_classes=classes, aux_loss=False)
        first = self.model.backbone.conv1
        gray = nn.Conv2d(1, first.out_channels, kernel_size=7, stride=2, padding=3, bias=False)
        with torch.no_grad():
            # The sum, so that a gray image gives what it gave repeated three times.
            gray.weight.copy_(first.weight.sum(1, keepdim=True))
        self.model.backbone.conv1 = gray

    def forward(self, pixels: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch classes height width"]:
        logits: Tensor = self.model(pixels)["out"]
        return logits


def check_segmenter(name: str) -> None:
    """Refuse a segmenter that cannot be built.

    Raises:
        ConfigError: An unknown name, naming the nearest, or a package that is not installed.
    """
    if name in SEGMENTERS:
        return
    family, _, rest = name.partition(":")
    if family != "smp":
        raise ConfigError(
            f"no segmenter '{name}'; use {', '.join(SEGMENTERS)} or smp:ARCHITECTURE:ENCODER, for example "
            f"smp:unet:resnet18{nearest(name, (*SEGMENTERS, 'smp:unet:resnet18'))}"
        )
    architecture, _, encoder = rest.partition(":")
    smp = _smp(name)
    architectures = tuple(smp.MODEL_ARCHITECTURES_MAPPING)
    if architecture not in architectures:
        raise ConfigError(
            f"segmenter '{name}': no architecture '{architecture}'; use {', '.join(sorted(architectures))}"
            f"{nearest(architecture, architectures)}"
        )
    encoders = tuple(smp.encoders.get_encoder_names())
    if encoder not in encoders and not _of_timm(encoder):
        raise ConfigError(
            f"segmenter '{name}': no encoder '{encoder}'; use one of segmentation-models-pytorch, for example "
            f"resnet18, or tu-NAME for one of timm{nearest(encoder, encoders)}"
        )


def build_segmenter(name: str, *, classes: int, pretrained: bool = False) -> nn.Module:
    """Build a network from `[batch, 1, side, side]` (sides multiples of 32) to logits `[batch, classes, side, side]`.

    Args:
        name: One of `SEGMENTERS`, or `smp:ARCHITECTURE:ENCODER`.
        classes: With the background.
        pretrained: Download ImageNet weights of the encoder; its first layer is summed over the colours.

    Raises:
        ConfigError: See `check_segmenter`; or architecture and encoder do not go together, or weights that cannot be
            had.
    """
    check_segmenter(name)
    try:
        if name in SEGMENTERS:
            return _DeepLab(name, classes=classes, pretrained=pretrained)
        _, architecture, encoder = name.split(":")
        network: nn.Module = _smp(name).create_model(
            architecture,
            encoder_name=encoder,
            encoder_weights="imagenet" if pretrained else None,
            in_channels=1,
            classes=classes,
        )
    except OSError as error:
        raise ConfigError(
            f"segmenter '{name}': its pretrained weights cannot be had ({error}); train without --segmenter-pretrained"
        ) from error
    except (ValueError, KeyError, NotImplementedError, AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"segmenter '{name}' cannot be built for one gray channel: {error}; try another encoder, or "
            "smp:unet:resnet18"
        ) from error
    return network


def _smp(name: str) -> ModuleType:
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise ConfigError(
            f"segmenter '{name}' needs a package that is not installed ({error.name}): "
            "pip install 'vesalius[segmentation]'"
        ) from error


def _of_timm(encoder: str) -> bool:
    import timm

    return encoder.startswith("tu-") and timm.is_model(encoder.removeprefix("tu-"))
