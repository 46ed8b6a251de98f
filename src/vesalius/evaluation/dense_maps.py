"""Maps of frozen features, one vector a place of the image: of a backbone, and of plain pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.backbones.normalise import to_input
from vesalius.data.gray import unit_pixels
from vesalius.evaluation.features import autocast_bf16

__all__ = ["DenseMaps", "backbone_maps", "cells_of", "pixel_maps"]

DenseMaps = Callable[[npt.NDArray[Any]], Float[Tensor, "images dim rows columns"]]
"""From stored images `[n, H, W]` or `[n, H, W, 3]` to float32 maps on the CPU."""

STRIDE = 4
"""The finest maps taken have a quarter of the input's resolution, as a segmentation network's decoder has."""

BLOCKS = 4
"""Of maps on one grid, as a ViT's blocks give, the last so many are joined."""

_WINDOW = 5


def backbone_maps(
    backbone: Backbone, *, image_size: int | None, device: torch.device, precision: str = "auto"
) -> DenseMaps:
    """Return what computes the joined stages of a backbone, brought to the finest of their grids.

    A hierarchy (ResNet, Swin, ViTAEv2) gives every stage from a quarter of the input's resolution on; a ViT, whose
    blocks share one grid, its last four blocks.

    Raises:
        BackboneError: On the first call, of a family without stages.
    """
    size = backbone.preprocessing.image_size if image_size is None else (image_size, image_size)
    half = autocast_bf16(precision, device)
    backbone = backbone.to(device).eval()

    @torch.inference_mode()
    def maps(images: npt.NDArray[Any]) -> Tensor:
        pixels = to_input(images, backbone, device, size)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            stages = backbone.forward_features(pixels, stages=True).stages
        return _joined([one.float() for one in stages], size).cpu()

    return maps


def pixel_maps(size: tuple[int, int]) -> DenseMaps:
    """Return what needs no network: the brightness of 5 x 5 places around each, and where it lies in the image.

    Args:
        size: (height, width) of the input of the backbone beside; the grid is a quarter of it, rounded up.
    """
    grid = (-(-size[0] // STRIDE), -(-size[1] // STRIDE))

    def maps(images: npt.NDArray[Any]) -> Tensor:
        gray = unit_pixels(images).mean(dim=1, keepdim=True)
        small = functional.interpolate(gray, size=grid, mode="bilinear", antialias=True, align_corners=False)
        edge = _WINDOW // 2
        around = functional.unfold(functional.pad(small, [edge] * 4, mode="replicate"), _WINDOW)
        down, across = (torch.linspace(-1, 1, side) for side in grid)
        y, x = torch.meshgrid(down, across, indexing="ij")
        place = torch.stack([x, y, x * x, x * y, y * y]).expand(len(gray), -1, -1, -1)
        return torch.cat([around.view(len(gray), -1, *grid), place], dim=1)

    return maps


def _joined(stages: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    by_grid: dict[tuple[int, int], list[Tensor]] = {}
    for stage in stages:
        grid = (int(stage.shape[2]), int(stage.shape[3]))
        if grid[0] <= -(-size[0] // STRIDE):  # strides round a side up that is no multiple of theirs
            by_grid.setdefault(grid, []).append(stage)
    finest = max(by_grid)
    taken = [stage for maps in by_grid.values() for stage in maps[-BLOCKS:]]
    return torch.cat(
        [
            stage
            if stage.shape[2:] == finest
            else functional.interpolate(stage, size=finest, mode="bilinear", align_corners=False)
            for stage in taken
        ],
        dim=1,
    )


def cells_of(
    masks: npt.NDArray[Any], values: Sequence[int], grid: tuple[int, int], *, void: int | None = None
) -> Float[Tensor, "n k rows columns"]:
    """Return the share of each cell that every part covers, the rest (background, other parts) first.

    Shares of a cell sum to 1, less the share of `void`, of which nothing is known.
    """
    labels = torch.from_numpy(masks.astype(np.int64))
    unknown = [] if void is None else [void]
    parts = torch.stack([labels == value for value in (*values, *unknown)], dim=1).float()
    shares = functional.interpolate(parts, size=grid, mode="bilinear", antialias=True, align_corners=False)
    rest = (1 - shares.sum(dim=1, keepdim=True)).clamp_min(0)
    return torch.cat([rest, shares[:, : len(values)]], dim=1)
