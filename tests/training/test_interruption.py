"""A training gives back what it took of the process: who answers signals, and the memory of what it trained."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer

from vesalius.methods.dino import Dino
from vesalius.training.interruption import StopBetweenSteps

KINDS = (signal.SIGINT, signal.SIGTERM)


def _handlers() -> list[object]:
    return [signal.getsignal(kind) for kind in KINDS]


def _parameters() -> int:
    return sum(type(thing) is torch.nn.Parameter for thing in gc.get_objects())


def test_signals_and_memory_are_given_back(pretrain: Callable[..., Path]) -> None:
    """A handler of Lightning's left behind would ignore SIGTERM from here on, and hold the trainer and the networks."""
    gc.collect()
    handlers, kept = _handlers(), _parameters()
    pretrain("run", "training.epochs=0.25")
    assert _handlers() == handlers
    assert _parameters() <= kept


def test_signals_and_memory_are_given_back_when_interrupted(
    pretrain: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = Dino.after_step

    def terminate(self, progress) -> None:
        follow(self, progress)
        if progress.step == 1:
            signal.raise_signal(signal.SIGTERM)

    def answer(kind, frame) -> None:
        pytest.fail("the training answers while it runs")

    before = signal.signal(signal.SIGTERM, answer)
    try:
        gc.collect()
        handlers, kept = _handlers(), _parameters()
        monkeypatch.setattr(Dino, "after_step", terminate)
        with pytest.raises(SystemExit, match="143"):
            pretrain("run")
        assert _handlers() == handlers
    finally:
        signal.signal(signal.SIGTERM, before)
    gc.collect()  # the traceback held the training until here
    assert _parameters() <= kept


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)

    def take_and_restore() -> list[object]:
        stopper = StopBetweenSteps()
        stopper.on_train_start(trainer, LightningModule())
        taken = _handlers()
        stopper.restore()
        return taken

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(take_and_restore).result() == _handlers()
