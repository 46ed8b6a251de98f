"""One process at a time; a lock of the dead is free."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from vesalius.locks import holding


def _hold(path: Path, begun, end) -> None:
    with holding(path) as free:
        assert free
        begun.set()
        end.wait(60)


def test_another_process_is_told_or_waits_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun, end = context.Event(), context.Event()
    path = tmp_path / "new" / "lock"
    process = context.Process(target=_hold, args=(path, begun, end))
    process.start()
    assert begun.wait(60)
    with holding(path) as free:
        assert not free
    process.kill()
    with holding(path, wait=True) as free:
        assert free
    process.join(60)
    with holding(path) as free:
        assert free
