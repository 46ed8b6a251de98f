"""Mask R-CNN on a feature pyramid, whose backbone is a pretrained one of any family."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import initLevelMapper

from vesalius.backbones.interface import Backbone
from vesalius.errors import BackboneError
from vesalius.evaluation.encoder_maps import STRIDES, EncoderMaps, fitted

__all__ = ["detection_network"]

_WIDTH, _LEARNED_FROM = 256, 512
_LEVELS, _FINEST = STRIDES[1:], 2
"""Strides of the maps; the finest is 2 to the power of 2."""


class _PyramidBackbone(nn.Module):
    """Maps at strides 4 to 32 as torchvision's detectors want them: by name, all of one width."""

    out_channels = _WIDTH

    def __init__(self, backbone: Backbone, *, size: int, bf16: bool) -> None:
        super().__init__()
        self.encoder = EncoderMaps(backbone, image_size=size)
        missing = [stride for stride in _LEVELS if stride not in self.encoder.channels]
        if missing:
            raise BackboneError(
                f"{backbone.name}: detection needs maps at strides 4 to 32; there is none at "
                f"{', '.join(str(stride) for stride in missing)} for an input of {size} px"
            )
        widths = [self.encoder.channels[stride] for stride in _LEVELS]
        self.fpn = FeaturePyramidNetwork(widths, _WIDTH, extra_blocks=LastLevelMaxPool())
        self._bf16 = bf16

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            maps = self.encoder(pixels)
            rows, columns = pixels.shape[2:]
            grids = {stride: (rows // stride, columns // stride) for stride in _LEVELS}  # patches of 14 px have others
            levels = OrderedDict((str(at), fitted(maps[stride], grids[stride])) for at, stride in enumerate(_LEVELS))
            found: dict[str, Tensor] = self.fpn(levels)
        return {name: one.float() for name, one in found.items()}


def detection_network(
    backbone: Backbone, classes: int, *, size: int, proposals: int = 1000, bf16: bool = False
) -> nn.Module:
    """Build Mask R-CNN (He 2017, arXiv 1703.06870) with torchvision's heads, drawn from torch's generator.

    It takes images of any size in [0, 1], in the backbone's channels; the longer side is brought to `size`.

    Args:
        backbone: With stages; it becomes part of the network.
        classes: Without the background.
        size: Side of the square that the backbone sees, px, a multiple of 32.
        proposals: Regions an image that the heads look at; twice as many are proposed in training, of which 512 at most
            are learned from.
        bf16: Compute backbone and pyramid in bfloat16.

    Raises:
        BackboneError: A family without stages, or without maps at strides 4 to 32.
    """
    about = backbone.preprocessing
    pyramid: Any = _PyramidBackbone(backbone, size=size, bf16=bf16)
    network: Any = MaskRCNN(
        pyramid,
        num_classes=classes + 1,
        min_size=size,
        max_size=size,
        size_divisible=size,  # so that every batch is a square of this side, as windows and position embeddings want
        rpn_post_nms_top_n_train=2 * proposals,
        rpn_post_nms_top_n_test=proposals,
        box_batch_size_per_image=min(_LEARNED_FROM, proposals),
        image_mean=list(about.mean),
        image_std=list(about.std),
    )
    # By itself torchvision guesses the strides from the first images' own sides, without what pads them to a square.
    for pool in (network.roi_heads.box_roi_pool, network.roi_heads.mask_roi_pool):
        pool.scales = [1 / stride for stride in _LEVELS]
        pool.map_levels = initLevelMapper(_FINEST, _FINEST + len(_LEVELS) - 1)
    built: nn.Module = network
    return built
