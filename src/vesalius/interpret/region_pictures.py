"""How regions form over a training: the image, its superpixels, what joins them (Gokul 2022, Figure 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from matplotlib import colormaps
from torch import Tensor
from torch.nn import functional

from vesalius.interpret.maps_pictures import bordered
from vesalius.interpret.pictures import Picture, Sheet, picture_grid

__all__ = ["regions_picture"]

_MOMENTS = 5


def regions_picture(
    pixels: Float[Tensor, "images channels height width"],
    snapshots: Mapping[int, npt.NDArray[np.uint8]],
    *,
    cell: int = 192,
) -> Sheet:
    """Draw a row an image: itself, the borders of its prior, and its regions in colours after some of the steps.

    Where images are clustered together a colour means the same in all of them at one moment; from moment to moment it
    does not.

    Args:
        pixels: In [0, 1].
        snapshots: Labels `[images, rows, columns]` by the number of steps taken; 0 is the prior.
        cell: Side of each picture.
    """
    small = functional.interpolate(pixels, size=(cell, cell), mode="bilinear", antialias=True, align_corners=False)
    shown = (255 * small).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    images = [np.repeat(one, 3, axis=2) if one.shape[2] == 1 else one for one in shown]
    later = [step for step in snapshots if step > 0]
    chosen = [
        later[place]
        for place in np.unique(np.linspace(0, len(later) - 1, min(_MOMENTS, len(later))).round()).astype(np.int64)
    ]
    rows = []
    for place, image in enumerate(images):
        row = [image, bordered(image, snapshots[0][place], cell)]
        row += [_coloured(image, snapshots[step][place], cell) for step in chosen]
        rows.append(row)
    captions = ["image", "superpixels", *(f"step {step:,}" for step in chosen)]
    return picture_grid(rows, captions, cell)


def _coloured(image: Picture, labels: npt.NDArray[Any], cell: int) -> Picture:
    """Lay the regions' colours over the image, half seen through."""
    places = ((np.arange(cell) + 0.5) * len(labels) / cell).astype(np.int64)
    # Neighbouring numbers get colours far apart: 37 steps of 64 around the circle.
    colours = (255 * colormaps["hsv"]((np.arange(256) * 37 % 64) / 64.0)[:, :3]).astype(np.float64)
    mixed: npt.NDArray[np.float64] = 0.55 * image + 0.45 * colours[labels[np.ix_(places, places)]]
    return mixed.round().astype(np.uint8)
