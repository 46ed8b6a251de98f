"""What a study leaves behind, and what an arm that fails, or that another process does, changes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from vesalius.errors import ConfigError, RunError, VesaliusError
from vesalius.study.cells import Cell
from vesalius.study.definition import Study, StudyTable
from vesalius.study.figures import figure_of
from vesalius.study.tables import FilledTable

Go = Callable[..., Path]

CURVE = """
about: More labels
arms:
  guided: {title: DINO guided, recipe: medino/deformable-small, set: ["guidance.attention.heads={heart: 1}"]}
  given: {title: As initialised, recipe: medino/deformable-small, set: ["guidance=null"], untrained: true}
tables:
  curve:
    title: Neighbours among labelled images
    task: knn
    metric: roc_auc
    fractions: [16, 32, 1]
    draws: 2
    arms: [guided, given]
    beside: random_init
    baselines: [pixels]
    against: [given]
    note: Shares of 10 % & less are left out.
"""


def test_a_curve_over_counts_of_images(go: Go, guided_store: Path, tmp_path: Path) -> None:
    definition, out = tmp_path / "curve.yaml", tmp_path / "study"
    definition.write_text(CURVE)
    text = go(definition, guided_store, out, masks=[], labels=[(guided_store, "sex")]).read_text()
    assert "| data | label | labels | DINO guided | As initialised | pixels |" in text
    assert [line.split("|")[3].strip() for line in text.splitlines() if line.startswith("| store | sex |")] == [
        "16 images",
        "32 images",
        "100 %",
    ]
    assert "- store, sex, 16 labelled images: DINO guided - As initialised " in text
    cells = pd.read_csv(out / "tables" / "curve.csv")
    own = cells[(cells.role == "arm") & (cells.arm == "guided")]
    assert own["amount"].tolist() == [16, 32, 1]
    assert own["images"].tolist()[:2] == [16, 32]
    assert own["images"].tolist()[2] > 32
    assert "\\begin{tabular}" in (out / "tables" / "curve.tex").read_text()
    assert "\\toprule" in (out / "tables" / "curve.tex").read_text()
    assert "{\\footnotesize Shares of 10 \\% \\& less are left out.\\par}" in (out / "tables" / "curve.tex").read_text()
    assert set(cells["note"]) == {"Shares of 10 % & less are left out."}
    differences = pd.read_csv(out / "tables" / "curve-differences.csv")
    assert (differences["adjusted"] >= differences["p"]).all()
    assert differences["delong_p"].between(0, 1).all()
    assert "; DeLong " in text
    rows = pd.read_parquet(out / "results.parquet")
    assert rows[rows["metric"].isin(["ece", "brier"])]["value"].between(0, 1).all()
    assert set(rows[rows["metric"] == "ece"]["scored"]) == {"pretrained", "random_init", "pixels"}
    drawn = np.asarray(Image.open(out / "tables" / "curve.png").convert("RGB"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 50  # not an empty sheet
    state = json.loads((out / "runs" / "given-seed0" / "run.json").read_text())
    assert (state["status"], state["steps_taken"], state["images_seen"]) == ("done", 0, 0)


def test_every_figure_is_a_row_and_several_processes_leave_the_same(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    given = {"tasks": ["linear"], "labels": [(guided_store, "sex")], "arms": ["guided"], "masks": []}
    told = Console(record=True, width=200)
    for name, jobs in (("one", 1), ("two", 2)):
        go(definition, guided_store, tmp_path / name, jobs=jobs, console=told, **given)
    files = [tmp_path / name / "results.parquet" for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = pd.read_parquet(files[0])
    assert set(rows["arm"]) == {"guided"}
    assert set(rows["scored"]) == {"pretrained", "random_init", "pixels", "chance"}
    few = rows[(rows.fraction == 0.5) & (rows.arm == "guided") & (rows.metric == "roc_auc") & (rows.label == "sex")]
    (stored,) = json.loads((tmp_path / "one/results/guided-seed0/linear-store-sex-0.5-2-draws.json").read_text())
    area = next(one for one in stored["scores"] if (one["arm"], one["metric"]) == ("pretrained", "roc_auc"))
    assert few[few.scored == "pretrained"]["value"].tolist() == [area["value"]]
    assert len(pd.read_csv(tmp_path / "one" / "results.csv")) == len(rows)
    assert "1 of 1: DINO guided, seed 0: done" in told.export_text()
    log = (tmp_path / "two" / "logs" / "guided-seed0.log").read_text()
    assert "images, " in log  # what the training would have said
    assert not (tmp_path / "one" / "logs").exists()


def test_an_arm_that_fails_leaves_the_others_whole_and_is_tried_again(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    foreign = out / "runs" / "unguided-seed0" / "scan.png"
    foreign.parent.mkdir(parents=True)
    foreign.touch()  # a run cannot begin here
    told = Console(record=True, width=300)
    given = {"tasks": ["attention"], "arms": ["unguided", "guided"], "console": told}
    with pytest.raises(
        RunError, match=r"1 training failed.*what could be done is in .*tables.md(.|\n)*DINO alone, seed 0: .*other"
    ):
        go(definition, guided_store, out, **given)
    assert "1 of 2: DINO alone, seed 0: failed: " in told.export_text()
    text = (out / "tables.md").read_text()
    assert (
        "These trainings failed, in whole or in the tasks named; those figures are missing:\n\n- DINO alone, seed 0: "
        in text
    )
    assert re.search(r"\| store \| heart \| - \| 0\.\d{3} \[", text)
    assert "Traceback" in (out / "failed" / "unguided-seed0.txt").read_text()
    foreign.unlink()
    text = go(definition, guided_store, out, **given).read_text()
    assert "failed" not in text
    assert re.search(r"\| store \| heart \| 0\.\d{3} \[.* \| 0\.\d{3} \[", text)
    assert not list((out / "failed").iterdir())


UNSCORABLE = """
about: A task that this backbone cannot serve, and one that it can
arms:
  given: {title: As initialised, recipe: medino/deformable-small, set: ["guidance=null"], untrained: true}
