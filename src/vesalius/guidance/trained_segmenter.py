"""A trained segmenter on disk: its weights, and all that is needed to use them on another store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from vesalius.atomic import replace_text, replacing
from vesalius.data.store import file_sha256
from vesalius.errors import KnowledgeError
from vesalius.guidance.segmenters import build_segmenter
from vesalius.version import __version__
from vesalius.views.geometry import box_affine, resample

__all__ = ["MEAN", "STD", "TrainedSegmenter", "predict_parts", "read_segmenter", "write_segmenter"]

MEAN, STD = 0.5, 0.25
"""Subtracted from pixels in [0, 1], and divided by."""

ABOUT, WEIGHTS = "segmenter.json", "segmenter.safetensors"

_SCHEMA = 1


@dataclass(frozen=True)
class TrainedSegmenter:
    """A folder with weights and their description; the network is read where it is used, once a process.

    Attributes:
        path: The folder.
        info: What `segmenter.json` says: architecture, parts, size, preprocessing, plan, `trained_on`, validation,
            `least_area` of each part in the images it learned from, and the weights' hash.
    """

    path: Path
    info: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, in the order of the channels."""
        return tuple(self.info["parts"])

    @property
    def least_area(self) -> Float[Tensor, "parts"]:
        """The smallest share of the image that each part had in the images it learned from; 0 where one lacked it."""
        return torch.tensor([self.info["least_area"][name] for name in self.names], dtype=torch.float32)

    def predict(
        self, images: Float[Tensor, "batch 1 height width"], size: tuple[int, int]
    ) -> Float[Tensor, "batch parts rows columns"]:
        """Predict each part's share of every pixel of maps of `size` (height, width), from images in [0, 1].

        Raises:
            KnowledgeError: The weights are missing, damaged or not those that were described.
        """
        device = str(images.device)
        network = _network(str(self.path), str(self.info["weights_sha256"]), device)
        return predict_parts(network, images, side=int(self.info["size"]), size=size)

    def description(self) -> dict[str, Any]:
        """Tell what shapes its predictions, what it learned from, and how good it was."""
        told = ("architecture", "size", "weights_sha256", "trained_on", "validation", "least_area")
        return {"parts": list(self.names)} | {key: self.info[key] for key in told}


def predict_parts(
    network: nn.Module, images: Float[Tensor, "batch 1 height width"], *, side: int, size: tuple[int, int]
) -> Float[Tensor, "batch parts rows columns"]:
    """Look at whole images at `side` px, and bring the softmax, without its background, to `size`."""
    with torch.no_grad():
        logits = network(normalised(images, side))
        parts = logits.float().softmax(1)[:, 1:]
        return functional.interpolate(parts, size=size, mode="bilinear", antialias=True).clamp_(0, 1)


def normalised(images: Float[Tensor, "batch 1 height width"], side: int) -> Float[Tensor, "batch 1 side side"]:
    """Bring images in [0, 1] to the network's input."""
    height, width = images.shape[2:]
    box = torch.tensor([[0.0, 0.0, width, height]], device=images.device).expand(len(images), -1)
    return (resample(images, box_affine(box, (side, side)), (side, side)) - MEAN) / STD


def write_segmenter(folder: Path, network: nn.Module, info: Mapping[str, Any]) -> TrainedSegmenter:
    """Write weights, then the description, which makes them count."""
    state = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    with replacing(folder / WEIGHTS) as partial:
        safetensors.torch.save_file(state, partial, metadata={"format": "pt"})
    about = {"schema": _SCHEMA, "vesalius": __version__, **info, "weights_sha256": file_sha256(folder / WEIGHTS)}
    about["preprocessing"] = {"channels": 1, "mean": MEAN, "std": STD, **info.get("preprocessing", {})}
    replace_text(folder / ABOUT, json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return read_segmenter(folder)


def read_segmenter(folder: Path | str) -> TrainedSegmenter:
    """Open a folder that `write_segmenter` wrote.

    Raises:
        KnowledgeError: No segmenter, an unfinished one, a damaged one or one of another version.
    """
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        unfinished = (folder / "training.pt").is_file()
        what = "an unfinished training; run the same `vesalius guide` again" if unfinished else "holds no segmenter"
        raise KnowledgeError(f"{folder}: {what} (no {ABOUT}); train one with `vesalius guide STORE --train-on STORE`")
    try:
        info = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        schema = info["schema"]
        info["architecture"], int(info["size"]), str(info["weights_sha256"]), dict(info["trained_on"])
        [float(info["least_area"][name]) for name in info["parts"]]
        dict(info["plan"]), dict(info["validation"]["dice"]), str(info["preprocessing"]["fit"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KnowledgeError(f"{folder / ABOUT}: not readable: {error}; train the segmenter again") from error
    if schema != _SCHEMA:
        raise KnowledgeError(
            f"{folder}: a segmenter of version {schema}, this vesalius reads {_SCHEMA}; train it again"
        )
    if not (folder / WEIGHTS).is_file():
        raise KnowledgeError(f"{folder}: {WEIGHTS} is missing; copy the folder again, or train the segmenter again")
    return TrainedSegmenter(path=folder, info=info)


@lru_cache(maxsize=1)
def _network(folder: str, sha256: str, device: str) -> nn.Module:
    segmenter = read_segmenter(folder)
    weights = segmenter.path / WEIGHTS
    if file_sha256(weights) != sha256:
        raise KnowledgeError(
            f"{weights}: differs from its checksum; copy the folder again, or train the segmenter again"
        )
    network = build_segmenter(str(segmenter.info["architecture"]), classes=len(segmenter.names) + 1)
    try:
        network.load_state_dict(safetensors.torch.load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise KnowledgeError(
            f"{weights}: are no weights of {segmenter.info['architecture']} ({error}); train the segmenter again"
        ) from error
    return network.to(device).to(memory_format=torch.channels_last).eval()
