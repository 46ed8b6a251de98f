"""Kept arrays: computed once, told apart by all they come from, made again where the file is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vesalius.evaluation.kept_arrays import digest_of, kept_arrays


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


def test_a_name_follows_from_everything_that_was_given() -> None:
    rows, others = np.arange(4), np.arange(1, 5)
    names = {digest_of(["linear", 1], rows), digest_of(["linear", 2], rows), digest_of(["linear", 1], others)}
    assert len(names) == 3
    assert digest_of("all", np.arange(8)[::2]) == digest_of("all", np.array([0, 2, 4, 6]))  # not how it lies in memory
