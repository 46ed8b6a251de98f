"""How good a segmenter is on labelled images, and how large the parts are that it learned from."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from vesalius.guidance.labelled_images import LabelledImages
from vesalius.guidance.trained_segmenter import predict_parts

__all__ = ["held_out_dice", "least_area"]


def held_out_dice(network: nn.Module, labelled: LabelledImages, *, side: int) -> dict[str, float | None]:
    """Return each part's Dice on the images held out, at the store's resolution; None where none of them shows it.

    Each pixel takes its likeliest part. Mean over the images that show the part.

    Args:
        network: Logits with the background first, in evaluation mode.
        labelled: The images.
        side: Of the network's input, px.
    """
    device = next(network.parameters()).device
    scores = []
    for row in labelled.held_out:
        images, truth = labelled.read(np.array([row]))
        size = (truth.shape[2], truth.shape[3])
        parts = predict_parts(network, images.to(device), side=side, size=size).cpu()
        likeliest = torch.cat([1 - parts.sum(1, keepdim=True), parts], 1).argmax(1)
        found = torch.stack([likeliest == channel for channel in range(1, parts.shape[1] + 1)], 1).float()
        common, both = (found * truth).sum((0, 2, 3)), (found + truth).sum((0, 2, 3))
        scores.append(torch.where(truth.sum((0, 2, 3)) > 0, 2 * common / both.clamp_min(1), torch.nan))
    means = torch.stack(scores).nanmean(0)
    shown = (~means.isnan()).tolist()
    return {
        name: round(mean, 4) if there else None
        for name, mean, there in zip(labelled.names, means.tolist(), shown, strict=True)
    }


def least_area(labelled: LabelledImages) -> dict[str, float]:
    """Return the smallest share of an image that each part has in those to learn from; 0 where one lacks it."""
    least = torch.ones(len(labelled.names))
    for row in labelled.rows:
        least = torch.minimum(least, labelled.read(np.array([row]))[1].mean((0, 2, 3)))
    return {name: round(share, 6) for name, share in zip(labelled.names, least.tolist(), strict=True)}
