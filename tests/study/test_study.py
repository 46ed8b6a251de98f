"""A study of two arms: trained and scored once, laid out beside published figures, refused where it cannot compare."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vesalius import pipeline
from vesalius.errors import ConfigError, KnowledgeError, RunError
from vesalius.locks import holding
from vesalius.study.definition import available_studies, load_study
from vesalius.study.differences import _Training, _verdict
from vesalius.training.recipe import load_recipe

STUDY = """
about: Guided against unguided
finetune: ["rounds=1", "round_steps=2"]
arms:
  unguided: {title: DINO alone, recipe: medino/deformable-small, set: ["guidance=null"]}
  guided: {title: DINO guided, recipe: medino/deformable-small, set: ["guidance.attention.heads={heart: 1}"]}
  placed: {title: DINO placed, recipe: medino/deformable-small, set: ["guidance={coordinates: {}}"]}
tables:
  attention:
    title: Average precision
    task: attention
    metric: average_precision
    arms: [unguided, guided]
    baselines: [mean_template, chance]
    published: {store: {heart: {guided: 0.899}}}
  probe:
    title: Linear probe
    task: linear
    metric: roc_auc
    arms: [unguided, guided]
    baselines: [pixels]
    features: grid
    against: [unguided, pixels]
  coordinates:
    title: Segmentation by predicted places
    task: coordinates
    metric: dice
    arms: [placed]
  few:
    title: Few labels
    task: linear
    metric: roc_auc
    arms: [unguided, guided]
    fraction: 0.5
    draws: 4
    labels: [sex]
    rows: arms
    beside: random_init
    baselines: [pixels]
    against: [unguided, random_init]
  dense:
    title: Dense transfer
    task: segment
    metric: dice
    fraction: 0.5
    arms: [unguided, guided]
    baselines: [mean_mask]
    against: [unguided, mean_mask]
  tuned:
    title: Fine-tuned
    task: finetune
    metric: roc_auc
    draws: 1
    arms: [guided]
    baselines: [random_init]
    against: [random_init]
