"""Kept arrays: computed once, told apart by all they come from, made again where the file is damaged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vesalius.evaluation.kept_arrays import MadeElsewhereError, digest_of, free_ones_first, kept_arrays
from vesalius.locks import holding


def computing(calls: list[str]) -> Callable[[], dict[str, np.ndarray]]:
    def compute() -> dict[str, np.ndarray]:
        calls.append("computed")
        return {"scores": np.arange(6.0).reshape(2, 3), "told": np.array("a word")}

    return compute


def test_what_is_kept_is_not_computed_again(tmp_path: Path) -> None:
    path, calls = tmp_path / "cache" / "one.npz", []
    first = kept_arrays(path, computing(calls), found=lambda: calls.append("found"))
    second = kept_arrays(path, computing(calls), found=lambda: calls.append("found"))
    assert calls == ["computed", "found"]
    np.testing.assert_array_equal(second["scores"], first["scores"])
    assert str(second["told"]) == "a word"


@pytest.mark.parametrize("damage", ["cut short", "empty", "no archive"])
def test_a_damaged_file_is_made_again_and_counted_once(tmp_path: Path, damage: str) -> None:
    path, calls = tmp_path / "one.npz", []
    kept_arrays(path, computing(calls))
    whole = path.read_bytes()
    path.write_bytes({"cut short": whole[: len(whole) // 2], "empty": b"", "no archive": b"scores"}[damage])
    again = kept_arrays(path, computing(calls), found=lambda: calls.append("found"))
    assert calls == ["computed", "computed"]
    np.testing.assert_array_equal(again["scores"], np.arange(6.0).reshape(2, 3))
    assert path.read_bytes() == whole


def test_of_those_that_want_the_same_one_makes_it(tmp_path: Path) -> None:
    path, calls = tmp_path / "one.npz", []
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> dict[str, np.ndarray]:
        asked.set()
        assert go_on.wait(20)
        return computing(calls)()

    first = threading.Thread(target=kept_arrays, args=(path, slow))
    first.start()
    assert asked.wait(20)
    with pytest.raises(MadeElsewhereError):
        kept_arrays(path, computing(calls), wait=False)
    second = threading.Thread(target=kept_arrays, args=(path, slow), kwargs={"found": lambda: calls.append("found")})
    second.start()
    go_on.set()
    for one in (first, second):
        one.join(20)
    assert calls == ["computed", "found"]
    assert str(kept_arrays(path, computing(calls), wait=False)["told"]) == "a word"


def test_what_another_process_is_at_comes_last(tmp_path: Path) -> None:
    order: list[tuple[int, bool]] = []

    def do(place: int, wait: bool) -> int:
        order.append((place, wait))
        if wait:
            held.__exit__(None, None, None)
        return int(kept_arrays(tmp_path / f"{place}.npz", lambda: {"place": np.array(place)}, wait=wait)["place"])

    held = holding(tmp_path / ".locks" / "1")
    assert held.__enter__()
    assert free_ones_first(3, do) == [0, 1, 2]
    assert order == [(0, False), (1, False), (2, False), (1, True)]


def test_a_name_follows_from_everything_that_was_given() -> None:
    rows, others = np.arange(4), np.arange(1, 5)
    names = {digest_of(["linear", 1], rows), digest_of(["linear", 2], rows), digest_of(["linear", 1], others)}
    assert len(names) == 3
    assert digest_of("all", np.arange(8)[::2]) == digest_of("all", np.array([0, 2, 4, 6]))  # not how it lies in memory
