"""One pretraining in a process of its own, that a test may kill: `runpy` runs this file with `request` set."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

request: dict[str, Any] = globals()["request"]

os.environ.update(request.get("environment", {}))
log = Path(request["log"]).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 (kept to the end of the process)
os.dup2(log.fileno(), 1)
os.dup2(log.fileno(), 2)

from lightning import Callback, Trainer  # noqa: E402
from rich.console import Console  # noqa: E402

from vesalius import pipeline  # noqa: E402
from vesalius.errors import VesaliusError  # noqa: E402
from vesalius.training import cost, train  # noqa: E402

cost.WARM_STEPS, cost.TIMED_STEPS = 0, 1


class Interrupting(Callback):
    """Sends Ctrl-C to this very process after a step."""

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        if trainer.global_step == request["interrupt_after"] + 1:
            signal.raise_signal(signal.SIGINT)


if request.get("interrupt_after") is not None:
    built = train.lightning_trainer
    train.lightning_trainer = lambda *given, callbacks, **options: built(
        *given, callbacks=[Interrupting(), *callbacks], **options
    )

try:
    pipeline.pretrain(**request["arguments"], console=Console(file=log, width=200))
except VesaliusError as error:
    print(f"{type(error).__name__}: {error}", file=log)
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)
