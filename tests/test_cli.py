"""The command line as a user meets it: quick help, one message and status 2 for an error, the verbs end to end."""

from __future__ import annotations

import html
import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vesalius import cli, pipeline
from vesalius.data.phantom import write_phantom

COMMANDS = (
    "prepare",
    "doctor",
    "guide",
    "pretrain",
    "evaluate",
    "study",
    "explain",
    "export",
    "report",
    "explore",
    "demo",
    "recipes",
)
TINY = [
    "--set=views.options={size: 32, locals: 0}",
    "--set=backbone={name: test_vit, image_size: 32}",
    "--set=method={name: dino, prototypes: auto, hidden: 32, bottleneck: 16}",
    "--set=training={batch_size: 16, epochs: 2, accelerator: cpu}",
]


def _seconds(*arguments: str) -> float:
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "vesalius.cli", *arguments], check=True, capture_output=True)
    return time.monotonic() - start


def test_help_is_quick() -> None:
    """Under 1 s on a free core; 2 s leave room for a busy one."""
    assert statistics.median(_seconds("--help") for _ in range(3)) < 2.0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom vesalius import cli\n"
        "try:\n    cli.app(['pretrain', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'timm', 'lightning', 'pandas', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_help() -> None:
    runner = CliRunner()
    listed = runner.invoke(cli.app, ["--help"]).output
    assert {command.callback.__name__ for command in cli.app.registered_commands} == set(COMMANDS)
    for command in COMMANDS:
        assert command in listed
        shown = runner.invoke(cli.app, [command, "-h"])
        assert shown.exit_code == 0
        assert "Usage" in shown.output
    assert runner.invoke(cli.app, ["--version"]).output.startswith("vesalius ")
    assert "dino-cxr/small" in runner.invoke(cli.app, ["recipes"]).output


