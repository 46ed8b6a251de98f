"""The same work in the same order on every engine; Ray and Dask where they are installed (`vesalius[cluster]`)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from vesalius.data.engines import run_in_order
from vesalius.errors import ConfigError

_PACKAGES = {"local": "joblib", "ray": "ray", "dask": "distributed"}


def _square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def _refuse(number: int) -> int:
    if number == 3:
        raise ConfigError("three is not wanted")
    return number


_KEPT: list[np.ndarray] = []


def _hoard(megabytes: int) -> int:
    _KEPT.append(np.ones(megabytes * 2**17))
    time.sleep(0.6)  # loky looks at a worker's memory once a second
    return os.getpid()


def test_workers_that_grow_are_replaced_also_where_warnings_are_errors() -> None:
    assert len(set(run_in_order(_hoard, [(200,)] * 8, workers=2))) > 2


@pytest.mark.filterwarnings("ignore")  # of the clusters themselves, on their sockets and settings
@pytest.mark.parametrize("engine", list(_PACKAGES))
def test_results_come_in_order_from_other_processes(engine: str) -> None:
    pytest.importorskip(_PACKAGES[engine], reason=f"{engine} is not installed: pip install 'vesalius[cluster]'")
    found = list(run_in_order(_square, [(number,) for number in range(20)], workers=2, engine=engine))
    assert [value for value, _ in found] == [number * number for number in range(20)]
    assert os.getpid() not in {process for _, process in found}
    with pytest.raises(ConfigError, match="three is not wanted"):
        list(run_in_order(_refuse, [(number,) for number in range(5)], workers=2, engine=engine))


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_is_found_by_its_address() -> None:
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install 'vesalius[cluster]'")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        found = list(run_in_order(_square, [(number,) for number in range(4)], workers=2, engine=address))
    assert [value for value, _ in found] == [0, 1, 4, 9]
    assert os.getpid() not in {process for _, process in found}


def test_one_worker_stays_in_this_process() -> None:
    assert {process for _, process in run_in_order(_square, [(1,), (2,)], workers=1)} == {os.getpid()}


_STUDY = """
    import os, pathlib, sys, time
    from vesalius.data.engines import run_in_order

    def work(folder):
        (pathlib.Path(folder) / str(os.getpid())).touch()
        time.sleep(300)

    list(run_in_order(work, [(sys.argv[1],)] * 2, workers=2))
"""


def test_workers_end_with_a_process_that_is_killed(workers_of_ended: Callable[[str, signal.Signals], int]) -> None:
    assert workers_of_ended(_STUDY, signal.SIGKILL) == 2
