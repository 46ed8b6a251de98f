"""Drawing over an image in the geometry of its file, whatever square a backbone saw of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.data.source_image import SourceImage
from vesalius.errors import ConfigError, nearest
from vesalius.interpret.part_maps import PartMaps
from vesalius.interpret.pictures import PART_COLOURS, Picture, outline, overlay, resize

__all__ = ["SourceCanvas", "check_upsampling", "sample_map"]

_UPSAMPLING = ("bilinear", "nearest")
_LINE_EVERY = 400  # pixels of the longer side a pixel of line width


def check_upsampling(upsampling: str) -> None:
    """Refuse a word that names no upsampling.

    Raises:
        ConfigError: Naming the nearest.
    """
    if upsampling not in _UPSAMPLING:
        raise ConfigError(
            f"upsampling '{upsampling}' is not one of {', '.join(_UPSAMPLING)}{nearest(upsampling, _UPSAMPLING)}"
        )


def sample_map(
    values: Float[Tensor, "rows columns"],
    down: Float[Tensor, " height"],
    across: Float[Tensor, " width"],
    *,
    upsampling: str = "bilinear",
) -> Float[Tensor, "height width"]:
    """Read a map at places counted in its own cells, cell i reaching from i to i + 1 with its centre at i + 0.5.

    `bilinear` continues the outermost centres' values to the border, as `torch.nn.functional.interpolate` does with
    `align_corners=False`; `nearest` repeats each cell's value.
    """
    if upsampling == "nearest":
        row, column = (
            places.floor().long().clamp(0, cells - 1)
            for places, cells in zip((down, across), values.shape, strict=True)
        )
        return values[row[:, None], column[None, :]]
    for axis, places in enumerate((down, across)):
        centred = (places - 0.5).clamp(0, values.shape[axis] - 1)
        low = centred.floor().long()
        high = (low + 1).clamp(max=values.shape[axis] - 1)
        weight = (centred - low)[:, None] if axis == 0 else (centred - low)[None, :]
        values = values.index_select(axis, low) * (1 - weight) + values.index_select(axis, high) * weight
    return values


class SourceCanvas:
    """An image in the geometry of its file, at the file's own or a smaller size, to draw maps over.

    Attributes:
        picture: `[height, width, 3]`, the image alone.
    """

    def __init__(self, source: SourceImage, *, longest: int | None = None) -> None:
        """Take an image.

        Args:
            source: The image.
            longest: Its longer side in the pictures, in pixels; by default every pixel of the file is one here.
        """
        self.picture: Picture = source.pixels
        if longest is not None:
            self.picture = resize(source.pixels, longest / max(source.shape))
        place, size = source.placement, source.square.shape[0]
        height, width = self.picture.shape[:2]
        y = (torch.arange(height, dtype=torch.float64) + 0.5) * source.shape[0] / height
        x = (torch.arange(width, dtype=torch.float64) + 0.5) * source.shape[1] / width
        # Shares of the square's sides: beyond 0 to 1 lies what the square does not show (`crop`).
        self._down, self._across = (
            (y - place.offset_y) / place.scale_y / size,
            (x - place.offset_x) / place.scale_x / size,
        )

    def project(
        self,
        values: Float[Tensor, "rows columns"],
        cells: tuple[float, float] | None = None,
        *,
        upsampling: str = "bilinear",
    ) -> Float[np.ndarray, "height width"]:
        """Bring a map over the square to the picture's pixels; NaN where the square does not reach.

        Args:
            values: The map.
            cells: How many of its cells, down and across, span the square; by default all.
            upsampling: `bilinear` or `nearest`.
        """
        rows, columns = (float(values.shape[0]), float(values.shape[1])) if cells is None else cells
        down, across = (self._down * rows).float(), (self._across * columns).float()
        drawn = sample_map(values, down, across, upsampling=upsampling)
        shown = _inside(self._down)[:, None] & _inside(self._across)[None, :]
        return torch.where(shown, drawn, torch.nan).numpy()

    def overlay(
        self, values: Float[Tensor, "rows columns"], cells: tuple[float, float], *, upsampling: str = "bilinear"
    ) -> Picture:
        """Lay a map over the image, brightest where the whole map is largest; what no backbone saw stays bare."""
        heat = self.project(values, cells, upsampling=upsampling)
        seen = np.isfinite(heat)
        drawn = overlay(self.picture, np.where(seen, heat, 0).astype(np.float32), top=float(values.max()))
        drawn[~seen] = self.picture[~seen]
        return drawn

    def outline_parts(self, parts: PartMaps, order: Sequence[str]) -> Picture:
        """Outline every part where it is likely, each in its colour: that of its place in `order`, as in the legend."""
        drawn = self.picture
        for name in parts.names:
            drawn = self.outline_part(drawn, parts, name, order)
        return drawn

    def outline_part(self, picture: Picture, parts: PartMaps, name: str, order: Sequence[str]) -> Picture:
        """Outline one part, in its colour, on a picture of this canvas; the picture itself where it is unknown."""
        values = parts.part(name)
        if values is None:
            return picture
        colour = PART_COLOURS[list(order).index(name) % len(PART_COLOURS)]
        inside = np.nan_to_num(self.project(values)) > 0.5
        return outline(picture, inside, colour, width=1 + max(picture.shape[:2]) // _LINE_EVERY)


def _inside(shares: Tensor) -> Tensor:
    return (shares >= 0) & (shares <= 1)
