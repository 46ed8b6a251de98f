"""What DINO's `auto` options become for a given number of images; the evidence is in docs/LOG.md."""

from __future__ import annotations

import math

from vesalius.methods.dino import DinoConfig

__all__ = ["resolve_dino"]


def resolve_dino(config: DinoConfig, images: int) -> tuple[DinoConfig, tuple[str, ...]]:
    """Replace `auto` by what suits `images`, and say so.

    Prototypes grow with the set (1,024 near 20,000 images, the paper's 65,536 at its own 1.28 million); the teacher is
    sharper and follows faster where there are few steps.

    Returns:
        The resolved options and one sentence for each that was chosen.
    """
    chosen: dict[str, int | float] = {}
    if config.prototypes == "auto":
        chosen["prototypes"] = prototypes_for(images)
    if config.teacher_temperature == "auto":
        chosen["teacher_temperature"] = 0.02 if images < 100_000 else 0.04
    if config.teacher_momentum == "auto":
        chosen["teacher_momentum"] = 0.99 if images < 100_000 else 0.996
    notes = tuple(f"{key} = {value} chosen for {images:,} images" for key, value in chosen.items())
    return config.model_copy(update=chosen), notes


def prototypes_for(images: int) -> int:
    """A power of two near images / 20 (1,024 at 20,000), 512 for a few thousand, images / 4 below; 128 to 65,536."""
    wanted = min(65_536, max(128, images / 20, min(512, images / 4)))
    return int(2 ** round(math.log2(wanted)))
