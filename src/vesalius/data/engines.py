"""Where the work of preparing runs: processes of this machine, or a Ray or Dask cluster, by joblib."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import joblib
import psutil

from vesalius.errors import ConfigError, VesaliusError, nearest

__all__ = ["call_for", "check_engine", "dask_client", "run_in_order", "worker_count"]

Result = TypeVar("Result")

_ENGINES = ("local", "ray", "dask")
_AHEAD = 8  # calls a worker that are handed to Ray or Dask together
_LOOK_EVERY = 1.0  # second, of a worker for the process that it works for


def worker_count(workers: int | None) -> int:
    """Return the number of workers: as asked, or as many as this process may use cores.

    Raises:
        ConfigError: For fewer than one.
    """
    if workers is None:
        return int(joblib.cpu_count())
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, got {workers}")
    return workers


def check_engine(engine: str) -> str:
    """Return the engine's joblib backend (`loky`, `ray`, `dask`).

    Raises:
        ConfigError: For an unknown engine, or one whose package is not installed.
    """
    name, _, address = engine.partition("://")
    if name not in _ENGINES or (address and name == "local") or ("://" in engine and not address):
        raise ConfigError(f"no engine {engine!r}; use local, ray, dask, or dask://HOST:PORT{nearest(name, _ENGINES)}")
    package = {"local": "joblib", "ray": "ray.util.joblib", "dask": "distributed"}[name]
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"engine {engine!r} needs a package that is not installed ({error.name}): pip install 'vesalius[cluster]'"
        ) from error
    return {"local": "loky", "ray": "ray", "dask": "dask"}[name]


def run_in_order(
    function: Callable[..., Result],
    arguments: Iterable[Sequence[Any]],
    *,
    workers: int,
    engine: str = "local",
) -> Iterator[Result]:
    """Call the function for each tuple of arguments, several at a time, and yield the results in order.

    Worker processes of this machine end with this one, however it ends.

    Args:
        function: Importable by the workers; what it raises ends the run.
        arguments: One tuple a call.
        workers: How many calls at a time; 1 runs them in this process.
        engine: See `check_engine`.

    Raises:
        ConfigError: See `check_engine`.
        VesaliusError: Where a worker process died.
    """
    with ExitStack() as stack:
        _enter_backend(stack, engine, workers)
        if engine == "local":
            yield from _local(function, arguments, workers)
            return
        calls = iter(arguments)
        while batch := list(itertools.islice(calls, _AHEAD * workers)):  # these backends give lists only
            yield from joblib.Parallel()(joblib.delayed(function)(*call) for call in batch)


def _local(function: Callable[..., Result], arguments: Iterable[Sequence[Any]], workers: int) -> Iterator[Result]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = joblib.Parallel(n_jobs=workers, return_as="generator", pre_dispatch="3*n_jobs", batch_size=1)
    calls = (joblib.delayed(call_for)(os.getpid(), function, *call) for call in arguments)
    try:
        yield from parallel(calls)
    except TerminatedWorkerError as error:
        raise VesaliusError(
            "a worker process was killed, most likely for want of memory. Use fewer workers and run the same command "
            "again: it goes on where it stopped"
        ) from error


def call_for(owner: int, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call the function for a process, which may be this one; another one's end is this one's end."""
    if owner != os.getpid():
        _end_with(owner)
    return function(*arguments)


@functools.cache
def _end_with(owner: int) -> None:
    threading.Thread(target=_watch, args=(owner,), name=f"ends with {owner}", daemon=True).start()


def _watch(owner: int) -> None:
    """End this process, at once as if killed, when its owner is gone: nobody would take or stop what it does."""
    while psutil.pid_exists(owner) and os.getppid() == owner:
        time.sleep(_LOOK_EVERY)
    os._exit(1)


def _enter_backend(stack: ExitStack, engine: str, workers: int) -> None:
    """Make the engine's joblib backend the current one until the stack is left."""
    backend = check_engine(engine)
    if backend == "loky":
        # Workers that were idle, or grew by 300 MB, are replaced by loky, which warns of it in a thread of its own. As
        # an error the warning would end that thread, and what waits for its results would wait for ever.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
        stack.enter_context(joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1))
        return
    if backend == "ray":
        importlib.import_module("ray.util.joblib").register_ray()
    else:
        stack.enter_context(dask_client(engine, workers))
    stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=workers))


def dask_client(engine: str, workers: int) -> Any:
    """Return a client of the Dask cluster at the engine's address, or of one on this machine; a context."""
    client = importlib.import_module("distributed").Client
    address = engine.partition("://")[2]
    local = {"n_workers": workers, "threads_per_worker": 1}
    return client(f"tcp://{address}") if address else client(**local)
