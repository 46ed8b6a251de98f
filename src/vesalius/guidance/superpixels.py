"""Superpixels: the regions that need no knowledge at all (SLIC, Achanta et al. 2012), the prior of R2O."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from skimage.segmentation import slic
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.guidance.templates import Template, TemplateMaps
from vesalius.records.knowledge import PartNames

__all__ = ["SuperpixelTemplate"]

_MOST = 255
"""Labels that uint8 tells apart, less one for what a mask leaves out."""


class SuperpixelTemplate(Template):
    """About `segments` regions an image of like brightness (or colour) and compact shape, by scikit-image's SLIC.

    R2O's prior has about 100 of an image of 224 pixels. The compactness weighs distance against brightness in [0, 1]:
    scikit-image's default of 10, which is meant for CIELAB's lightness up to 100, is .1 here.
    """

    name = "slic"
    has_coordinates = False
    has_regions = True
    in_colour = True
    parts = PartNames(())

    def __init__(self, *, map_size: int = 224, segments: int = 100, compactness: float = 0.1) -> None:
        """Choose how fine.

        Raises:
            ConfigError: More segments than a map can name, or than it has pixels.
        """
        most = min(_MOST, map_size**2 // 16)
        if not 2 <= segments <= most:
            raise ConfigError(f"segments = {segments}: expected 2 to {most} for maps of {map_size} pixels")
        self.map_size, self.segments, self.compactness = map_size, segments, compactness

    def maps(self, images: Float[Tensor, "batch channels height width"]) -> TemplateMaps:
        """Cut each image, resized to the map's side, into segments."""
        size = (self.map_size, self.map_size)
        resized = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        made = [self._segments(image.cpu().numpy()) for image in resized]
        labels = torch.from_numpy(np.stack(made))[:, None]
        return TemplateMaps(
            parts=torch.zeros(len(images), 0, *size),
            coordinates=None,
            known=torch.ones(len(images), 1, *size),
            regions=labels,
            quality={"segments": labels.flatten(1).amax(1).float() + 1},
        )

    def description(self) -> dict[str, Any]:
        """Tell the options."""
        return {
            "template": self.name,
            "map_size": self.map_size,
            "segments": self.segments,
            "compactness": self.compactness,
        }

    def _segments(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        colour = image.shape[0] == 3
        labels = slic(
            image if colour else image[0],
            n_segments=self.segments,
            compactness=100 * self.compactness if colour else self.compactness,
            channel_axis=0 if colour else None,
            start_label=0,
        )
        # SLIC may end with a few more than were asked for: those beyond what uint8 holds join the last one.
        few: npt.NDArray[Any] = np.minimum(labels, _MOST).astype(np.uint8)
        return few
