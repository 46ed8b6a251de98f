"""One image explained: what a network says of it, and which pixels speak for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vesalius.backbones.block_attention import heads_of_last_block
from vesalius.data.store import Store
from vesalius.evaluation.explained_subject import Asked, Subject
from vesalius.evaluation.kept_network import KeptNetwork
from vesalius.evaluation.networks_of_run import RunNetworks
from vesalius.interpret.class_activation import class_activation
from vesalius.interpret.last_attention import attention_saliency

__all__ = ["Activation", "Explained", "explain_one"]

_CHOSEN = ("auto", "attention")
"""Methods that follow the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """Which class activation map.

    Attributes:
        method: See `vesalius.interpret.class_activation.METHODS`; `attention` is the last block's, half of it
            (`attention_saliency`), where the backbone has any, else as `auto`. `auto` is Grad-CAM for a classifier and
            HiResCAM (Draelos & Carin 2020, arXiv 2011.08891) for a segmentation, whose classes have a place: the mean
            gradient over the image, which Grad-CAM weighs channels by, loses it (docs/LOG.md).
        layer: Of the backbone; by default its last one with places.
    """

    method: str = "auto"
    layer: str | None = None

    def of(
        self, network: KeptNetwork, inputs: Float[Tensor, "1 channels height width"], asked: Asked
    ) -> Float[Tensor, "height width"]:
        """Compute it of one image."""
        if self.method == "attention" and heads_of_last_block(network.backbone):
            return attention_saliency(network.backbone, inputs)
        dense = network.about.task == "segment"
        method = self.method if self.method not in _CHOSEN else "hires-cam" if dense else "grad-cam"
        how: dict[str, Any] = {"method": method, "layer": self.layer, "dense": dense}
        return class_activation(network.module, network.backbone, inputs.clone(), asked.target, **how)


@dataclass(frozen=True, slots=True)
class Explained:
    """What was found of one image.

    Attributes:
        asked: What was explained.
        saliency: The map at the input's size, from 0 to 1.
        inputs: What the network saw.
    """

    asked: Asked
    saliency: Float[Tensor, "height width"]
    inputs: Float[Tensor, "1 channels height width"]


def explain_one(
    models: RunNetworks, subject: Subject, store: Store, row: int, activation: Activation
) -> Explained | None:
    """Explain one image by the network that has never seen it; None where the network shows nothing of the subject.

    Raises:
        ConfigError: No such class, part, region, layer or method.
        RunError: Every network of the models has seen the image.
    """
    network = models.never_saw(row)
    inputs = models.pixels(network, store, np.array([row]))
    asked = subject.ask(models, network, inputs)
    if asked is None:
        return None
    return Explained(asked, activation.of(network, inputs, asked), inputs)
