"""A study whose arms are trained on every store by itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from vesalius.errors import ConfigError, RunError
from vesalius.study.differences import holm

Go = Callable[..., Path]

OWN = """
about: In their own domain
pool: own
arms:
  given: {title: As initialised, recipe: medino/deformable-small, set: ["guidance=null"], untrained: true}
  own: {title: DINO, recipe: medino/deformable-small, set: ["guidance=null"]}
tables:
  knn:
    title: Neighbours
    task: knn
    metric: roc_auc
    arms: [given, own]
    rows: arms
    against: [given]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    return file


def test_each_store_is_a_study_and_the_tables_show_all(
    go: Go, own: Path, guided_store: Path, phantom_store: Path, tmp_path: Path
) -> None:
    stores, out = (guided_store, tmp_path / "other"), tmp_path / "study"
    shutil.copytree(phantom_store, stores[1])
    given = {"data": [f"{one}@all" for one in stores], "masks": [], "labels": [(one, "sex") for one in stores]}
    text = go(own, guided_store, out, **given).read_text()
    first, second = sorted(store.name for store in stores)
    assert f"| arm | {first}, sex | {second}, sex |" in text
    pools = [
        json.loads((out / name / "runs" / "own-seed0" / "run.json").read_text())["data"]["store"]
        for name in (first, second)
    ]
    assert pools == [first, second]
    results = pd.read_parquet(out / "results.parquet")
    assert {tuple(one) for one in results[["arm", "data"]].to_numpy()} == {
        (arm, name) for arm in ("given", "own") for name in (first, second)
    }
    both = pd.read_csv(out / "tables" / "knn-differences.csv")
    assert len(both) == 2
    assert both["adjusted"].tolist() == pytest.approx(holm(both["p"].tolist()))
    alone = pd.concat([pd.read_csv(out / name / "tables" / "knn-differences.csv") for name in (first, second)])
    assert both["value"].tolist() == alone["value"].tolist()
    assert (both["adjusted"].to_numpy() >= alone["adjusted"].to_numpy()).all()
    assert go(own, guided_store, out, **given).read_text() == text


def test_stores_of_earlier_calls_stand_in_the_tables_and_those_with_nothing_to_score_are_left_out(
    go: Go, own: Path, guided_store: Path, phantom_store: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other", tmp_path / "study"
    shutil.copytree(phantom_store, other)
    both = [f"{guided_store}@all", f"{other}@all"]
    given = {"masks": [], "arms": ["given"]}
    told = Console(record=True, width=300)
    text = go(own, guided_store, out, data=both, labels=[(other, "sex")], console=told, **given).read_text()
    assert "store: nothing of it is scored; left out" in told.export_text()
    assert not (out / "store").exists()
    assert "| arm | other, sex |" in text
    text = go(own, guided_store, out, labels=[(guided_store, "sex")], **given).read_text()
    assert "| arm | other, sex | store, sex |" in text
    # An arm that one store has and another one has not is a dash there.
    text = go(own, guided_store, out, labels=[(guided_store, "sex")], masks=[]).read_text()
    assert re.search(r"\| DINO \| - \| 0\.\d{3} \[", text)
    assert set(pd.read_parquet(out / "results.parquet")["data"]) == {"other", "store"}
    # Done under another setting, or on a store that is another one now, figures cannot stand beside these.
    told = Console(record=True, width=300)
    mine = {"labels": [(guided_store, "sex")], "masks": [], "arms": ["given"], "console": told}
    go(own, guided_store, tmp_path / "two", data=both, labels=[(one, "sex") for one in (guided_store, other)], **given)
    about = tmp_path / "two" / "other" / "study.json"
    state = json.loads(about.read_text())
    for change in ({"budget_minutes": 7}, {"scored": {"other": ["a", "b"]}}):
        about.write_text(json.dumps(state | change))
        assert "| arm | store, sex |" in go(own, guided_store, tmp_path / "two", **mine).read_text()
    said = told.export_text()
    assert "other: was done with other budget_minutes; left out of the joined tables" in said
    assert "other: was done with other store 'other'; left out of the joined tables" in said
    shutil.rmtree(other)
    go(own, guided_store, tmp_path / "two", **mine)
    assert "other: its store is no longer where it was; left out" in told.export_text()
    with pytest.raises(ConfigError, match=r"would score nothing.*no table of these tasks and arms shows sex"):
        go(own, guided_store, tmp_path / "none", labels=[(guided_store, "sex")], masks=[], tasks=["linear"])


def test_what_fails_is_told_with_its_store(go: Go, own: Path, guided_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    foreign = out / "store" / "runs" / "own-seed0" / "scan.png"
    foreign.parent.mkdir(parents=True)
    foreign.touch()  # a run cannot begin here
    with pytest.raises(RunError, match=r"- store, DINO, seed 0: .*holds other files"):
        go(own, guided_store, out, masks=[], labels=[(guided_store, "sex")])
    text = (out / "tables.md").read_text()
    assert "- store: DINO, seed 0: " in text
    assert re.search(r"\| As initialised \| 0\.\d{3} \[", text)


def test_stores_that_are_scored_alone_are_refused(
    go: Go, own: Path, guided_store: Path, phantom_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="this study pretrains on what it scores; give it as --data"):
        go(own, guided_store, tmp_path / "study", masks=[], labels=[(phantom_store, "sex")])
    twice = [f"{guided_store}@all", f"{guided_store}@train"]
    with pytest.raises(ConfigError, match="two of these are one store, or have one name"):
        go(own, guided_store, tmp_path / "study", data=twice, masks=[], labels=[(guided_store, "sex")])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.json").write_text("{}")
    with pytest.raises(RunError, match="whose arms share their images"):
        go(own, guided_store, tmp_path / "other", masks=[], labels=[(guided_store, "sex")])