tables:
  heads: {title: Heads, task: knn, metric: roc_auc, draws: 1, features: heads, arms: [given]}
  mean: {title: Mean, task: knn, metric: roc_auc, draws: 1, arms: [given]}
"""


def test_a_task_that_cannot_be_scored_keeps_none_of_the_others_from_it(
    go: Go, tiny: tuple[str, ...], guided_store: Path, tmp_path: Path
) -> None:
    definition, out = tmp_path / "unscorable.yaml", tmp_path / "study"
    definition.write_text(UNSCORABLE)
    backbone = "backbone={name: test_resnet, image_size: 32, drop_path: 0}"
    overrides = tuple(backbone if one.startswith("backbone") else one for one in tiny)
    given = {"masks": [], "labels": [(guided_store, "sex")], "overrides": overrides}
    why = "knn-store-sex-heads-1-draws: test_resnet has no heads with a [CLS] row"
    with pytest.raises(RunError, match=r"1 training failed, in whole or in the tasks named") as told:
        go(definition, guided_store, out, **given)
    assert f"- As initialised, seed 0: {why}" in str(told.value)
    results = out / "results" / "given-seed0"
    assert [one.name for one in results.iterdir()] == ["knn-store-sex-1-draws.json"]
    text = (out / "tables.md").read_text()
    assert f"- As initialised, seed 0: {why}" in text
    assert re.search(r"\| store \| sex \| 0\.\d{3} \[", text)
    trace = (out / "failed" / "given-seed0.txt").read_text()
    assert trace.startswith(why)
    assert "Traceback" in trace
    before = (results / "knn-store-sex-1-draws.json").stat().st_mtime_ns
    with pytest.raises(RunError, match="tries what is missing again"):
        go(definition, guided_store, out, **given)
    assert (results / "knn-store-sex-1-draws.json").stat().st_mtime_ns == before


def test_what_cannot_be_planned_is_left_out_and_told(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    text = definition.read_text()
    bad = 'title: DINO guided, recipe: medino/deformable-small, set: ["guidance.attention.heads={heart: 9}"]'
    good = 'title: DINO guided, recipe: medino/deformable-small, set: ["guidance.attention.heads={heart: 1}"]'
    assert good in text
    definition.write_text(text.replace(good, bad))
    told = Console(record=True, width=300)
    given = {"tasks": ["attention"], "arms": ["unguided", "guided"], "console": told}
    with pytest.raises(RunError, match=r"DINO guided, seed 0: .*head 9"):
        go(definition, guided_store, tmp_path / "study", **given)
    assert "DINO guided is left out: " in told.export_text()
    assert (tmp_path / "study" / "results" / "unguided-seed0" / "attention-store.json").is_file()
    again = given | {"arms": ["unguided", "guided"], "seeds": 2}  # the good arm goes on, whatever the other one is
    with pytest.raises(RunError, match=r"DINO guided, seed 1: .*head 9"):
        go(definition, guided_store, tmp_path / "study", **again)
    assert (tmp_path / "study" / "results" / "unguided-seed1" / "attention-store.json").is_file()
    with pytest.raises(VesaliusError, match="head 9"):  # nothing else to do
        go(definition, guided_store, tmp_path / "other", **(given | {"arms": ["guided"]}))


DENSE = (
    CURVE.partition("tables:")[0]
    + """tables:
  attention: {title: Average precision, task: attention, metric: average_precision, arms: [given]}
  dense:
    title: Dense transfer
    task: segment
    metric: dice
    fraction: 0.5
    draws: 1
    arms: [given, guided]
    baselines: [mean_mask]
    against: [given, mean_mask]