"""
TINY = (
    "views={plan: small-chest, options: {size: 32}}",
    "backbone={name: test_vit, image_size: 32, drop_path: 0}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16, teacher_momentum: 0.9}",
    "training={batch_size: 16, epochs: 1, precision: fp32, accelerator: cpu}",
    "monitors={images: 16, knn_images: 16, every_epochs: 10}",
)


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


def go(definition: Path, store: Path, out: Path, **options) -> Path:
    quiet = Console(quiet=True)
    given = {"masks": [store], "labels": [(store, "any_finding")], "overrides": TINY, "console": quiet} | options
    return pipeline.study(definition, data=f"{store}@all", out=out, **given)


def test_every_arm_is_trained_and_scored_once(definition: Path, guided_store: Path, tmp_path: Path) -> None:
    file = go(definition, guided_store, tmp_path / "study", tasks=["attention"])
    text = file.read_text()
    assert "| data | label | DINO alone | DINO guided | mean template | chance |" in text
    heart = next(line for line in text.splitlines() if line.startswith("| store | heart |"))
    assert heart.count("[") == 4
    assert "published 0.899" in heart.split("|")[4]
    assert "- store, heart: DINO guided - DINO alone " in text
    weights = [tmp_path / "study" / "runs" / f"{arm}-seed0" / "backbone" / "model.safetensors" for arm in
               ("unguided", "guided")]  # fmt: skip
    assert weights[0].read_bytes() != weights[1].read_bytes()
    one = go(definition, guided_store, tmp_path / "study", tasks=["attention"], arms=["guided"])
    assert one.read_text() == text  # the other arm, done before, is not left out
    before = [path.stat().st_mtime_ns for path in weights]
    again = go(definition, guided_store, tmp_path / "study", tasks=["attention", "linear"])
    assert [path.stat().st_mtime_ns for path in weights] == before
    text = again.read_text()
    assert "## Linear probe" in text
    assert "- store, any_finding: DINO guided - DINO alone " in text
    assert "- store, any_finding: DINO guided - pixels " in text
    assert "- store, any_finding: DINO alone - pixels " in text
    assert (tmp_path / "study" / "results" / "guided-seed0" / "linear-store-any_finding-grid.json").is_file()
    assert "## Few labels" not in text  # it shows another label than was asked for
    with pytest.raises(RunError, match="a study with other overrides"):
        go(definition, guided_store, tmp_path / "study", overrides=(*TINY, "training.epochs=2"))
    definition.write_text(STUDY.replace("heads={heart: 1}", "heads={heart: 2}"))
    with pytest.raises(RunError, match="a study with other arm 'guided'; arms of different settings"):
        go(definition, guided_store, tmp_path / "study")


def test_several_trainings_are_compared_by_their_means(definition: Path, guided_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    one = go(definition, guided_store, out, tasks=["attention"], arms=["unguided", "guided"]).read_text()
    two = go(definition, guided_store, out, tasks=["attention"], arms=["unguided", "guided"], seeds=2).read_text()
    say = "- store, heart: DINO guided - DINO alone "
    single, several = (next(line for line in text.splitlines() if line.startswith(say)) for text in (one, two))
    assert "over trainings" not in single
    mean = float(several.removeprefix(say).split()[0])
    seeds = [float(value) for value in several.split("] of ")[1].split(":")[0].split(", ")]
    assert seeds[0] == float(single.removeprefix(say).split()[0])
    weights = [out / "runs" / f"guided-seed{seed}" / "backbone" / "model.safetensors" for seed in (0, 1)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    assert mean == pytest.approx(sum(seeds) / 2, abs=0.001)
    # The seeds of an earlier call stand in the tables of a later one.
    assert go(definition, guided_store, out, tasks=["attention"], arms=["guided"]).read_text() == two


def _trainings(*values: float, noise: float = 0.0, draws: int = 1) -> dict[int, _Training]:
    patients = noise * np.random.default_rng(7).standard_normal(1000)
    return {seed: _Training(value, [value + patients] * draws) for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("ours", "noise", "word"),
    [
        ((0.8,), 0.01, "better"),  # one training: of patients alone
        ((0.8,), 0.10, "not told apart"),
        ((0.8, 0.81, 0.79), 0.01, "better"),
        ((0.71, 0.80, 0.90), 0.01, "better in these trainings"),
        ((0.6, 0.65, 0.62), 0.01, "worse"),
        ((0.8, 0.81, 0.79), 0.10, "not told apart"),
    ],
)
def test_better_must_hold_for_patients_and_for_trainings(ours: tuple[float, ...], noise: float, word: str) -> None:
    theirs = {seed: _Training(0.7, [np.full(1000, 0.7)]) for seed in range(len(ours))}
    assert _verdict(_trainings(*ours, noise=noise), theirs).rsplit(": ", 1)[1] == word


def test_the_interval_over_trainings_is_student_s() -> None:
    """Of .1, .2, .3: mean .2, standard error .1 / sqrt 3, t of two degrees of freedom 4.303."""
    theirs = {seed: _Training(0.0, [np.zeros(1000)]) for seed in range(4)}
    told = _verdict(_trainings(0.1, 0.2, 0.3, noise=0.01), theirs)
    assert "over trainings [-0.048, +0.448] of +0.100, +0.200, +0.300: better in these trainings" in told
    missing = {seed: one for seed, one in theirs.items() if seed != 1}  # seeds are compared with their own
    assert "of +0.100, +0.300" in _verdict(_trainings(0.1, 0.2, 0.3), missing)


def test_label_draws_are_redrawn_alike_for_both_arms() -> None:
    low, high = np.zeros(4000), np.ones(4000)
    two = {0: _Training(0.5, [low, high])}
    assert _verdict(two, {0: _Training(0.0, [low, low])}) == "+0.500 [+0.000, +1.000]: not told apart"
    assert _verdict(two, {0: _Training(0.4, [low - 0.1, high - 0.1])}).startswith("+0.100 [+0.100, +0.100]: better")


def test_a_table_of_few_labels_learns_from_its_share_in_several_draws(
    definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    text = go(definition, guided_store, out, tasks=["linear"], labels=[(guided_store, "sex")]).read_text()
    few, whole = (
        json.loads((out / "results" / "guided-seed0" / f"linear-store-sex-{ending}.json").read_text())[0]
        for ending in ("0.5-4-draws", "grid")
    )
    assert {(one["fraction"], one["seeds"]) for one in few["scores"] if one["arm"] == "pretrained"} == {(0.5, 4)}
    assert {one["fraction"] for one in whole["scores"] if one["arm"] == "pretrained"} == {1.0}
    area = next(one for one in few["scores"] if (one["arm"], one["metric"]) == ("pretrained", "roc_auc"))
    shown = text[text.index("## Few labels") :]
    assert f"{area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]" in shown
    assert "- store, sex: DINO guided - DINO alone " in shown
    assert "- store, sex: DINO guided - random init " in shown
    assert "| arm | store, sex |" in shown
    row = next(line for line in shown.splitlines() if line.startswith("| DINO guided |"))
    twin = next(one for one in few["scores"] if (one["arm"], one["metric"]) == ("random_init", "roc_auc"))
    assert f"<br>random init {twin['value']:.3f} [" in row
    assert shown.splitlines()[6].startswith("| pixels | 0.")


def test_a_segmentation_and_a_fine_tuning(definition: Path, guided_store: Path, tmp_path: Path) -> None:
    """Both are scored as their tables say, compared over patients, and held to the study's own options."""
    out = tmp_path / "study"
    text = go(definition, guided_store, out, tasks=["segment", "finetune"]).read_text()
    assert "- store, heart: DINO guided - DINO alone " in text
    assert "- store, mean: DINO guided - mean mask " in text
    assert "- store, any_finding: DINO guided - random init " in text
    (tuned,) = json.loads((out / "results" / "guided-seed0" / "finetune-store-any_finding-1-draws.json").read_text())
    assert tuned["settings"]["finetune"]["rounds"] == 1
    assert {fit["rounds"] for fit in tuned["settings"]["fits"]} == {1}
    dense = json.loads((out / "results" / "unguided-seed0" / "segment-store-0.5.json").read_text())
    assert {one["fraction"] for one in dense[0]["scores"]} == {0.5}
    definition.write_text(definition.read_text().replace("rounds=1", "rounds=2"))
    with pytest.raises(RunError, match="other finetune"):
        go(definition, guided_store, out, tasks=["segment"])


