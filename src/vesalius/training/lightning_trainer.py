"""The Lightning Trainer that a recipe asks for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lightning import Callback, Trainer

from vesalius.training.leading import processes_of
from vesalius.training.precision import choose_precision
from vesalius.training.recipe import TrainingConfig

__all__ = ["lightning_trainer", "unwarned"]

_UNCALLED_FOR = (
    ".*does not have many workers.*",  # one process reads the memory map faster than workers could hand batches over
    ".*GPU available but not used.*",
    ".*`isinstance\\(treespec, LeafSpec\\)`.*",
)


def lightning_trainer(
    training: TrainingConfig,
    *,
    accelerator: str,
    max_steps: int,
    callbacks: list[Callback],
    all_learn: bool = True,
) -> Trainer:
    """Build it, silent and without files of its own.

    Args:
        training: The recipe's section.
        accelerator: `cpu`, `cuda` or another of Lightning's.
        max_steps: Where the training ends.
        callbacks: In the order in which they are called.
        all_learn: Whether the loss reaches every parameter that is trained; DDP waits for all of them otherwise.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    strategy = training.strategy
    if not all_learn and strategy in ("auto", "ddp") and processes_of(training, accelerator) > 1:
        strategy = "ddp_find_unused_parameters_true"
    precision, _ = choose_precision(training.precision, accelerator=accelerator)
    return Trainer(
        accelerator={"cuda": "gpu"}.get(accelerator, accelerator),
        devices=training.devices,
        num_nodes=training.nodes,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]  # one of Lightning's words, see choose_precision
        max_steps=max_steps,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@contextmanager
def unwarned() -> Iterator[None]:
    """Keep Lightning from warning of what is meant so."""
    with warnings.catch_warnings():
        for message in _UNCALLED_FOR:
            warnings.filterwarnings("ignore", message=message)
        yield
