"""What the methods' `auto` options become for a given number of images; the evidence is in docs/LOG.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from vesalius.config import StrictModel

__all__ = ["prototypes_for", "queue_for", "resolve_auto"]

Config = TypeVar("Config", bound=StrictModel)


def resolve_auto(config: Config, images: int) -> tuple[Config, tuple[str, ...]]:
    """Replace every `auto` by what suits `images`, and say so.

    Prototypes grow with the set (1,024 near 20,000 images, DINO's 65,536 at its own 1.28 million); the teacher is
    sharper and follows faster where there are few steps; a queue holds less than the set.

    Returns:
        The resolved options and one sentence for each that was chosen.
    """
    chosen = {name: choose(images) for name, choose in _CHOICES.items() if getattr(config, name, None) == "auto"}
    notes = tuple(f"{name} = {value} chosen for {images:,} images" for name, value in chosen.items())
    return config.model_copy(update=chosen), notes


def prototypes_for(images: int) -> int:
    """A power of two near images / 20 (1,024 at 20,000), 512 for a few thousand, images / 4 below; 128 to 65,536."""
    wanted = min(65_536, max(128, images / 20, min(512, images / 4)))
    return int(2 ** round(math.log2(wanted)))


def queue_for(images: int) -> int:
    """A power of two near images / 4, so that few of an image's own keys are in it; 256 to 65,536."""
    return int(2 ** round(math.log2(min(65_536, max(256, images / 4)))))


_CHOICES: dict[str, Callable[[int], float]] = {
    "prototypes": prototypes_for,
    "teacher_temperature": lambda images: 0.02 if images < 100_000 else 0.04,
    "teacher_momentum": lambda images: 0.99 if images < 100_000 else 0.996,
    "queue": queue_for,
}
