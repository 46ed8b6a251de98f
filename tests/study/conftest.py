"""A study of three tiny arms, and what runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from vesalius import pipeline

STUDY = """
about: Guided against unguided
finetune: ["rounds=1", "round_steps=2"]
segment: ["rounds=1", "round_steps=2", "batch_size=4"]
arms:
  unguided: {title: DINO alone, recipe: medino/deformable-small, set: ["guidance=null"]}
  guided: {title: DINO guided, recipe: medino/deformable-small, set: ["guidance.attention.heads={heart: 1}"]}
  placed: {title: DINO placed, recipe: medino/deformable-small, set: ["guidance={coordinates: {}}"]}
tables:
  attention:
    title: Average precision
    task: attention
    metric: average_precision
    arms: [unguided, guided]
    baselines: [mean_template, chance]
    published: {store: {heart: {guided: 0.899}}}
  probe:
    title: Linear probe
    task: linear
    metric: roc_auc
    arms: [unguided, guided]
    baselines: [pixels]
    features: grid
    against: [unguided, pixels]
  coordinates:
    title: Segmentation by predicted places
    task: coordinates
    metric: dice
    arms: [placed]
  few:
    title: Few labels
    task: linear
    metric: roc_auc
    arms: [unguided, guided]
    fraction: 0.5
    draws: 2
    labels: [sex]
    rows: arms
    beside: random_init
    baselines: [pixels]
    against: [unguided, random_init]
    published: {store: {sex: {guided: 0.9, random_init: 0.4405}}}
  dense:
    title: Dense transfer
    task: segment
    metric: dice
    fraction: 0.5
    draws: 1
    arms: [unguided, guided]
    baselines: [mean_mask]
    against: [unguided, mean_mask]
  network:
    title: Segmentation networks
    task: segment
    decoder: fcn
    metric: iou_pooled
    draws: 1
    arms: [guided]
    beside: random_init
    against: [random_init]
  tuned:
    title: Fine-tuned
    task: finetune
    metric: roc_auc
    draws: 1
    arms: [guided]
    baselines: [random_init]
    against: [random_init]
"""
TINY = (
    "views={plan: small-chest, options: {size: 32}}",
    "backbone={name: test_vit, image_size: 32, drop_path: 0}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16, teacher_momentum: 0.9}",
    "training={batch_size: 16, epochs: 1, precision: fp32, accelerator: cpu}",
    "monitors={images: 16, knn_images: 16, every_epochs: 10}",
)


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def go() -> Callable[..., Path]:
    """Run the study of a file on a store."""

    def run(definition: Path, store: Path, out: Path, **options) -> Path:
        quiet = Console(quiet=True)
        given = {
            "data": f"{store}@all",
            "masks": [store],
            "labels": [(store, "any_finding")],
            "overrides": TINY,
            "console": quiet,
        } | options
        return pipeline.study(definition, out=out, **given)

    return run
