"""The contract of every method on every family of backbones.

It trains, resumes exactly, exports what timm opens, and on two processes has the losses of one.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from vesalius import pipeline
from vesalius.backbones.load import load_backbone
from vesalius.methods.base import Method
from vesalius.methods.byol import Byol
from vesalius.methods.dino import Dino
from vesalius.methods.moco import Moco
from vesalius.methods.moco_v3 import MocoV3
from vesalius.methods.no_method import NoMethod
from vesalius.methods.r2o import R2o
from vesalius.methods.simclr import SimClr
from vesalius.methods.simsiam import SimSiam
from vesalius.methods.swav import Swav


class Contender(NamedTuple):
    """A method's class, its options, where a checkpoint keeps the backbone that is exported, its own views and pool."""

    method: type[Method]
    overrides: tuple[str, ...]
    exported: str
    plan: str = ""
    pool: str = "auto"


_NO_LOCALS = "views.options.locals=0"
METHODS = {
    "dino": Contender(
        Dino,
        (
            "method={name: dino, prototypes: 32, hidden: 16, bottleneck: 8, teacher_momentum: 0.9, "
            "frozen_prototypes_epochs: 0.5}",
        ),
        "method.teacher.backbone.model.",
    ),
    "byol": Contender(
        Byol, ("method={name: byol, hidden: 32, dim: 16, teacher_momentum: 0.9}",), "method.student.model."
    ),
    "simsiam": Contender(SimSiam, ("method={name: simsiam, dim: 32, predictor_hidden: 8}",), "method.student.model."),
    "swav": Contender(
        Swav,
        (
            "method={name: swav, hidden: 32, dim: 16, prototypes: 8, queue: 4, queue_start_epoch: 0, "
            "frozen_prototypes_epochs: 0.0625}",
        ),
        "method.student.model.",
    ),
    "moco": Contender(
        Moco, ("method={name: moco, hidden: 32, dim: 16, queue: 10}", _NO_LOCALS), "method.student.model."
    ),
    "moco-v3": Contender(
        MocoV3, ("method={name: moco-v3, hidden: 32, dim: 16, teacher_momentum: 0.9}",), "method.student.model."
    ),
    "simclr": Contender(SimClr, ("method={name: simclr, hidden: 32, dim: 16}", _NO_LOCALS), "method.student.model."),
    "r2o": Contender(
        R2o,
        ("method={name: r2o, hidden: 32, dim: 16, clusters: 6, teacher_momentum: 0.9}",),
        "method.student.model.",
        plan="r2o-chest",
        pool="mean",
    ),
    "none": Contender(
        NoMethod, ("method={name: none}", "guidance={coordinates: {}, contrast: {}}"), "method.student.model."
    ),
}
# name, side of the global views, of the local ones
BACKBONES = {
    "vit": ("vit_tiny_patch16_224", 32, 16),
    "deit": ("deit_tiny_distilled_patch16_224", 32, 16),
    "swin": ("swin_tiny_patch4_window7_224", 56, 28),
    "resnet": ("resnet18", 32, 24),
    "tiny_resnet": ("test_resnet", 32, 24),
    "inception": ("inception_v3", 80, 80),
    "vitae": ("vitae_v2_half", 64, 32),
}
# SGD keeps the checkpoints of the large ones small; AdamW's state is resumed with the others.
_ADAMW, _SGD = "optimizer={name: adamw, lr: 1.0e-3}", "optimizer={name: sgd, lr: 1.0e-2, momentum: 0}"
OPTIMIZERS = dict.fromkeys(BACKBONES, _ADAMW) | {"swin": _SGD, "inception": _SGD}
_SETTINGS = [
    ("vit", 1, "fp32", 0.2),
    ("vit", 3, "bf16", 0.0),
    ("deit", 1, "bf16", 0.2),
    ("swin", 1, "fp32", 0.2),
    ("resnet", 3, "fp32", 0.2),
    ("tiny_resnet", 1, "fp32", 0.2),
    ("inception", 3, "fp32", 0.0),
    ("vitae", 1, "bf16", 0.2),
]


def _overrides(contender: Contender, family: str, channels: int, backbone: str, training: str) -> list[str]:
    """Three steps of `dino/small`'s recipe, with another method and backbone in it."""
    name, size, local = BACKBONES[family]
    views = f"views.options={{size: {size}, locals: 1, local_size: {local}}}"
    return [
        f"views={{plan: {contender.plan}, options: {{size: {size}}}}}" if contender.plan else views,
        f"backbone={{name: {name}, image_size: {size}, in_chans: {channels}, {backbone}, pool: {contender.pool}}}",
        *contender.overrides,
        OPTIMIZERS[family],
        f"training={{log_every_steps: 1, accelerator: cpu, {training}}}",
        "monitors={every_epochs: 9, images: 16, knn_images: 64}",
    ]


def _losses(run: Path) -> list[float]:
    table = pd.read_csv(run / "metrics.csv")
    return table[table["name"] == "loss"].sort_values("step")["value"].tolist()


