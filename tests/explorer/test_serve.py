"""The command as a user starts and stops it, and what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vesalius import pipeline
from vesalius.cli import app
from vesalius.errors import ConfigError, RunError
from vesalius.explorer.exploration import Exploration
from vesalius.explorer.open_privately import open_privately
from vesalius.explorer.serve import open_door

from .conftest import Explored


def test_started_opened_and_stopped(explored: Explored, exploration: Exploration) -> None:
    """What `exploration` computed is found again, so that it begins at once."""
    words = [
        "explore",
        str(explored.run),
        "--data",
        str(explored.store.path),
        "--map",
        "pca",
        "--no-open",
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "vesalius.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        address = process.stdout.readline().removeprefix("explorer: ").strip()
        assert address.startswith("http://127.0.0.1:")
        bare = address.partition("?")[0]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(bare)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(address) as answer:
            assert b"url=/" in answer.read()
        with opener.open(bare) as answer:
            assert b'<div role="tablist"' in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "GET" not in out + errors  # no log of who looked at what


def test_what_cannot_be_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"):
            open_door(port=taken.getsockname()[1])
    with pytest.raises(ConfigError, match="at least 16 letters"):
        open_door(token="short")
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.7"):
        open_door(host="203.0.113.7")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "--data", "{store}"], "is no run folder"),
        (["{run}", "--data", "nowhere"], "nowhere"),
        (["{run}", "{run}", "--data", "{store}"], "named twice"),
        (["{run}", "--data", "{store}", "--map", "tsne"], "no map 'tsne'"),
    ],
)
def test_wrong_words(explored: Explored, words: list[str], told: str) -> None:
    given = [one.format(run=explored.run, store=explored.store.path) for one in words]
    done = CliRunner().invoke(app, ["explore", *given, "--no-open"])
    assert done.exit_code != 0
    assert told in str(done.exception)


def test_the_secret_stands_in_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    file = open_privately("http://127.0.0.1:8600/?token=" + "a" * 32)
    assert opened == [file.as_uri()]
    assert file.stat().st_mode & 0o077 == 0
    assert "url=http://127.0.0.1:8600/?token=" + "a" * 32 in file.read_text()
    file.unlink()


def test_nothing_is_computed_before_it_can_be_shown(explored: Explored, tmp_path: Path) -> None:
    """A wrong token, or a second run without a backbone, is told at once."""
    run = tmp_path / "run"
    shutil.copytree(explored.run, run, ignore=shutil.ignore_patterns("explorer"))
    with pytest.raises(ConfigError, match="at least 16 letters"):
        pipeline.explore([run], explored.store.path, token="short", progress=False)
    bare = tmp_path / "bare"
    shutil.copytree(explored.run, bare, ignore=shutil.ignore_patterns("explorer", "backbone"))
    with pytest.raises(RunError, match="no backbone in it"):
        pipeline.explore([run, bare], explored.store.path, embedding="pca", progress=False)
    assert not (run / "explorer").exists()
