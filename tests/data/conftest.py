"""What the tests of worker processes share."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def workers_of_ended(tmp_path: Path) -> Callable[[str, signal.Signals], int]:
    """Start a program whose workers name themselves in a folder, end it once there are two, and wait for their end.

    Returns how many there were in all.
    """

    def end(program: str, ending: signal.Signals) -> int:
        ended = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(tmp_path)])
        workers: list[psutil.Process] = []
        try:
            _wait(lambda: len(list(tmp_path.iterdir())) == 2)
            workers += [psutil.Process(int(file.name)) for file in tmp_path.iterdir()]
            ended.send_signal(ending)
            ended.wait(timeout=60)
            _wait(lambda: not any(_runs(one) for one in workers))
            return len(list(tmp_path.iterdir()))
        finally:
            for one in filter(_runs, workers):
                one.kill()
            ended.kill()
            ended.wait()

    return end


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _wait(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)
