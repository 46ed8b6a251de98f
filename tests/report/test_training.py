"""How a training with validation stands on the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from vesalius.report.run_folder import read_run
from vesalius.report.training import curves, run_facts

RunBuilder = Callable[..., Path]


def _with_validation(run: Path) -> Path:
    with (run / "metrics.csv").open("a", encoding="utf-8") as file:
        for step, value in ((0, 5.9), (100, 4.2), (200, 4.4), (300, 4.6)):
            file.write(f"{step},{step / 57:.4f},{step * 1.6:.2f},validation_loss,{value}\n")
    return run


def test_validation_is_drawn_beside_the_loss(build_run: RunBuilder, tmp_path: Path) -> None:
    plain, looked = read_run(build_run(tmp_path / "plain")), read_run(_with_validation(build_run(tmp_path / "looked")))
    before, both = curves([plain])[0], curves([plain, looked])[0]
    assert (before.heading, both.heading) == ("Loss", "Loss")
    assert "alidation" not in before.reading + before.picture
    assert "validation, looked goes from 5.9 to 4.6" in both.picture
    assert "validation, plain" not in both.picture
    assert "patients held out" in both.reading
    assert len(re.findall("<path", both.picture)) == len(re.findall("<path", before.picture)) + 2
    assert both.picture.count("<circle") == 4


def test_a_training_stopped_early_says_so(build_run: RunBuilder, tmp_path: Path) -> None:
    about = {
        "stopped_early": True,
        "steps_taken": 301,
        "best_validation": {"step": 100, "epoch": 1.7544, "loss": 4.2},
    }
    facts = dict(run_facts(read_run(build_run(tmp_path / "early", about=about))).facts)
    assert "stopped early" in facts["State"]
    assert facts["Steps"] == "301"
    assert facts["Best validation loss"] == "4.2, at epoch 1.754"
    usual = dict(run_facts(read_run(build_run(tmp_path / "usual"))).facts)
    assert (usual["State"], usual["Steps"]) == ("finished", "750")
    assert "Best validation loss" not in usual


def test_what_guidance_reached_is_drawn(build_run: RunBuilder, tmp_path: Path) -> None:
    plain, guided = build_run(tmp_path / "plain"), build_run(tmp_path / "guided")
    with (guided / "metrics.csv").open("a", encoding="utf-8") as file:
        for step, inside, error in ((0, 0.2, 40.0), (100, 0.7, 9.0)):
            file.write(f"{step},{step / 57:.4f},{step * 1.6:.2f},attention_inside/heart,{inside}\n")
            file.write(f"{step},{step / 57:.4f},{step * 1.6:.2f},coordinate_error_px,{error}\n")
    found = {curve.heading: curve for curve in curves([read_run(plain), read_run(guided)])}
    assert "guided goes from 0.2 to 0.7" in found["Attention in: heart"].picture
    assert "guided goes from 40 to 9" in found["Error of the predicted places, pixels"].picture
    assert not {"Attention in: heart", "Error of the predicted places, pixels"} & {
        curve.heading for curve in curves([read_run(plain)])
    }
