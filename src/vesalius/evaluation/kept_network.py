"""A network that learned labels, in one file: its weights, how to build it again, and whom it has never seen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from jaxtyping import Int
from safetensors import SafetensorError
from torch import Tensor

from vesalius.atomic import replacing
from vesalius.backbones.load import build_backbone
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import describe
from vesalius.errors import RunError
from vesalius.evaluation.classifier import Classifier
from vesalius.evaluation.segmentation_network import SegmentationNetwork

__all__ = ["KeptNetwork", "NetworkAbout", "about_network", "load_network", "save_network"]

_LAYOUT = 1
_ROWS = "rows_never_seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAbout:
    """What is told of a network, beside its weights.

    Attributes:
        task: `finetune` or `segment`.
        names: Classes of a classifier; parts of a segmentation, whose background comes first and has no name.
        kind: Of the label (`binary`, `multiclass`, `ordinal`, `multilabel`), or `part`.
        label: Of the store; empty for parts.
        image_size: Side of the input in pixels.
        decoder: Of a segmentation, else None.
        arm: `pretrained` or `random_init`.
        fraction: Amount of labels it learned from.
        seed: Its draw of labels.
        pair: Its pair of sides: which fold, or 0.
        store: Fingerprint of the store that it is scored on.
        masks: Of that store's masks, where it segments; else empty.
        bf16: Whether it was scored under autocast to bfloat16.
    """

    task: str
    names: tuple[str, ...]
    kind: str
    label: str
    image_size: int
    decoder: str | None
    arm: str
    fraction: float
    seed: int
    pair: int
    store: str
    masks: str
    bf16: bool


@dataclass(frozen=True, slots=True)
class KeptNetwork:
    """A network that was kept.

    Attributes:
        module: In evaluation mode; from normalised pixels to logits.
        about: What is told of it.
        rows: Of the store: the images that it is scored on and has neither learned from nor been chosen by.
    """

    module: Classifier | SegmentationNetwork
    about: NetworkAbout
    rows: Int[Tensor, " images"]

    @property
    def backbone(self) -> TimmBackbone:
        """Its encoder."""
        own = self.module.backbone
        assert isinstance(own, TimmBackbone)  # noqa: S101 (built so)
        return own


def save_network(
    path: Path, module: Classifier | SegmentationNetwork, about: NetworkAbout, rows: Int[Tensor, " images"]
) -> None:
    """Write a network as safetensors, whole or not at all.

    Args:
        path: Of the file.
        module: The network.
        about: See `NetworkAbout`; written into the file's header as JSON.
        rows: See `KeptNetwork`.
    """
    state = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
    told = {"layout": _LAYOUT, "about": asdict(about), "backbone": describe(module.backbone)}
    with replacing(path, shared=True) as partial:
        metadata = {"format": "pt", "vesalius": json.dumps(told)}
        safetensors.torch.save_file({**state, _ROWS: rows.cpu()}, partial, metadata=metadata)


def about_network(path: Path) -> NetworkAbout:
    """Read what is told of a kept network, without its weights.

    Raises:
        RunError: The file is missing, damaged, or none that `save_network` wrote.
    """
    return _told(path)[0]


def load_network(path: Path) -> KeptNetwork:
    """Build a kept network again, with its weights, on the CPU.

    Raises:
        RunError: The file is missing, damaged, or none that `save_network` wrote.
        BackboneError: Its backbone cannot be built.
    """
    known, description = _told(path)
    state = safetensors.torch.load_file(path)
    rows = state.pop(_ROWS)
    backbone = build_backbone(description, source=path)
    module: Classifier | SegmentationNetwork
    if known.decoder is None:
        module = Classifier(backbone, len(known.names))
    else:
        classes = len(known.names) + 1
        module = SegmentationNetwork(backbone, known.decoder, classes, image_size=known.image_size)
    try:
        with torch.no_grad():
            module.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(f"{path}: weights and description do not fit each other: {error}") from error
    module.eval()
    return KeptNetwork(module, known, rows)


def _told(path: Path) -> tuple[NetworkAbout, dict[str, Any]]:
    """Return what the file's header tells: of the network, and of its backbone."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})["vesalius"])
            file.get_slice(_ROWS)
        layout, about = told["layout"], dict(told["about"])
        known = NetworkAbout(**about | {"names": tuple(about["names"])})
        description = dict(told["backbone"])
        description["vesalius"]["pool"]
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise RunError(
            f"{path}: no network that an evaluation kept ({error}); evaluate again with --keep-networks"
        ) from error
    if layout != _LAYOUT:
        raise RunError(f"{path}: written by another version of vesalius (layout {layout}, this one reads {_LAYOUT})")
    return known, description
