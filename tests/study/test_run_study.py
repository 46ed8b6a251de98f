"""What a study plans, what it leaves to other processes, and what it takes as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console

from vesalius.errors import ConfigError, RunError
from vesalius.locks import holding
from vesalius.study.definition import StudyArm, load_study
from vesalius.study.label_trainings import LabelTraining
from vesalius.study.plan_words import plan_words
from vesalius.study.run_study import StudyRun
from vesalius.study.scored import Scored
from vesalius.study.verbs import Verbs
from vesalius.training.planning import Plan
from vesalius.training.run_folder import RunFolder

Go = Callable[..., Path]


def test_all_trainings_of_an_arm_take_the_steps_that_were_planned_for_it(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    told = Console(record=True, width=200)
    given = {"tasks": ["attention"], "arms": ["unguided", "guided"], "budget_minutes": 0.02}
    file = go(definition, guided_store, out, plan_only=True, console=told, **given)
    planned = json.loads(file.read_text())
    assert list(planned) == ["unguided", "guided"]
    assert not (out / "runs").exists()
    said = told.export_text()
    assert f"DINO guided: {planned['guided']['steps']:,} steps of {planned['guided']['step_seconds']:.3f} s" in said
    assert "2 trainings, " in said
    planned["guided"]["steps"] = 3  # as if another machine had counted them
    file.write_text(json.dumps(planned))
    go(definition, guided_store, out, seeds=2, **given)
    for arm in planned:
        for seed in (0, 1):
            state = json.loads((out / "runs" / f"{arm}-seed{seed}" / "run.json").read_text())
            assert (state["steps_taken"], state["seed"]) == (planned[arm]["steps"], seed)


def test_a_folder_is_begun_once_and_under_the_same_settings(definition: Path, tmp_path: Path) -> None:
    study = load_study(definition).some(("unguided", "guided"))
    out = tmp_path / "study"
    (out / "runs" / "unguided-seed0").mkdir(parents=True)  # trained before, where the study finds it
    run = StudyRun(study, out, 1, ())
    run.begin({"pool": "a"}, {"guided": ["one"]})
    run.begin({"pool": "a"}, {"guided": ["one"]})
    with pytest.raises(RunError, match="with other pool"):
        run.begin({"pool": "b"}, {"guided": ["one"]})
    with pytest.raises(RunError, match="with other arm 'guided'"):
        run.begin({"pool": "a"}, {"guided": ["another"]})  # its maps were made anew
    run.begin({"pool": "a"}, {"guided": ["one"]}, stores={"jsrt": ["one"]})
    run.begin({"pool": "a"}, {"guided": ["one"]}, stores={"acdc": ["two"]})
    with pytest.raises(RunError, match="with other store 'jsrt'"):
        run.begin(
            {"pool": "a"}, {"guided": ["one"]}, stores={"jsrt": ["one", "other masks"]}
        )  # prepared anew under the name that its results carry
    with pytest.raises(RunError, match="with other image_size"):
        replace(run, study=study.model_copy(update={"image_size": 96})).begin({"pool": "a"}, {"guided": ["one"]})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scan.png").touch()
    with pytest.raises(RunError, match="holds other files"):
        replace(run, out=tmp_path / "other").begin({"pool": "a"})
    assert [one.name for one in (tmp_path / "other").iterdir()] == ["scan.png"]


def test_arms_are_timed_together_and_once(definition: Path, tmp_path: Path) -> None:
    study = load_study(definition).some(("unguided", "guided"))
    timed, told = [], []

    def plan(arms: Sequence[StudyArm]) -> list[Plan]:
        timed.append([arm.title for arm in arms])
        return [Plan(steps=60 - place, step_seconds=0.1, minutes=0.1) for place in range(len(arms))]

    verbs = Verbs(plan, pretrain=_not_asked, score=_not_asked, price=_not_asked)
    alone = StudyRun(study.some(("guided",)), tmp_path / "study", 1, ())
    alone.plan(verbs, told.append)
    assert told[0] == "timing DINO guided"
    StudyRun(study, tmp_path / "study", 1, ()).plan(verbs, told.append)  # what is planned stays
    assert timed == [["DINO guided"], ["DINO alone"]]
    StudyRun(study, tmp_path / "other", 1, ()).plan(verbs, told.append)
    assert timed[-1] == ["DINO alone", "DINO guided"]
    planned = json.loads((tmp_path / "other" / "plan.json").read_text())
    assert {name: one["steps"] for name, one in planned.items()} == {"unguided": 60, "guided": 59}


def test_a_cost_that_cannot_be_told_stops_nothing(definition: Path, tmp_path: Path) -> None:
    study = load_study(definition).some(("unguided", "guided"))
    told: list[str] = []

    def price(arm: StudyArm, task: Scored) -> LabelTraining | None:
        if arm.title == "DINO alone":
            raise RuntimeError("out of memory")
        return LabelTraining(steps=60, step_seconds=1.0, network="one")

    def plan(arms: Sequence[StudyArm]) -> list[Plan]:
        return [Plan(steps=60, step_seconds=0.1, minutes=0.1) for _ in arms]

    task = Scored("finetune", tmp_path, "any_finding", draws=1)
    table = {"tuned": study.tables["tuned"].model_copy(update={"arms": ("unguided", "guided")})}
    run = StudyRun(study.model_copy(update={"tables": table}), tmp_path / "study", 2, (task,))
    verbs = Verbs(plan, _not_asked, _not_asked, price)
    run.plan(verbs, told.append)
    told += plan_words(run, verbs, 1)
    # two trainings of the arm and one of its untrained twin
    assert "training steps on labels, untrained networks too, up to 3 more" in told[-1]
    assert "not told of DINO alone, finetune-" in told[-1]
    assert told[-1].endswith("RuntimeError: out of memory")


def test_minutes_are_those_that_are_left_and_those_of_several_at_a_time(definition: Path, tmp_path: Path) -> None:
    study = load_study(definition).some(("unguided", "guided"))

    def plan(arms: Sequence[StudyArm]) -> list[Plan]:
        return [Plan(steps=60, step_seconds=0.1, minutes=10.0) for _ in arms]

    run = StudyRun(study, tmp_path / "study", 2, ())
    verbs = Verbs(plan, _not_asked, _not_asked, _not_asked)
    run.plan(verbs, lambda _: None)
    assert plan_words(run, verbs, 1)[-1] == "4 trainings, 40 minutes in one process; scoring not counted"
    done = RunFolder(run.folder("guided", 0))
    done.path.mkdir(parents=True)
    done.recipe_file.touch()
    done.state_file.write_text('{"status": "done"}')
    told = "3 trainings left of 4, 30 minutes in one process, 20 with 2 at a time; scoring not counted"
    assert plan_words(run, verbs, 2)[-1] == told


def test_a_plan_that_was_looked_at_makes_room_for_another(
    go: Go, tiny: tuple[str, ...], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    given = {"tasks": ["attention"], "arms": ["unguided"]}
    file = go(definition, guided_store, out, plan_only=True, **given)
    steps = json.loads(file.read_text())["unguided"]["steps"]
    twice = tuple(one.replace("epochs: 1,", "epochs: 2,") for one in tiny)
    go(definition, guided_store, out, plan_only=True, overrides=twice, **given)
    assert json.loads(file.read_text())["unguided"]["steps"] == 2 * steps
    go(definition, guided_store, out, **given)
    assert json.loads((out / "runs" / "unguided-seed0" / "run.json").read_text())["steps_taken"] == steps
    with pytest.raises(RunError, match="with other overrides"):
        go(definition, guided_store, out, plan_only=True, overrides=twice, **given)
    assert json.loads(file.read_text())["unguided"]["steps"] == steps


def _not_asked(*given: object) -> NoReturn:
    raise AssertionError(given)


def test_what_another_process_is_at_is_left_to_it(go: Go, definition: Path, guided_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    given = {"tasks": ["attention"], "arms": ["unguided", "guided"]}
    told = Console(record=True, width=200)
    with holding(out / ".locks" / "guided-seed0") as free:
        assert free
        go(definition, guided_store, out, console=told, **given)
    said = told.export_text()
    assert "DINO guided, seed 0: with another process" in said
    assert "left to other processes: 1; the tables lack" in said
    assert [path.name for path in (out / "runs").iterdir()] == ["unguided-seed0"]
    assert [path.name for path in (out / "results").iterdir()] == ["unguided-seed0"]
    go(definition, guided_store, out, **given)
    assert {path.name for path in (out / "results").iterdir()} == {"unguided-seed0", "guided-seed0"}


def test_a_run_that_was_there_before_keeps_its_steps(
    go: Go, tiny: tuple[str, ...], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    """One trained by `pretrain`, several processes and all, is taken as it is, and later seeds follow it."""
    out = tmp_path / "study"
    given = {"tasks": ["attention"], "arms": ["unguided"]}
    go(definition, guided_store, out, **given)
    (out / "plan.json").unlink()
    shutil.rmtree(out / "results")
    state = json.loads((out / "runs" / "unguided-seed0" / "run.json").read_text())
    go(definition, guided_store, out, seeds=2, budget_minutes=None, **given)
    assert json.loads((out / "plan.json").read_text())["unguided"]["steps"] == state["steps"]
    with pytest.raises(ConfigError, match=r"DINO alone: a study trains in one process.*devices=1"):
        go(definition, guided_store, tmp_path / "other", overrides=(*tiny, "training.devices=2"), **given)
