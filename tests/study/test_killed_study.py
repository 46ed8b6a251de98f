"""A study that was killed in the middle of an arm, gone on with, and one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def _command(definition: Path, store: Path, out: Path, tiny: tuple[str, ...]) -> list[str]:
    longer = [one.replace(" epochs: 1,", " epochs: 12, checkpoint_minutes: 0,") for one in tiny]
    sets = [word for one in longer for word in ("--set", one)]
    words = ["study", str(definition), "--data", f"{store}@all", "--masks", str(store), "--out", str(out), *sets]
    return [sys.executable, "-m", "vesalius.cli", *words, "--tasks", "attention", "--arms", "unguided,guided"]


@pytest.mark.slow
def test_a_killed_study_ends_with_the_same_rows(
    definition: Path, guided_store: Path, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(_command(definition, guided_store, tmp_path / "whole", tiny), check=True, **quiet)
    killed = _command(definition, guided_store, tmp_path / "killed", tiny)
    process = subprocess.Popen(killed, start_new_session=True, **quiet)
    checkpoint = tmp_path / "killed" / "runs" / "guided-seed0" / "checkpoints" / "last.ckpt"
    until = time.monotonic() + 300
    while not checkpoint.is_file() and time.monotonic() < until:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "results" / "guided-seed0").exists()
    assert not (tmp_path / "killed" / "results.parquet").exists()
    subprocess.run(killed, check=True, **quiet)
    whole, again = (tmp_path / name / "results.parquet" for name in ("whole", "killed"))
    assert whole.read_bytes() == again.read_bytes()
