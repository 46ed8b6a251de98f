"""What tells one task of a study from another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from vesalius.data.store import open_store
from vesalius.errors import ConfigError, LabelError, SplitError
from vesalius.study import preparation
from vesalius.study.definition import StudyTable, load_study
from vesalius.study.preparation import check_scored, planned_tasks
from vesalius.study.scored import Scored

NEIGHBOURS = """
about: Few neighbours and many
arms:
  given: {title: As initialised, recipe: medino/deformable-small, set: ["guidance=null"], untrained: true}
tables:
  few: {title: Few, task: knn, metric: roc_auc, arms: [given], k: 3, protocol: folds, folds: 2}
  many: {title: Many, task: knn, metric: roc_auc, arms: [given]}
  some: {title: Some, task: knn, metric: roc_auc, arms: [given], fraction: 0.5}
"""


def _table(**options: object) -> StudyTable:
    return StudyTable.model_validate({"title": "", "task": "knn", "metric": "roc_auc", "arms": ["a"], **options})


@pytest.mark.parametrize(
    "options",
    [{"k": 200}, {"protocol": "folds"}, {"folds": 2}, {"fractions": (5, 1)}, {"features": "grid"}, {"image_size": 96}],
)
def test_tables_of_other_options_show_other_tasks(options: dict[str, object]) -> None:
    usual, other = _table(), _table(**options)
    tasks = Scored.of(usual, Path("store"), "sex")
    changed = [one for one in Scored.of(other, Path("store"), "sex") if one not in tasks]
    assert changed
    assert not {one.name for one in changed} & {one.name for one in tasks}
    assert all(one.is_of(other) and not one.is_of(usual) for one in changed)
    assert all(Scored.from_state(one.as_state()).name == one.name for one in changed)


def test_parts_tell_segmentations_apart_and_those_written_before_have_all() -> None:
    table = {"task": "segment", "metric": "dice"}
    usual, other = _table(**table), _table(**table, parts=["left_lung", "heart"])
    ([every], [some]) = (Scored.of(one, Path("store")) for one in (usual, other))
    assert (every.name, some.name) == ("segment-store", "segment-store-left_lung+heart")
    assert some.is_of(other)
    assert not some.is_of(usual)
    assert Scored.from_state(json.loads(json.dumps(some.as_state()))) == replace(some, store=some.store.resolve())
    before = {key: value for key, value in every.as_state().items() if key != "parts"}
    assert Scored.from_state(before).parts == ()


def test_a_table_of_parts_is_of_them_alone(
    go: Callable[..., Path], guided_store: Path, phantom_store: Path, tmp_path: Path
) -> None:
    definition, out, other = tmp_path / "parts.yaml", tmp_path / "study", tmp_path / "other"
    segment = 'segment: ["rounds=1", "round_steps=2", "batch_size=4"]\n'
    head = segment + NEIGHBOURS.partition("tables:")[0] + "tables:\n"
    of = "task: segment, metric: dice, draws: 1, arms: [given]"
    lines = [f"  linear: {{title: L, {of}, parts: [heart], image_size: 48}}\n", f"  all: {{title: A, {of}}}\n"]
    lines += [f"  trained: {{title: F, {of}, decoder: fcn, parts: [heart, left_lung]}}\n"]
    definition.write_text(head + "".join(lines))
    go(definition, guided_store, out, masks=[guided_store], labels=[])
    rows = pd.read_csv(out / "results.csv", keep_default_na=False)
    shown = {str(parts): set(found["label"]) for parts, found in rows.groupby("parts")}
    assert shown["heart"] == {"heart"}
    [linear] = json.loads((out / "results" / "given-seed0" / "segment-store-heart-48px-1-draws.json").read_text())
    assert linear["settings"]["image_size"] == 48
    assert shown["heart+left_lung"] == {"heart", "left_lung", "mean"}
    assert shown[""] >= {"heart", "left_lung", "right_lung", "mean"}
    assert (out / "results" / "given-seed0" / "segment-fcn-store-heart+left_lung-1-draws.json").is_file()
    shutil.copytree(phantom_store, other)
    state = (other / "store.json").read_text()
    (other / "store.json").write_text(state.replace('"heart"', '"tumour"'))
    study = load_study(definition)
    planned = planned_tasks(study, ["segment"], masks=[phantom_store, other], labels=[])
    assert {(one.store.name, one.parts) for one in planned if one.store == other} == {("other", ())}
    definition.write_text(head + f"  linear: {{title: L, {of}, parts: [haert]}}\n")
    with pytest.raises(LabelError, match=r"no part 'haert'.*did you mean 'heart'"):
        go(definition, guided_store, tmp_path / "none", masks=[guided_store], labels=[])


def test_neighbours_and_protocol_reach_the_evaluation(
    go: Callable[..., Path], guided_store: Path, tmp_path: Path
) -> None:
    definition, out = tmp_path / "neighbours.yaml", tmp_path / "study"
    definition.write_text(NEIGHBOURS)
    go(definition, guided_store, out, masks=[], labels=[(guided_store, "sex")])
    found = {
        name: json.loads((out / "results" / "given-seed0" / f"{name}.json").read_text())[0]
        for name in ("knn-store-sex-k3-folds-2-folds", "knn-store-sex")
    }
    few, many = found.values()
    assert (few["settings"]["k"], few["protocol"], few["settings"]["pairs"]) == (3, "folds", 2)
    assert many["settings"]["k"] == 20
    rows = pd.read_csv(out / "results.csv")
    assert set(rows["k"]) == {3, 20}
    half = rows[(rows["fraction"] == 0.5) & (rows["metric"] == "roc_auc") & (rows["scored"] == "pretrained")].iloc[0]
    shown = f"(median {half['median']:.3f} ± {half['spread']:.3f}, 3 draws)"
    page = (out / "tables.md").read_text()
    assert page.count(shown) == 1
    assert shown in page.split("## Some")[1]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("{title: T, task: linear, metric: roc_auc, arms: [given], k: 3}", "k = 3: belongs to task knn, not linear"),
        ("{title: T, task: attention, metric: dice, arms: [given], protocol: split}", "leave protocol and folds out"),
        (
            "{title: T, task: detect, metric: mask_ap, arms: [given], folds: 2}",
            "leave protocol and folds out",
        ),
        ("{title: T, task: knn, metric: roc_auc, arms: [given], protocol: split, folds: 2}", "leave folds out"),
        ("{title: T, task: knn, metric: roc_auc, arms: [given], protocol: fold}", "protocol"),
        ("{title: T, task: segment, metric: dice, arms: [given], labels: [heart]}", r"name parts .* as parts: \[...\]"),
        ("{title: T, task: attention, metric: best_dice, arms: [given], labels: [heart]}", "leave them out"),
        ("{title: T, task: regions, metric: iou, arms: [given], parts: [heart]}", "parts: belong to task segment"),
    ],
)
def test_options_of_other_tasks_are_refused(table: str, told: str, tmp_path: Path) -> None:
    definition = tmp_path / "study.yaml"
    definition.write_text(NEIGHBOURS.split("tables:", maxsplit=1)[0] + f"tables:\n  one: {table}\n")
    with pytest.raises(ConfigError, match=told):
        load_study(definition)


def test_what_no_table_shows_is_not_trained(go: Callable[..., Path], guided_store: Path, tmp_path: Path) -> None:
    definition, out = tmp_path / "study.yaml", tmp_path / "study"
    arms = NEIGHBOURS.replace(
        "tables:", '  idle: {title: Idle, recipe: medino/deformable-small, set: ["guidance=null"]}\ntables:'
    )
    masks = "  masks: {title: Masks, task: segment, metric: dice, arms: [given, idle]}\n"
    definition.write_text(arms + masks)
    go(definition, guided_store, out, masks=[], labels=[(guided_store, "sex")])
    assert [one.name for one in (out / "runs").iterdir()] == ["given-seed0"]
    told = Console(record=True, width=300)
    asked = {"arms": ["idle", "given"], "masks": [], "labels": [(guided_store, "sex")], "console": told}
    go(definition, guided_store, out, **asked)
    assert "no table of what is given shows idle; not trained" in told.export_text()


def test_own_sides_that_are_empty_are_refused_before_anything_is_trained(
    guided_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(guided_store)
    vars(store)["manifest"] = store.manifest.assign(split="train")
    monkeypatch.setattr(preparation, "open_store", lambda path: store)
    definition = tmp_path / "study.yaml"
    definition.write_text(NEIGHBOURS.replace("protocol: folds, folds: 2", "protocol: split"))
    study = load_study(definition)
    tasks = planned_tasks(study, ["knn"], masks=[], labels=[(guided_store, "sex")])
    with pytest.raises(SplitError, match=r"no image of the test side has label 'sex'.*--split patient"):
        check_scored(study, tasks)
    store.info["source"]["dataset"] = "cityscapes"
    with pytest.raises(SplitError, match=r"has label 'sex'.*--split patient"):
        check_scored(study, tasks)
    vars(store)["manifest"] = store.manifest.assign(split=np.where(np.arange(len(store)) % 2, "train", "val"))
    with pytest.raises(SplitError, match=r"has label 'sex'.*--option score=val: papers score that side of this set"):
        check_scored(study, tasks)


def test_few_patients_on_the_test_side_are_told(
    guided_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(guided_store)
    patients = store.manifest["patient"].unique()
    monkeypatch.setattr(preparation, "open_store", lambda path: store)
    definition = tmp_path / "study.yaml"
    definition.write_text(NEIGHBOURS.replace("protocol: folds, folds: 2", "protocol: split"))
    study = load_study(definition)
    tasks = planned_tasks(study, ["knn"], masks=[], labels=[(guided_store, "sex")])
    for few, told in ((1, "1 patient on"), (9, "9 patients on"), (10, "")):
        sides = np.where(store.manifest["patient"].isin(patients[:few]), "test", "train")
        vars(store)["manifest"] = store.manifest.assign(split=sides)
        warnings = check_scored(study, tasks)
        assert [told in one for one in warnings] == ([True] if told else [])


@pytest.mark.parametrize("option", ["flip", "vertical_flip"])
def test_mirrored_lungs_are_refused_before_anything_is_trained(
    go: Callable[..., Path], guided_store: Path, tmp_path: Path, option: str
) -> None:
    definition, out = tmp_path / "study.yaml", tmp_path / "study"
    table = "  masks: {title: Masks, task: segment, decoder: fcn, metric: dice, arms: [given]}\n"
    definition.write_text(f'segment: ["{option}=0.5"]\n{NEIGHBOURS}{table}')
    with pytest.raises(ConfigError, match=f"{option} = 0.5: would take left_lung for the other side's; set {option}=0"):
        go(definition, guided_store, out, masks=[guided_store], labels=[])
    assert not (out / "study.json").exists()


def test_options_of_tasks_are_refused_at_once(tmp_path: Path) -> None:
    definition = tmp_path / "study.yaml"
    for line, told in (
        ("finetune: [round=3]", "rounds"),
        ("detect: [steps=-1]", "steps"),
        ("segment: [loss=no]", "loss"),
    ):
        definition.write_text(f"{line}\n{NEIGHBOURS}")
        with pytest.raises(ConfigError, match=told):
            load_study(definition)
