from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from vesalius.errors import RunError
from vesalius.report.run_folder import read_run, read_runs

RunBuilder = Callable[..., Path]


def test_reads_what_training_and_evaluation_wrote(build_run: RunBuilder, tmp_path: Path) -> None:
    run = read_run(build_run(tmp_path / "run"))
    assert (run.name, run.status, run.architecture, run.problems) == ("run", "done", "vit_tiny_patch16_224", ())
    assert [(e.result.label, e.result.task) for e in run.evaluations[:2]] == [
        ("cardiomegaly", "knn"),
        ("cardiomegaly", "linear"),
    ]
    assert set(run.pictures) == {"views", "attention"}
    assert run.evaluations[0].neighbours is not None
    assert "prototypes" in run.recipe
    assert run.metrics["step"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("x"), "is a file, not a folder"),
        (lambda path: path.mkdir(), "there is no run.json"),
        (lambda path: (path.mkdir(), (path / "run.json").write_text("{ cut")), "cannot be read"),
        (lambda path: (path.mkdir(), (path / "run.json").write_text("[1]")), "holds a list"),
    ],
)
def test_what_is_no_run_is_refused_with_what_was_expected(
    tmp_path: Path, prepare: Callable[[Path], object], words: str
) -> None:
    prepare(tmp_path / "run")
    with pytest.raises(RunError, match=words):
        read_run(tmp_path / "run")


def test_a_folder_of_runs_names_the_runs_inside(build_run: RunBuilder, tmp_path: Path) -> None:
    build_run(tmp_path / "runs" / "first")
    with pytest.raises(RunError, match="did you mean one of the runs inside it: first"):
        read_run(tmp_path / "runs")


def test_no_runs() -> None:
    with pytest.raises(RunError, match="at least one"):
        read_runs([])


def test_names_differ_and_a_run_named_twice_is_read_once(build_run: RunBuilder, tmp_path: Path) -> None:
    first, second = build_run(tmp_path / "a" / "run"), build_run(tmp_path / "b" / "run")
    runs = read_runs([first, second, first / ".." / "run"])
    assert [run.name for run in runs] == ["a/run", "b/run"]


def test_one_damaged_file_does_not_hide_the_others(build_run: RunBuilder, tmp_path: Path) -> None:
    folder = build_run(tmp_path / "run")
    places = sorted((folder / "evaluations").iterdir())
    (places[0] / "result.json").write_text('{"task": "knn"')
    (places[1] / "result.json").write_text('{"task": "linear"}')
    (folder / "metrics.csv").write_text("nothing,of,this\n1,2,3\n")
    run = read_run(folder)
    assert len(run.evaluations) == len(places) - 2
    assert len(run.problems) == 3
    assert run.metrics.empty


def test_half_written_evaluation_is_passed_over(build_run: RunBuilder, tmp_path: Path) -> None:
    folder = build_run(tmp_path / "run")
    complete = read_run(folder).evaluations
    place = next((folder / "evaluations").iterdir())
    partial = place.with_name(f"{place.name}.123.partial")
    partial.mkdir()
    (partial / "result.json").write_text((place / "result.json").read_text())
    assert len(read_run(folder).evaluations) == len(complete)


def test_a_step_written_twice_counts_once_and_a_torn_line_not_at_all(build_run: RunBuilder, tmp_path: Path) -> None:
    folder = build_run(tmp_path / "run")
    (folder / "metrics.csv").write_text(
        "step,epoch,seconds,name,value\n0,0,0,loss,5\n2,0,1,loss,4\n2,0,1,loss,3.5\n4,0,2,loss,nan\n6,0,2,lo"
    )
    table = read_run(folder).metrics
    assert table.loc[table["name"] == "loss", ["step", "value"]].dropna().values.tolist() == [[0.0, 5.0], [2.0, 3.5]]


def test_null_means_not_defined_and_later_keys_are_passed_over(build_run: RunBuilder, tmp_path: Path) -> None:
    folder = build_run(tmp_path / "run")
    file = next((folder / "evaluations").glob("*/result.json"))
    content = json.loads(file.read_text())
    content["a_later_key"] = 1
    content["scores"][0] |= {"low": None, "another": 2}
    file.write_text(json.dumps(content))
    run = read_run(folder)
    assert run.problems == ()
    assert any(math.isnan(score.low) for each in run.evaluations for score in each.result.scores)
