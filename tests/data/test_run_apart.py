"""Calls that are made all the same when one of them fails, or takes its process with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from vesalius.data.run_apart import run_apart
from vesalius.errors import ConfigError, VesaliusError

_PACKAGES = {"local": "joblib", "ray": "ray", "dask": "distributed"}


def _work(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # as Linux does for want of memory
    if number == 2:
        raise ConfigError("two is not wanted")
    time.sleep(0.2)
    return number * number


@pytest.mark.filterwarnings("ignore")  # of the clusters themselves, on their sockets and settings
@pytest.mark.parametrize("engine", list(_PACKAGES))
def test_a_process_that_dies_takes_no_other_call_with_it(engine: str) -> None:
    pytest.importorskip(_PACKAGES[engine], reason=f"{engine} is not installed: pip install 'vesalius[cluster]'")
    found = dict(run_apart(_work, [(number,) for number in range(6)], workers=2, engine=engine))
    died, refused = found.pop(1), found.pop(2)
    assert found == {number: number * number for number in (0, 3, 4, 5)}
    assert isinstance(died, VesaliusError)
    assert "its process died" in str(died)
    assert isinstance(refused, ConfigError)


def _process(_number: int) -> int:
    return os.getpid()


def test_every_call_has_a_process_of_its_own() -> None:
    found = [process for _, process in run_apart(_process, [(number,) for number in range(3)], workers=2)]
    assert len({*found, os.getpid()}) == 4
    assert not any(psutil.pid_exists(one) for one in found)


_STUDY = """
    import os, pathlib, signal, sys, time
    from vesalius.data.run_apart import run_apart

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it

    def work(folder):
        (pathlib.Path(folder) / str(os.getpid())).touch()
        time.sleep(300)

    list(run_apart(work, [(sys.argv[1],)] * 3, workers=2))
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_they_work_for(
    workers_of_ended: Callable[[str, signal.Signals], int], ending: signal.Signals
) -> None:
    assert workers_of_ended(_STUDY, ending) == 2
