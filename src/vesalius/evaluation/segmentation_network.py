"""A segmentation network whose encoder is a pretrained backbone of any family."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.errors import BackboneError, ConfigError
from vesalius.evaluation.encoder_maps import STRIDES, EncoderMaps, fitted

__all__ = ["SegmentationNetwork"]

_ATROUS = (6, 12, 18)
"""Of DeepLabv3 at a sixteenth of the resolution (Chen 2017, arXiv 1706.05587, section 4.1)."""

_FPN, _UNET = 128, (256, 128, 64, 32, 16)


class SegmentationNetwork(nn.Module):
    """Backbone and decoder, from normalised pixels to logits at the input's size.

    Its maps are those of `vesalius.evaluation.encoder_maps`.

    `fpn` and `unet` are segmentation-models-pytorch's decoders, `deeplabv3` and `fcn` torchvision's heads. These two
    read maps at a sixteenth of the resolution (a ViT's tokens, as DeepLabv3-DeiT of Matsoukas 2022) and beside them
    those at a thirty-second (tokens pooled), enlarged, where the originals widen the last stage's kernels.
    """

    def __init__(self, backbone: Backbone, decoder: str, classes: int, *, image_size: int) -> None:
        """Build the decoder, from torch's generator.

        Args:
            backbone: With stages.
            decoder: `fpn`, `unet`, `deeplabv3` or `fcn`.
            classes: With the background.
            image_size: Side of the input, px.

        Raises:
            BackboneError: A family without stages, or without maps that the decoder needs.
            ConfigError: segmentation-models-pytorch is not installed.
        """
        super().__init__()
        self.encoder = EncoderMaps(backbone, image_size=image_size)
        channels = [self.encoder.channels.get(one, 0) for one in STRIDES]
        self.decoder = _DECODERS[decoder](channels, classes, backbone.name).to(memory_format=torch.channels_last)

    @property
    def backbone(self) -> Backbone:
        """The encoder."""
        return self.encoder.backbone

    def forward(
        self, pixels: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Compute logits, the background first."""
        maps = self.encoder(pixels)
        height, width = pixels.shape[2:]
        # Decoders double grid after grid, so that sides of no multiple of 32 are stretched to the next one.
        rows, columns = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in (height, width))
        there = []
        for stride in STRIDES:
            grid = (rows // stride, columns // stride)
            there.append(fitted(maps[stride], grid) if stride in maps else pixels.new_zeros(len(pixels), 0, *grid))
        logits: Tensor = self.decoder(there)
        return functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)


class _Fpn(nn.Module):
    def __init__(self, channels: Sequence[int], classes: int, name: str) -> None:
        super().__init__()
        if not all(channels[1:]):
            raise BackboneError(
                f"{name}: decoder fpn needs maps at strides 4 to 32, its stages have {_there(channels)}"
            )
        made: Any = _smp("fpn.decoder").FPNDecoder
        self.decoder = made(list(channels), pyramid_channels=_FPN, segmentation_channels=_FPN)
        self.decoder.merge = _Sum()
        self.head = nn.Conv2d(_FPN, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.head(self.decoder(list(maps)))
        return out


class _Sum(nn.Module):
    """What segmentation-models-pytorch's merging by addition gives, without a stack of all maps first."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        first, *others = maps
        return sum(others, start=first)


class _Unet(nn.Module):
    def __init__(self, channels: Sequence[int], classes: int, name: str) -> None:
        super().__init__()
        if not channels[-1]:
            raise BackboneError(f"{name}: decoder unet needs a map at stride 32, its stages have {_there(channels)}")
        made: Any = _smp("unet.decoder").UnetDecoder
        # The pixels themselves are no skip connection there, so that their channels do not matter.
        self.decoder = made(encoder_channels=(1, *channels), decoder_channels=_UNET)
        self.head = nn.Conv2d(_UNET[-1], classes, 3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        rows, columns = maps[0].shape[2:]
        full = maps[0].new_empty(1, 1, 2 * rows, 2 * columns)  # its shape alone is asked for
        out: Tensor = self.head(self.decoder([full, *maps]))
        return out


class _Coarse(nn.Module):
    """torchvision's head on maps at a sixteenth of the resolution."""

    def __init__(self, channels: Sequence[int], classes: int, name: str, *, head: str) -> None:
        super().__init__()
        if not channels[3]:
            raise BackboneError(f"{name}: decoder {head} needs a map at stride 16, its stages have {_there(channels)}")
        from torchvision.models.segmentation.deeplabv3 import DeepLabHead
        from torchvision.models.segmentation.fcn import FCNHead

        self.coarser = channels[4] > 0
        width = channels[3] + channels[4]
        self.head = DeepLabHead(width, classes, _ATROUS) if head == "deeplabv3" else FCNHead(width, classes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        beside = [fitted(maps[4], tuple(maps[3].shape[2:]))] if self.coarser else []
        out: Tensor = self.head(torch.cat([maps[3], *beside], dim=1))
        return out


def _there(channels: Sequence[int]) -> str:
    return ", ".join(str(stride) for stride, count in zip(STRIDES, channels, strict=True) if count)


def _smp(module: str) -> Any:
    try:
        return importlib.import_module(f"segmentation_models_pytorch.decoders.{module}")
    except ImportError as error:
        raise ConfigError(
            f"decoders fpn and unet need a package that is not installed ({error.name}): "
            "pip install 'vesalius[segmentation]'"
        ) from error


def _deeplabv3(channels: Sequence[int], classes: int, name: str) -> nn.Module:
    return _Coarse(channels, classes, name, head="deeplabv3")


def _fcn(channels: Sequence[int], classes: int, name: str) -> nn.Module:
    return _Coarse(channels, classes, name, head="fcn")


_DECODERS: dict[str, Any] = {"fpn": _Fpn, "unet": _Unet, "deeplabv3": _deeplabv3, "fcn": _fcn}
