"""The Lightning Trainer that a recipe asks for."""

from __future__ import annotations

import logging

from lightning import Callback, Trainer

from vesalius.training.precision import choose_precision
from vesalius.training.recipe import TrainingConfig

__all__ = ["lightning_trainer"]


def lightning_trainer(
    training: TrainingConfig, *, accelerator: str, max_steps: int, callbacks: list[Callback]
) -> Trainer:
    """Build it, silent and without files of its own.

    Args:
        training: The recipe's section.
        accelerator: `cpu`, `cuda` or another of Lightning's.
        max_steps: Where the training ends.
        callbacks: In the order in which they are called.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    precision, _ = choose_precision(training.precision, accelerator=accelerator)
    return Trainer(
        accelerator={"cuda": "gpu"}.get(accelerator, accelerator),
        devices=training.devices,
        num_nodes=training.nodes,
        strategy=training.strategy,
        precision=precision,  # type: ignore[arg-type]  # one of Lightning's words, see choose_precision
        max_steps=max_steps,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