# The large families take most of the time and of the memory: every other method meets them in the slow tests, and
# always a ViT and a ResNet.
_EVERYWHERE, _ALWAYS, _LARGEST = ("dino",), (("vit", 1), ("tiny_resnet", 1)), ("inception",)
_PAIRS = [
    pytest.param(
        method,
        *setting,
        marks=()
        if setting[:2] in _ALWAYS or (method in _EVERYWHERE and setting[0] not in _LARGEST)
        else pytest.mark.slow,
        id="-".join([method, *map(str, setting)]),
    )
    for method in METHODS
    for setting in _SETTINGS
]


@pytest.mark.parametrize(("method", "family", "channels", "precision", "drop_path"), _PAIRS)
def test_contract(
    method: str,
    family: str,
    channels: int,
    precision: str,
    drop_path: float,
    guided_store: Path,
    tmp_path: Path,
    monkeypatch,
) -> None:
    contender, size = METHODS[method], BACKBONES[family][1]
    overrides = _overrides(
        contender, family, channels, f"drop_path: {drop_path}", f"batch_size: 4, epochs: 0.1875, precision: {precision}"
    )

    def train(folder: Path, *further: str, resume: bool = False) -> Path:
        return pipeline.pretrain(
            "dino/small",
            data=f"{guided_store}@all",
            out=folder,
            overrides=() if resume else [*overrides, *further],
            resume=resume,
        )

    monkeypatch.setattr("vesalius.training.cost.WARM_STEPS", 0)
    monkeypatch.setattr("vesalius.training.cost.TIMED_STEPS", 1)
    whole = train(tmp_path / "whole")
    losses = _losses(whole)
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    _stops_and_resumes(train, tmp_path / "cut", losses, contender.method)
    _timm_opens(whole, channels, size, contender.exported)
    shutil.rmtree(tmp_path)  # a gigabyte for the large ones


def _stops_and_resumes(train: Callable[..., Path], folder: Path, losses: list[float], method: type[Method]) -> None:
    """Press Ctrl-C in the second of the three steps, and go on from the checkpoint that it leaves."""

    follow = method.after_step

    def interrupt(self, progress) -> None:
        follow(self, progress)
        if progress.step == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method, "after_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(folder)
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    train(folder, resume=True)
    assert _losses(folder) == losses


def _timm_opens(run: Path, channels: int, size: int, prefix: str) -> None:
    ours = load_backbone(run / "backbone")
    theirs = timm.create_model(f"local-dir:{run / 'backbone'}", pretrained=True).eval()
    exported = {key: value.clone() for key, value in theirs.state_dict().items()}
    # In double: the batch statistics of three steps make a deep CNN amplify what memory layouts change in the last bit.
    ours, theirs = ours.double(), theirs.double()
    x = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        features = ours.forward_features(x)
        tokens = theirs.forward_features(x)
        # timm averages the two class tokens of a distilled DeiT; DINO and the pooled features here use [CLS] alone.
        if ours.pool == "mean" and ours.has_cls:
            pooled = tokens[:, theirs.num_prefix_tokens :].mean(dim=1)
        else:
            pooled = tokens[:, 0] if "distilled" in ours.name else theirs.forward_head(tokens, pre_logits=True)
    torch.testing.assert_close(features.pooled, pooled, rtol=1e-5, atol=1e-5)
    settings = json.loads((run / "backbone" / "config.json").read_text())
    assert settings["vesalius"]["in_chans"] == channels
    assert settings["vesalius"]["image_size"] == [size, size]
    assert settings["vesalius"]["pool"] == ours.pool
    trained = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    kept = {key.removeprefix(prefix): value for key, value in trained.items() if key.startswith(prefix)}
    assert kept.keys() == exported.keys()
    assert all(torch.equal(kept[key].to(exported[key].dtype), exported[key]) for key in kept)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vit", "swin", "resnet", "vitae"])
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one(
    start_two: Callable[..., None], guided_store: Path, tmp_path: Path, method: str, family: str
) -> None:
    """Batch norm of backbone and heads, queues, centres, codes, negatives and clusters are those of the whole batch.

    An untrained Inception is left out: its features are in the millions and magnify the last bits of batch statistics.
    """
    overrides = [
        *_overrides(METHODS[method], family, 1, "drop_path: 0", "batch_size: 16, epochs: 0.75, precision: fp32"),
        # Adam would magnify gradients of nearly 0, larger steps the last bits of batch statistics.
        "optimizer={name: sgd, lr: 1.0e-3, scale_lr: false, momentum: 0, warmup_epochs: 0}",
    ]
    data = f"{guided_store}@all"
    single = pipeline.pretrain("dino/small", data=data, out=tmp_path / "one", overrides=overrides)
    arguments = {"recipe": "dino/small", "data": data, "out": tmp_path / "two"}
    start_two(arguments, [*overrides, "training.strategy=ddp", "training.devices=2"])
    one, two = _losses(single), _losses(tmp_path / "two")
    assert len(one) == 3
    assert len({round(value, 5) for value in one}) == 3
    assert two == pytest.approx(one, rel=1e-4, abs=1e-4)
