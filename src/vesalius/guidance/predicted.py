"""Parts as a trained segmenter predicts them, image by image or averaged over a store (MeDINO, Miao 2022, 3.2)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.guidance.templates import Template, TemplateMaps, paired_by_name
from vesalius.guidance.trained_segmenter import TrainedSegmenter

__all__ = ["AverageTemplate", "PredictedTemplate"]

_CHUNK = 512


class PredictedTemplate(Template):
    """Each image's own prediction.

    `smallest_part` is its quality: of the part that came out smallest, the area predicted above one half, as a share of
    the least area which that part had in any image learned from (1 at most; parts that one of these lacks do not
    count). A network that does not know what it sees still predicts a vague mean, but nothing above one half.
    """

    name = "predicted"
    has_coordinates = False

    def __init__(self, segmenter: TrainedSegmenter, *, map_size: int = 64) -> None:
        """Take a trained segmenter; see `read_segmenter`."""
        self.segmenter, self.map_size = segmenter, map_size
        self.parts = paired_by_name(segmenter.names)

    def maps(self, images: Float[Tensor, "batch 1 height width"]) -> TemplateMaps:
        """Predict."""
        parts = self.segmenter.predict(images, (self.map_size, self.map_size))
        least = self.segmenter.least_area.to(parts)
        shares = torch.where(least > 0, (parts > 0.5).to(parts).mean((2, 3)) / least.clamp_min(1e-9), 1.0)
        return TemplateMaps(
            parts=parts,
            coordinates=None,
            known=parts.new_ones(len(parts), 1, self.map_size, self.map_size),
            quality={"smallest_part": shares.amin(1).clamp_max(1)},
        )

    def description(self) -> dict[str, Any]:
        """Tell the segmenter, with the store that it learned from."""
        return {"template": self.name, "map_size": self.map_size, "segmenter": self.segmenter.description()}


class AverageTemplate(Template):
    """The mean of a segmenter's predictions over a whole store, the same map for every image."""

    name = "average"
    has_coordinates = False

    def __init__(self, predicted: KnowledgeMaps) -> None:
        """Average over all images, those left unguided included, as the paper does.

        Args:
            predicted: Maps that `PredictedTemplate` made.
        """
        total = np.zeros(predicted.parts.shape[1:], dtype=np.int64)
        for first in range(0, len(predicted), _CHUNK):
            total += predicted.parts[first : first + _CHUNK].sum(0, dtype=np.int64)
        self.mean: Float[Tensor, "parts size size"] = torch.from_numpy(total / (255 * len(predicted))).float()
        self.parts, self.map_size = predicted.names, int(self.mean.shape[1])
        self.averaged = {
            "segmenter": predicted.info["plan"]["segmenter"],
            "averaged_store": predicted.info["store"],
            "mean_sha256": hashlib.sha256(total.tobytes()).hexdigest(),
        }

    def maps(self, images: Float[Tensor, "batch 1 height width"]) -> TemplateMaps:
        """Return the mean once an image."""
        known = torch.ones(len(images), 1, self.map_size, self.map_size)
        return TemplateMaps(parts=self.mean.expand(len(images), -1, -1, -1), coordinates=None, known=known)

    def description(self) -> dict[str, Any]:
        """Tell the segmenter, with the store that it learned from, and the mean."""
        return {"template": self.name, "map_size": self.map_size, **self.averaged}