"""
)


def test_an_arm_to_be_compared_with_may_be_missing(go: Go, guided_store: Path, tmp_path: Path) -> None:
    """The table of dense transfer compares with an arm that was scored on another task alone."""
    definition, out = tmp_path / "dense.yaml", tmp_path / "study"
    definition.write_text(DENSE)
    go(definition, guided_store, out, tasks=["attention"], arms=["given"])
    text = go(definition, guided_store, out, tasks=["segment"], arms=["guided"]).read_text()
    dense = text[text.index("## Dense transfer") :]
    assert "| store | heart | - | 0." in dense
    assert "DINO guided - As initialised" not in dense
    assert "DINO guided - mean mask" in dense
    # What an earlier call scored stands in the rows and tables of a later one.
    assert "## Average precision" in text
    assert set(pd.read_parquet(out / "results.parquet")["task"]) == {"attention", "segment"}


def test_panels_name_their_own_arms(tmp_path: Path) -> None:
    """An arm that one store lacks keeps its row and colour free there; baselines keep their line."""

    def cell(data: str, arm: str, role: str = "arm") -> Cell:
        title = arm or "pixels"
        figures = {"value": 0.5, "low": 0.4, "high": 0.6}
        return Cell(data=data, label="heart", amount=1.0, arm=arm, title=title, role=role, **figures)  # type: ignore[arg-type]

    cells = [cell("one", "a"), cell("one", "b"), cell("two", "b"), cell("two", "", "baseline")]
    table = StudyTable(title="", task="segment", metric="dice", arms=("a", "b"))
    figure = figure_of(FilledTable(name="t", table=table, cells=tuple(cells), differences=()))
    first, second = figure.axes[:2]
    colours = [
        {line.get_ydata()[0]: line.get_color() for line in axes.lines if line.get_marker() == "o"}
        for axes in (first, second)
    ]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["a", "b"]
    assert set(colours[0]) == {0.0, 1.0}
    assert set(colours[1]) == {1.0}
    assert colours[0][1.0] == colours[1][1.0] != colours[0][0.0]


def test_titles_tell_arms_apart() -> None:
    arms = {name: {"title": "the same", "recipe": "dino/small"} for name in ("one", "two")}
    table = {"title": "", "task": "linear", "metric": "roc_auc", "arms": ["one", "two"]}
    with pytest.raises(ValueError, match="title 'the same': of two arms"):
        Study(about="", arms=arms, tables={"t": table})  # type: ignore[arg-type]


def test_bad_options(go: Go, definition: Path, guided_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no engine 'rai'.*did you mean 'ray'"):
        go(definition, guided_store, tmp_path / "study", engine="rai")
    with pytest.raises(ConfigError, match=r"jobs = 0: give at least 1"):
        go(definition, guided_store, tmp_path / "study", jobs=0)
    for bad, why in (({"fraction": 1.5}, "amount of labels"), ({"fraction": 0.5, "fractions": [1.0]}, "one of them")):
        with pytest.raises(ValueError, match=why):
            StudyTable(title="", task="linear", metric="roc_auc", arms=("one",), **bad)
    with pytest.raises(ValueError, match="learns from no labels"):
        StudyTable(title="", task="attention", metric="average_precision", arms=("one",), fraction=0.5)
    assert not (tmp_path / "study").exists()
