"""Training one detection network, and what it detects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, Dataset

from vesalius.atomic import replacing
from vesalius.errors import VesaliusError
from vesalius.evaluation.coco_objects import ObjectSet, masks_of, pixels_of
from vesalius.evaluation.coco_tables import ObjectImage
from vesalius.evaluation.detection_options import DetectTraining
from vesalius.evaluation.rounds import optimizer_step
from vesalius.seeding import seeded

__all__ = ["as_runs", "detections_of", "fit_detection"]

_KEPT_EVERY = 500
"""Steps between two checkpoints."""

_Example = tuple[Tensor, dict[str, Tensor]]


class _Examples(Dataset[_Example]):
    """Images with their objects, flipped or not, in the order in which steps take them."""

    def __init__(self, images: Sequence[ObjectImage], channels: int, options: DetectTraining, seed: int) -> None:
        self._images, self._channels, self._flip = images, channels, options.flip
        self._size, self._seed = options.batch_size, seed

    def __getitem__(self, step: int) -> list[_Example] | VesaliusError:  # type: ignore[override]
        """Return the batch of a step: every pass in another order, its ragged end left to the next one's beginning.

        What is wrong with a file is returned, since torch would raise it from a worker as an error of its own.
        """
        first = step * self._size
        try:
            return [self._example(place) for place in range(first, first + self._size)]
        except VesaliusError as error:
            return error

    def __len__(self) -> int:
        return 2**31  # the sampler says how far

    def _example(self, place: int) -> _Example:
        epoch, within = divmod(place, len(self._images))
        order = np.random.default_rng([self._seed, 2, epoch]).permutation(len(self._images))
        image = self._images[order[within]]
        pixels, masks, boxes = pixels_of(image, self._channels), masks_of(image), image.boxes.copy()
        if np.random.default_rng([self._seed, 3, place]).random() < self._flip:
            pixels, masks = pixels[:, :, ::-1].copy(), masks[:, :, ::-1].copy()
            boxes[:, [0, 2]] = image.width - boxes[:, [2, 0]]
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.from_numpy(image.classes),
            "masks": torch.from_numpy(masks),
        }
        return torch.from_numpy(pixels), target


def fit_detection(
    network: nn.Module,
    images: Sequence[ObjectImage],
    options: DetectTraining,
    *,
    channels: int,
    seed: int,
    device: torch.device,
    checkpoint: Path | None,
    advance: Callable[[int], None] = lambda _: None,
) -> float:
    """Train a network in place; one that was interrupted goes on from its checkpoint.

    Args:
        network: Of `detection_network`, on the device.
        images: What it learns from.
        options: How.
        channels: Of its input.
        seed: Of batches, flips and what the network itself draws.
        device: Where it is.
        checkpoint: Written now and then, and at the end; who has kept what the network detects removes it. None keeps
            nothing.
        advance: Told the steps that are done.

    Returns:
        The mean loss of the last tenth of the steps that this process took.

    Raises:
        EvaluationError: The loss is not finite.
    """
    total = options.steps_of(len(images))
    learning: Any = [one for one in network.parameters() if one.requires_grad]
    optimizer = SGD(learning, lr=0.0, momentum=options.momentum, weight_decay=options.weight_decay)
    start = _resume(checkpoint, network, optimizer, device)
    advance(start)
    losses: list[float] = []
    network.train()
    for step, batch in enumerate(_batches(images, options, channels, seed, range(start, total)), start):
        if isinstance(batch, VesaliusError):
            raise batch
        with seeded(int(np.random.default_rng([seed, 4, step]).integers(2**31)), device):
            found = network(
                [pixels.to(device) for pixels, _ in batch],
                [{name: one.to(device) for name, one in target.items()} for _, target in batch],
            )
            loss = torch.stack(list(found.values())).sum()
            optimizer_step(optimizer, loss, lr=options.rate(step, total), task="detect")
            losses.append(float(loss.detach()))
        advance(1)
        if (step + 1) % _KEPT_EVERY == 0 or step + 1 == total:
            _keep(checkpoint, network, optimizer, step + 1)
    return float(np.mean(losses[-max(1, len(losses) // 10) :])) if losses else math.nan


@torch.no_grad()
def detections_of(
    network: nn.Module,
    objects: ObjectSet,
    *,
    channels: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Return what a network detects in the scored images, as COCO's results: boxes in pixels, masks in run lengths."""
    network.eval()
    found = []
    for image in objects.test:
        [seen] = network([torch.from_numpy(pixels_of(image, channels)).to(device)])
        kept = {name: one.cpu().numpy() for name, one in seen.items()}
        for box, score, label, shape in zip(
            *(kept[name] for name in ("boxes", "scores", "labels", "masks")), strict=True
        ):
            found.append(
                {
                    "image_id": image.number,
                    "category_id": objects.categories[int(label) - 1],
                    "bbox": [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])],
                    "score": float(score),
                    "segmentation": as_runs(shape[0] > 0.5),
                }
            )
        advance(1)
    return found


def as_runs(shape: npt.NDArray[Any]) -> dict[str, Any]:
    """Return a mask `[rows, columns]` of 0 and 1 in COCO's run lengths."""
    from pycocotools import mask

    runs = mask.encode(np.asfortranarray(shape).astype(np.uint8))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode("ascii")}


def _batches(
    images: Sequence[ObjectImage], options: DetectTraining, channels: int, seed: int, steps: range
) -> Iterator[list[_Example] | VesaliusError]:
    examples = _Examples(images, channels, options, seed)
    return iter(DataLoader(examples, batch_size=None, sampler=list(steps), num_workers=options.workers))


def _keep(path: Path | None, network: nn.Module, optimizer: SGD, step: int) -> None:
    if path is None:
        return
    with replacing(path) as partial:
        torch.save({"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, partial)


def _resume(path: Path | None, network: nn.Module, optimizer: SGD, device: torch.device) -> int:
    if path is None or not path.is_file():
        return 0
    kept = torch.load(path, map_location=device, weights_only=True)
    network.load_state_dict(kept["network"])
    optimizer.load_state_dict(kept["optimizer"])
    return int(kept["step"])
