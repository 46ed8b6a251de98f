"""Ctrl-C and termination end a training between two steps, so that what is saved is whole."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

__all__ = ["StopBetweenSteps"]


class StopBetweenSteps(Callback):
    """Takes SIGINT and SIGTERM as a request to stop after the step; a second one of the same kind stops at once.

    An exception in the middle of a step could leave a student that has moved beside a teacher that has not; a
    checkpoint of that would not resume to the same losses.
    """

    def __init__(self) -> None:
        """Wait for a signal; make it before `Trainer.fit`, so that who answers signals now does so again afterwards.

        A handler of Lightning's, given back after its own teardown, would keep the trainer and all that it trained for
        as long as the process lives, and answer the next SIGTERM with nothing.
        """
        self.received: int | None = None
        mine = threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {
            kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM) if mine
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals, after Lightning has set its own handlers."""
        del trainer, pl_module
        for kind in self._before:
            signal.signal(kind, self._receive)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Ask for the end when a signal came, on any process."""
        del pl_module, args
        stop = self.received is not None
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            trainer.should_stop = True

    def restore(self) -> None:
        """Give the signals back."""
        for kind, handler in self._before.items():
            signal.signal(kind, handler or signal.SIG_DFL)  # None: was not set from Python

    def raise_again(self) -> None:
        """Tell the caller of the training what stopped it.

        Raises:
            KeyboardInterrupt: It was SIGINT.
            SystemExit: It was SIGTERM; the status is 128 + 15, as a shell would report it.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)

    def _receive(self, kind: int, frame: FrameType | None) -> None:
        del frame
        if self.received == kind:
            self.restore()
            if kind == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + kind)
        self.received = kind
        # No print: a handler may run inside one.
        os.write(2, b"stopping after this step, to save it; once more stops at once\n")