def test_an_arm_is_scored_by_what_the_tables_show_of_it(definition: Path, guided_store: Path, tmp_path: Path) -> None:
    """An arm without predicted places is not asked for them, nor a guided head of one that has none."""
    out = tmp_path / "study"
    text = go(
        definition, guided_store, out, tasks=["attention", "coordinates"], arms=["unguided", "placed"]
    ).read_text()
    scored = {path.parent.name: path.name for path in (out / "results").glob("*/*.json")}
    assert scored == {"unguided-seed0": "attention-store.json", "placed-seed0": "coordinates-store.json"}
    assert "## Segmentation by predicted places" in text


def test_it_refuses_before_it_trains(definition: Path, guided_store: Path, phantom_store: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(phantom_store, bare)
    with pytest.raises(KnowledgeError, match="no knowledge maps 'deformable'"):
        go(definition, bare, tmp_path / "study")
    with pytest.raises(ConfigError, match=r"no arm 'guidet'.*guided"):
        go(definition, guided_store, tmp_path / "study", arms=["guidet"])
    with pytest.raises(ConfigError, match=r"no task 'attentoin'.*attention"):
        go(definition, guided_store, tmp_path / "study", tasks=["attentoin"])
    with pytest.raises(ConfigError, match="would score nothing"):
        go(definition, guided_store, tmp_path / "study", tasks=["linear"], labels=[])
    with pytest.raises(ConfigError, match="no study 'medinoo'"):
        go(Path("medinoo"), guided_store, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_all_trainings_of_an_arm_take_the_steps_that_were_planned_for_it(
    definition: Path, guided_store: Path, tmp_path: Path
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


def test_what_another_process_is_at_is_left_to_it(definition: Path, guided_store: Path, tmp_path: Path) -> None:
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


def test_a_run_that_was_there_before_keeps_its_steps(definition: Path, guided_store: Path, tmp_path: Path) -> None:
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
        go(definition, guided_store, tmp_path / "other", overrides=(*TINY, "training.devices=2"), **given)


@pytest.mark.parametrize("name", sorted(available_studies()))
def test_shipped_studies_name_recipes_and_options_that_exist(name: str) -> None:
    study = load_study(name)
    for arm in study.arms.values():
        load_recipe(arm.recipe, overrides=arm.set)
    used = {arm for table in study.tables.values() for arm in table.arms}
    assert used == set(study.arms)
    first = next(iter(study.arms))
    assert list(study.some((first,)).arms) == [first]


@pytest.mark.parametrize("arm", [name for name in load_study("medino").arms if "linear" in name])
def test_the_lambdas_of_the_sweep_are_what_their_titles_say(arm: str) -> None:
    """The recipes' own weight multiplies both lambdas, and must not come in unseen."""
    study = load_study("medino").arms[arm]
    attention = load_recipe(study.recipe, overrides=study.set).guidance.attention
    told = [float(number) for number in re.findall(r"(?<![\w.])(\d*\.?\d+(?:e-\d)?)", study.title)]
    told = told * 2 if len(told) == 1 else told
    assert [attention.weight * attention.inclusion, attention.weight * attention.exclusion] == pytest.approx(told)


def test_contrast_of_one_view_is_refused_before_anything_is_trained(
    definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    text = STUDY.replace('set: ["guidance={coordinates: {}}"]', 'set: ["guidance={contrast: {}}"]')
    definition.write_text(text)
    moco = tuple(one if "method" not in one else "method={name: moco, queue: 16}" for one in TINY)
    with pytest.raises(ConfigError, match="method moco on the plan 'small-chest' has its student see one"):
        go(definition, guided_store, tmp_path / "study", overrides=moco)
    assert not (tmp_path / "study").exists()
