"""A tiny recipe, and what a training with it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vesalius import pipeline

TINY = (
    "views.options={size: 32, locals: 1, local_size: 16}",
    "backbone={name: test_vit, image_size: 32, drop_path: 0.1}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16, teacher_momentum: 0.9}",
    "training={batch_size: 16, epochs: 4, checkpoint_minutes: 0, log_every_steps: 1, precision: fp32}",
    "training.accelerator=cpu",
    "monitors={every_epochs: 2, images: 16, knn_images: 64}",
)


@pytest.fixture
def tiny() -> Callable[..., tuple[str, ...]]:
    """Overrides of `dino/small` that make 16 steps of a 4-million-operation ViT, and further ones."""
    return lambda *further: (*TINY, *further)


@pytest.fixture
def pretrain(phantom_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Pretrain in this process: `pretrain("name", *overrides, **options)` gives the run folder.

    One trial step is timed in place of eight, save where a budget depends on it.
    """

    def run(name: str, *overrides: str, recipe: str = "dino/small", **options: Any) -> Path:
        if "budget_minutes" not in options:
            monkeypatch.setattr("vesalius.training.cost.WARM_STEPS", 0)
            monkeypatch.setattr("vesalius.training.cost.TIMED_STEPS", 1)
        options = {"data": f"{phantom_store}@all"} | options
        return pipeline.pretrain(recipe, out=tmp_path / name, overrides=(*TINY, *overrides), **options)

    return run


@pytest.fixture
def figures() -> Callable[..., list[tuple[int, float]]]:
    """Read a run's metrics: `figures(run, "loss")` gives (step, value) in the order of the file."""

    def read(run: Path, name: str) -> list[tuple[int, float]]:
        table = pd.read_csv(run / "metrics.csv")
        chosen = table[table["name"] == name]
        return list(zip(chosen["step"].tolist(), chosen["value"].tolist(), strict=True))

    return read
