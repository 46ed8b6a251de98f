"""SIGKILL at every moment at which `prepare` touches the disk for good, and what is left behind each time."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.store import open_store
from vesalius.errors import StoreError

# Forks one child a moment; the child kills itself with SIGKILL at its n-th durable step.
KILLER = """
import json, os, signal, sys
from pathlib import Path
import pandas, PIL.PngImagePlugin, pyarrow.parquet  # once, before the forks
from vesalius.data import prepare_job, read_raster
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.errors import StoreError

prepare_job._CHUNK = 6  # many commits of few files
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
salt = folder / "salt"

def run(out, kill_at):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    steps = 0
    def counted(real):
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        return step
    for name in ("fsync", "write", "truncate", "replace", "rename", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    code = 1
    try:
        summary = prepare(source, out, size=32, workers=1, salt_file=salt, progress=False)
        (folder / (out.name + ".json")).write_text(json.dumps(summary.as_dict()))
        code = 0
    finally:
        os._exit(code)

outcomes = []
for moment in range(1, 10**6):
    out = folder / f"killed-{moment}"
    status = run(out, moment)
    if os.WIFEXITED(status):
        outcomes.append({"moment": moment, "left": "finished", "code": os.WEXITSTATUS(status)})
        break
    try:
        open_store(out).verify()
        left = "complete"
    except StoreError:
        left = "partial" if out.with_name(out.name + ".partial").exists() else "nothing"
    resumed = run(out, 0)
    outcomes.append({"moment": moment, "left": left, "code": resumed})
print(json.dumps(outcomes))
"""


def noise(folder: Path, images: int, side: int) -> Path:
    """Write a folder of PNGs, one of them twice, one of them broken."""
    folder.mkdir()
    generator = np.random.default_rng(5)
    for number in range(images):
        pixels = generator.integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png", compress_level=1)
    (folder / "zz-copy.png").write_bytes((folder / "001.png").read_bytes())
    (folder / "zz-empty.png").write_bytes(b"")
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_killed_at_any_step_it_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    source = noise(tmp_path / "source", images=10, side=40)
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(source), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 25
    assert {outcome["code"] for outcome in outcomes} == {0}
    left = [outcome["left"] for outcome in outcomes]
    assert left[-1] == "finished"
    assert {"partial", "complete"} <= set(left[:-1]) <= {"nothing", "partial", "complete"}
    # Once whole, whole: a complete store never follows a later partial.
    assert "partial" not in left[left.index("complete") :]
    expected = digest(tmp_path / f"killed-{outcomes[-1]['moment']}")
    for outcome in outcomes:
        assert digest(tmp_path / f"killed-{outcome['moment']}") == expected, outcome
        assert not (tmp_path / f"killed-{outcome['moment']}.partial").exists()


def test_killed_with_worker_processes_it_does_not_decode_again(tmp_path: Path) -> None:
    source = noise(tmp_path / "source", images=192, side=400)
    command = (
        "import sys; from vesalius.data.prepare import prepare; "
        "print(prepare(sys.argv[1], sys.argv[2], size=32, workers=2, salt_file=sys.argv[3], progress=False).resumed)"
    )
    arguments = [sys.executable, "-c", command, str(source), str(tmp_path / "s"), str(tmp_path / "salt")]
    journal = tmp_path / "s.partial" / "journal"
    process = subprocess.Popen(arguments, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(journal.glob("chunk-*.json")):
        assert process.poll() is None, "finished before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(StoreError, match="unfinished"):
        open_store(tmp_path / "s")
    committed = sum(json.loads(path.read_text())["rows"] for path in journal.glob("chunk-*.json"))
    again = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    assert committed > 0
    assert int(again.stdout) == committed
    store = open_store(tmp_path / "s")
    store.verify()
    assert len(store) == 192
