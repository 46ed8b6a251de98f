"""Calls that are long, and of which each may take its process with it: the others are made all the same."""

from __future__ import annotations

import importlib
import itertools
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from vesalius.data.engines import call_for, check_engine, dask_client
from vesalius.errors import VesaliusError

__all__ = ["run_apart"]

Result = TypeVar("Result")

_Submit = Callable[..., Future[Any]]
_Free = Callable[[Future[Any]], None]

_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")}


def run_apart(
    function: Callable[..., Result], arguments: Iterable[Sequence[Any]], *, workers: int, engine: str = "local"
) -> Iterator[tuple[int, Result | Exception]]:
    """Call the function for each tuple of arguments, several at a time, and yield each result as it comes.

    On this machine every call has a process of its own, which ends with this one. joblib is not asked: a process that
    dies takes with it what its pools are at, and Dask's is waited for for ever.

    Args:
        function: Importable by the workers; Dask calls it again where a worker died, so it goes on where it stopped.
        arguments: One tuple a call.
        workers: How many calls at a time.
        engine: See `vesalius.data.engines.check_engine`.

    Yields:
        The call's place among all, and its result; in place of that what was raised, or that its process died.

    Raises:
        ConfigError: See `vesalius.data.engines.check_engine`.
    """
    calls = enumerate(arguments)
    running: dict[Future[Any], int] = {}
    with _started(engine, workers) as (submit, free):
        while True:
            for place, call in itertools.islice(calls, workers - len(running)):
                running[submit(_caught, function, *call)] = place
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                free(done)  # before the next begins, for which its memory and its GPU are there then
                yield running.pop(done), _result_of(done)


def _started(engine: str, workers: int) -> AbstractContextManager[tuple[_Submit, _Free]]:
    backend = check_engine(engine)
    if backend == "loky":
        return _own_processes()
    return _ray() if backend == "ray" else _dask(engine, workers)


@contextmanager
def _own_processes() -> Iterator[tuple[_Submit, _Free]]:
    pools: dict[Future[Any], ProcessPoolExecutor] = {}

    def submit(*call: Any) -> Future[Any]:
        pool = ProcessPoolExecutor(max_workers=1, env=_ONE_THREAD)
        future: Future[Any] = pool.submit(call_for, os.getpid(), *call)
        pools[future] = pool
        return future

    try:
        yield submit, lambda future: pools.pop(future).shutdown()
    finally:
        for pool in pools.values():
            pool.shutdown(kill_workers=True)


@contextmanager
def _ray() -> Iterator[tuple[_Submit, _Free]]:
    ray = importlib.import_module("ray")

    def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = ray.remote(num_cpus=1, max_retries=0)(function).remote(*arguments).future()
        return future

    yield submit, lambda _: None


@contextmanager
def _dask(engine: str, workers: int) -> Iterator[tuple[_Submit, _Free]]:
    with dask_client(engine, workers) as client:
        yield client.get_executor(pure=False).submit, lambda _: None


def _caught(function: Callable[..., Result], *arguments: Any) -> Result | Exception:
    """Return what the function raises: what comes otherwise is the engine's own."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 (of any call, whatever it is; interruptions are none)
        error.add_note(traceback.format_exc())  # the trace stays behind in its process
        return error


def _result_of(done: Future[Any]) -> Any:
    try:
        return done.result()
    except Exception as error:  # noqa: BLE001 (every engine has its own)
        died = VesaliusError(
            f"its process died ({type(error).__name__}), most likely killed for want of memory; let fewer run at a "
            "time: it goes on where it stopped"
        )
        died.__cause__ = error
        return died
