"""A training that was killed, interrupted or never got to a checkpoint ends as the undisturbed one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from vesalius.errors import CheckpointError, RunError
from vesalius.training.checkpoint import read_step
from vesalius.training.run_folder import RunFolder

_SECONDS = 120.0


def _wait(process, condition) -> bool:
    """Wait until the condition holds; False where the process ended before."""
    until = time.monotonic() + _SECONDS
    while not condition():
        if not process.is_alive():
            return False
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.002)
    return True


def _end(process) -> int:
    process.join(_SECONDS)
    assert not process.is_alive()
    return process.exitcode


def _same(run: Path, other: Path, figures) -> None:
    for name in ("loss", "teacher_entropy", "lr", "feature_rank", "knn_any_finding_auc"):
        assert figures(run, name) == figures(other, name), name
    ours, theirs = (load_file(folder / "backbone" / "model.safetensors") for folder in (run, other))
    assert ours.keys() == theirs.keys()
    assert all(ours[key].equal(theirs[key]) for key in ours)


@pytest.fixture(scope="module")
def undisturbed(phantom_store: Path, tmp_path_factory) -> Path:
    """A run of 16 steps to its end, in a process like the disturbed ones."""
    return tmp_path_factory.mktemp("undisturbed") / "run"


@pytest.fixture
def whole(undisturbed: Path, start, phantom_store: Path, tiny) -> Path:
    if not undisturbed.exists():
        process = start(recipe="dino/small", data=f"{phantom_store}@all", out=undisturbed, overrides=tiny())
        assert _end(process) == 0
    return undisturbed


def test_killed_at_many_moments(whole: Path, start, figures, phantom_store: Path, tiny, tmp_path: Path) -> None:
    """SIGKILL before the first checkpoint, between steps, and while a checkpoint is being written."""
    run, arguments = tmp_path / "run", {"recipe": "dino/small", "data": f"{phantom_store}@all", "out": tmp_path / "run"}
    checkpoint = run / "checkpoints" / "last.ckpt"
    partial = checkpoint.with_suffix(".partial")

    def rows() -> int:
        return (run / "metrics.csv").read_text().count(",loss,") if (run / "metrics.csv").exists() else 0

    moments = [
        (run / "run.json").exists,
        (run / "recipe.yaml").exists,
        lambda: rows() >= 2,
        partial.exists,
        lambda: partial.exists() and rows() >= 6,
        (run / "backbone" / "model.safetensors.partial").exists,
        lambda: rows() >= 12,
    ]
    killed = 0
    for moment in moments:
        process = start(**arguments, overrides=() if (run / "recipe.yaml").exists() else tiny(), resume=True)
        if _wait(process, moment):
            process.kill()
        if _end(process) == -signal.SIGKILL:
            killed += 1
            if (run / "recipe.yaml").exists():
                state = json.loads((run / "run.json").read_text())
                # Killed while its pictures were drawn, the training itself was over.
                assert state["status"] == "running" or state["steps_taken"] == 16
    assert killed >= 4
    assert _end(start(**arguments, resume=True)) == 0
    _same(run, whole, figures)
    state = json.loads((run / "run.json").read_text())
    assert (state["status"], state["steps_taken"], state["epochs"], state["images_seen"]) == ("done", 16, 4.0, 256)
    assert not partial.exists()
    assert {path.name for path in (run / "pictures").iterdir()} == {"views.png", "attention.png"}


def test_killed_between_the_last_checkpoint_and_the_end(
    pretrain, figures, phantom_store, monkeypatch, tmp_path
) -> None:
    """The last checkpoint is there, but nobody wrote that the run is done: resuming has nothing to train."""
    whole, run = pretrain("whole"), tmp_path / "run"

    class Killed(BaseException):
        pass

    replace = os.replace

    def kill_after(source, target) -> None:
        replace(source, target)
        if Path(target).name == "last.ckpt" and read_step(RunFolder(run)) == 16:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("vesalius.training.checkpoint.os.replace", kill_after)
        with pytest.raises(Killed):
            pretrain("run", "training.checkpoint_minutes=60")
    _resume(run, f"{phantom_store}@all")
    _same(run, whole, figures)
    assert json.loads((run / "run.json").read_text())["status"] == "done"


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_between_steps(kind, code, whole, start, figures, phantom_store, tiny, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM save the step they fall into, though no checkpoint was due."""
    run = tmp_path / "run"
    arguments = {"recipe": "dino/small", "data": f"{phantom_store}@all", "out": run}
    process = start(**arguments, overrides=tiny("training.checkpoint_minutes=60"))
    metrics = run / "metrics.csv"
    assert _wait(process, lambda: metrics.exists() and metrics.read_text().count(",loss,") >= 3)
    os.kill(process.pid, kind)
    assert _end(process) == code
    state = json.loads((run / "run.json").read_text())
    assert state["status"] == "interrupted"
    assert 3 <= state["steps_taken"] < 16
    assert "continue it with --resume" in (tmp_path / "log.txt").read_text()
    assert _end(start(log="second.txt", **arguments, resume=True)) == 0
    assert f"resuming at step {state['steps_taken']} of 16" in (tmp_path / "second.txt").read_text()
    _same(run, whole, figures)


def test_done_is_said(whole: Path, start, figures, phantom_store: Path, tmp_path: Path) -> None:
    before = figures(whole, "loss")
    assert _end(start(recipe="dino/small", data=f"{phantom_store}@all", out=whole, resume=True)) == 0
    assert "already done" in (tmp_path / "log.txt").read_text()
    assert figures(whole, "loss") == before


def test_other_images_are_refused(pretrain, phantom_store: Path, tmp_path: Path) -> None:
    run = pretrain("run", "training.epochs=0.25")
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"status": "interrupted"}))
    with pytest.raises(CheckpointError, match="trained on other images"):
        _resume(run, f"{phantom_store}@train")
    with pytest.raises(RunError, match="keeps its recipe"):
        _resume(run, f"{phantom_store}@all", overrides=["training.epochs=9"])
    (run / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(CheckpointError, match=r"last\.ckpt: damaged"):
        _resume(run, f"{phantom_store}@all")
    (run / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json: not readable"):
        _resume(run, f"{phantom_store}@all")


def test_a_store_may_move(pretrain, figures, phantom_store: Path, tmp_path: Path) -> None:
    """What counts is what is in the store, not its name."""
    run = pretrain("run", "training.epochs=0.25")
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"status": "interrupted", "steps": 2}))
    shutil.copytree(phantom_store, tmp_path / "moved")
    _resume(run, f"{tmp_path / 'moved'}@all")
    assert [step for step, _ in figures(run, "loss")] == [0, 1]


def test_a_taken_folder_is_refused(pretrain, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="holds other files"):
        pretrain("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("name: x\n")
    with pytest.raises(RunError, match="holds a run already"):
        pretrain("run")


def _resume(run: Path, data: str, **options) -> None:
    from vesalius import pipeline

    pipeline.pretrain("dino/small", data=data, out=run, resume=True, **options)
