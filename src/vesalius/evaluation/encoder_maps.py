"""Maps of a backbone of any family at strides 4 to 32, for what decodes or detects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vesalius.backbones.interface import Backbone

__all__ = ["STRIDES", "EncoderMaps", "fitted"]

STRIDES = (2, 4, 8, 16, 32)


class EncoderMaps(nn.Module):
    """A backbone, and what makes maps at several resolutions of it.

    A hierarchy (ResNet, Swin, ViTAEv2) hands on the last map of every resolution. The blocks of a ViT share one, of
    which a small pyramid is made by deconvolution and pooling (ViTDet, Li 2022, arXiv 2203.16527, section 3).

    Attributes:
        backbone: The encoder.
        channels: Of the maps, by stride; a stride that the family lacks is missing.
    """

    channels: Mapping[int, int]

    def __init__(self, backbone: Backbone, *, image_size: int) -> None:
        """Look at the backbone's stages, and build a pyramid where they share a resolution, from torch's generator.

        Args:
            backbone: With stages.
            image_size: Side of the input, px.

        Raises:
            BackboneError: A family without stages.
        """
        super().__init__()
        self.backbone = backbone
        self._size = image_size
        stages = self._probe()
        flat = len({tuple(one.shape[2:]) for one in stages}) == 1
        self.pyramid = _Pyramid(stages[-1].shape[1]) if flat else None
        self.channels = (
            self.pyramid.channels if self.pyramid else {at: one.shape[1] for at, one in self._maps_of(stages).items()}
        )

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> dict[int, Tensor]:
        """Compute the maps by stride, each `[batch, dim, rows, columns]`, of normalised pixels."""
        return self._maps_of(self.backbone.forward_features(pixels, stages=True).stages)

    @torch.no_grad()
    def _probe(self) -> Sequence[Tensor]:
        about, device = self.backbone.preprocessing, next(self.backbone.parameters()).device
        training = self.backbone.training
        self.backbone.eval()
        pixels = torch.zeros(1, about.in_chans, self._size, self._size, device=device)
        stages = self.backbone.forward_features(pixels, stages=True).stages
        self.backbone.train(training)
        return stages

    def _maps_of(self, stages: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return the last map of every stride; strides round a side up that is no multiple of theirs."""
        if self.pyramid is not None:
            return dict(zip(STRIDES[1:], self.pyramid(stages[-1]), strict=True))
        found: dict[int, Tensor] = {}
        for stage in stages:
            rows = int(stage.shape[2])
            found[min(STRIDES, key=lambda stride: abs(-(-self._size // stride) - rows))] = stage
        return found


class _Pyramid(nn.Module):
    """Maps at a quarter to a thirty-second of the resolution from one at about a sixteenth."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, quarter = max(dim // 2, 8), max(dim // 4, 8)
        self.channels = dict(zip(STRIDES[1:], (quarter, half, dim, dim), strict=True))
        self.fine = nn.Sequential(
            nn.ConvTranspose2d(dim, half, 2, stride=2), nn.BatchNorm2d(half), nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2),
        )  # fmt: skip
        self.middle = nn.ConvTranspose2d(dim, half, 2, stride=2)

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        return self.fine(tokens), self.middle(tokens), tokens, functional.max_pool2d(tokens, 2, ceil_mode=True)


def fitted(maps: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Bring maps to a grid, where they are not on it (patches of 14 px, sides that are no multiple of 32)."""
    if tuple(maps.shape[2:]) == grid:
        return maps
    return functional.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
