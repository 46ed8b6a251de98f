"""An arm whose process is killed, beside one whose process is not."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from vesalius.errors import RunError


def _kill_who_is_at(run: Path, seconds: float = 120) -> None:
    """Wait until a training is under way, and kill its process, as Linux does for want of memory."""
    end, log = time.monotonic() + seconds, run.parents[1] / "logs" / f"{run.name}.log"
    while time.monotonic() < end:
        for one in psutil.Process().children(recursive=True) if run.is_dir() else []:
            try:
                mine = str(log) in {file.path for file in one.open_files()}
            except psutil.Error:
                continue
            if mine:
                one.kill()
                return
        time.sleep(0.02)


def test_an_arm_whose_process_is_killed_is_told_and_the_others_are_done(
    go: Callable[..., Path], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    told = Console(record=True, width=300)
    given = {"tasks": ["attention"], "arms": ["unguided", "guided"], "jobs": 2}
    killer = threading.Thread(target=_kill_who_is_at, args=(out / "runs" / "unguided-seed0",))
    killer.start()
    with pytest.raises(RunError, match=r"1 training failed(.|\n)*- DINO alone, seed 0: its process died"):
        go(definition, guided_store, out, console=told, **given)
    killer.join()
    said = told.export_text()
    assert "DINO alone, seed 0: failed: its process died" in said
    assert "DINO guided, seed 0: done" in said
    text = (out / "tables.md").read_text()
    assert re.search(r"\| store \| heart \| - \| 0\.\d{3} \[", text)
    assert "- DINO alone, seed 0: its process died" in text
    assert "TerminatedWorkerError" in (out / "failed" / "unguided-seed0.txt").read_text()
    text = go(definition, guided_store, out, **given).read_text()
    assert re.search(r"\| store \| heart \| 0\.\d{3} \[.* \| 0\.\d{3} \[", text)
    assert not list((out / "failed").iterdir())