def _main(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    """Run the entry point itself: status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["vesalius", *arguments])
    monkeypatch.setenv("COLUMNS", "160")
    code = 0
    try:
        cli.main()
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pretrain", "dinoo/small", "--data", "{store}", "--out", "{tmp}/run"], "did you mean 'dino/small'?"),
        (["pretrain", "{tmp}/none.yaml", "--data", "{store}", "--out", "{tmp}/run"], "none.yaml: cannot be read"),
        (
            ["pretrain", "dino/small", "--data", "{store}", "--out", "{tmp}/run", "--set", "training.bach_size=3"],
            "unknown key 'training.bach_size'; did you mean 'batch_size'?",
        ),
        (
            ["pretrain", "dino/small", "--data", "{store}", "--out", "{tmp}/run", "--set", "training.epochs=-1"],
            "'training.epochs' = -1: Input should be greater than 0",
        ),
        (
            ["pretrain", "dino/small", "--data", "{store}", "--out", "{tmp}/run", "--set", "epochs"],
            "--set epochs: expected key=value",
        ),
        (
            ["pretrain", "dino/small", "--data", "{store}", "--out", "{tmp}/run", "--set", "backbone.name=vit_tinny"],
            "unknown backbone 'vit_tinny'; did you mean",
        ),
        (
            ["pretrain", "dino/small", "--data", "{store}", "--out", "{tmp}/run", "--set", "views.plan=small-chestt"],
            "did you mean 'small-chest'?",
        ),
        (["pretrain", "dino/small", "--data", "{tmp}/nothing", "--out", "{tmp}/run"], "{tmp}/nothing"),
        (["pretrain", "dino/small", "--data", "{store}@trian", "--out", "{tmp}/run"], "trian"),
        (["pretrain", "dino/small", "--data", "{store}", "--out", "{store}"], "holds other files"),
        (["evaluate", "{tmp}", "--data", "{store}", "--label", "sex"], "{tmp}"),
        (["explain", "{tmp}", "{scans}"], "{tmp}: is no run folder"),
        (["explain", "{tmp}", "{scans}", "--layer", "layer3"], "explain without --cases has no --layer"),
        (["explain", "{tmp}", "--cases", "segment", "--store", "{store}", "--head", "1"], "--cases has no --head"),
        (["explain", "{tmp}", "--cases", "segment"], "--cases needs the --store"),
        (["explain", "{tmp}", "--cases", "segment", "--store", "{store}", "--box", "1,2"], "4 whole numbers by commas"),
        (
            ["explain", "{tmp}", "--cases", "segment", "--store", "{store}"],
            "no evaluation 'segment' that kept networks",
        ),
        (
            ["explain", "{tmp}", "--cases", "segment", "--store", "{store}", "--trust-images", "3"],
            "no evaluation 'segment' that kept networks",
        ),
        (["report", "{tmp}", "--out", "{tmp}/page.html"], "{tmp}"),
        (["prepare", "{tmp}/nothing", "--out", "{tmp}/out"], "{tmp}/nothing"),
        (["prepare", "{scans}", "--out", "{tmp}/out", "--dataset", "kermani"], "did you mean 'kermany'?"),
        (["prepare", "{scans}", "--out", "{tmp}/out", "--frames", "most"], "frames"),
        (["prepare", "{scans}", "--out", "{tmp}/out", "--window", "1,x"], "expected two numbers LOW,HIGH"),
        (["prepare", "{scans}", "--out", "{tmp}/out", "--option", "color=red"], "has no option 'color'"),
        (["doctor", "{tmp}/nothing"], "{tmp}/nothing"),
        (["demo", "--out", "{scans}"], "is not empty"),
    ],
)
def test_an_error_is_one_message(capsys, monkeypatch, phantom_store: Path, tmp_path: Path, arguments, words) -> None:
    names = {"store": str(phantom_store), "tmp": str(tmp_path), "scans": str(phantom_store.parent / "scans")}
    before = {path: path.stat().st_mtime_ns for path in phantom_store.rglob("*")}
    code, _, err = _main(capsys, monkeypatch, *(argument.format(**names) for argument in arguments))
    assert code == 2
    assert words.format(**names) in " ".join(err.split())
    assert "Traceback" not in err
    assert err.count("error:") <= 1
    assert not (tmp_path / "run").exists()
    assert {path: path.stat().st_mtime_ns for path in phantom_store.rglob("*")} == before


def test_an_unwritable_folder_is_one_message(capsys, monkeypatch, phantom_store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["pretrain", "dino/small", *TINY, "--data", f"{phantom_store}@all", "--out", str(tmp_path / "file/run")]
    code, _, err = _main(capsys, monkeypatch, *arguments)
    assert code == 2
    assert "Not a directory" in err
    assert "Traceback" not in err


def test_too_little_memory_is_one_message(capsys, monkeypatch) -> None:
    """Asked of the real allocator; other errors of torch are not taken for it."""
    monkeypatch.setattr(pipeline, "doctor", lambda *_, **__: torch.empty(1 << 60))
    code, _, err = _main(capsys, monkeypatch, "doctor", "x")
    assert code == 2
    assert "error: out of memory (" in " ".join(err.split())
    assert "lower --batch-size or --image-size" in " ".join(err.split())
    monkeypatch.setattr(pipeline, "doctor", lambda *_, **__: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        _main(capsys, monkeypatch, "doctor", "x")


def test_ctrl_c_leaves_with_130(capsys, monkeypatch) -> None:
    def interrupted(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "doctor", interrupted)
    assert _main(capsys, monkeypatch, "doctor", "x")[0] == 130


def test_all_verbs(capsys, monkeypatch, tmp_path: Path) -> None:
    """From files to a page."""
    scans, store, run, page = (str(tmp_path / name) for name in ("scans", "store", "run", "page.html"))
    write_phantom(tmp_path / "scans", images=48, seed=4, size=48, workers=1)
    (tmp_path / "scans" / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    code, out, _ = _main(capsys, monkeypatch, "doctor", scans)
    assert code == 0
    assert "phantom" in out
    assert "48" in out

    arguments = ["prepare", scans, "--out", store, "--size", "40", "--workers", "1", "--frames", "all"]
    code, out, _ = _main(capsys, monkeypatch, *arguments)
    assert code == 0
    assert len(pipeline.open_store(store)) == 48

    code, out, _ = _main(capsys, monkeypatch, "pretrain", "dino/small", *TINY, "--data", f"{store}@all", "--out", run)
    assert code == 0
    assert "s a step: about" in out
    assert out.strip().endswith("run")
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert state["command"].startswith("vesalius pretrain dino/small --data ")
    assert shlex.split(state["command"])[-2:] == ["--out", run]
    assert f"--set '{TINY[0].removeprefix('--set=')}'" in state["command"]
    assert (state["data"]["images"], state["data"]["split"]) == (48, ["all"])

    for task in ("knn", "linear"):
        arguments = ["--data", store, "--label", "sex", "--task", task, "--seeds", "1", "--random-inits", "1"]
        code, out, err = _main(capsys, monkeypatch, "evaluate", run, *arguments)
        assert (code, "Traceback" in err) == (0, False)
        assert "random" in out
        assert "pixels" in out
    assert len(list((tmp_path / "run" / "evaluations").glob("*/result.json"))) == 2

    foreign = ["--data", store, "--task", "segment", "--test-data", store, "--solver", "sgd", "--batch-size", "8"]
    code, _, err = _main(capsys, monkeypatch, "evaluate", run, *foreign)
    assert (code, "--task segment has no --test-data, --solver" in " ".join(err.split())) == (2, True)
    code, _, err = _main(capsys, monkeypatch, "evaluate", run, "--data", store, "--task", "segmen")
    assert (code, "no task 'segmen'; use knn, linear" in " ".join(err.split())) == (2, True)

    code, out, _ = _main(capsys, monkeypatch, "report", run, "--out", page)
    assert code == 0
    assert "report:" in out
    text = Path(page).read_text()
    assert "data:image/png;base64" in text
    assert str(tmp_path) not in html.unescape(text).replace(state["command"], "")

    code, out, _ = _main(capsys, monkeypatch, "report", run, "--out", page, "--model-card")
    assert (code, "model card:" in out, "pdf:" in out) == (0, True, False)
    card = (tmp_path / "run" / "backbone" / "README.md").read_text()
    assert "library_name: timm" in card
    assert str(tmp_path) not in card
