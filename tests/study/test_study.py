"""A study of two arms: trained and scored once, laid out beside published figures, refused where it cannot compare."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from vesalius import pipeline
from vesalius.errors import ConfigError, KnowledgeError, LabelError, RunError
from vesalius.pipeline.scoring_cost import label_training
from vesalius.study.definition import available_studies, load_study
from vesalius.study.scored import Scored
from vesalius.training.leading import several
from vesalius.training.recipe import load_recipe
from vesalius.training.resolve_recipe import resolve_recipe

Go = Callable[..., Path]


def test_every_arm_is_trained_and_scored_once(
    go: Go, tiny: tuple[str, ...], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
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
        go(definition, guided_store, tmp_path / "study", overrides=(*tiny, "training.epochs=2"))
    definition.write_text(definition.read_text().replace("heads={heart: 1}", "heads={heart: 2}"))
    with pytest.raises(RunError, match="a study with other arm 'guided'; arms of different settings"):
        go(definition, guided_store, tmp_path / "study")


def test_several_trainings_are_compared_by_their_means(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
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


def test_a_table_of_few_labels_learns_from_its_share_in_several_draws(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    text = go(definition, guided_store, out, tasks=["linear"], labels=[(guided_store, "sex")]).read_text()
    few, whole = (
        json.loads((out / "results" / "guided-seed0" / f"linear-store-sex-{ending}.json").read_text())[0]
        for ending in ("0.5-2-draws", "grid")
    )
    assert {(one["fraction"], one["seeds"]) for one in few["scores"] if one["arm"] == "pretrained"} == {(0.5, 2)}
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
    assert "<br>published 0.900<br>random init " in row
    assert row.rstrip(" |").endswith(", published 0.441")
    assert shown.splitlines()[6].startswith("| pixels | 0.")


def test_a_segmentation_and_a_fine_tuning(go: Go, definition: Path, guided_store: Path, tmp_path: Path) -> None:
    """Both are scored as their tables say, compared over patients, and held to the study's own options."""
    out, told = tmp_path / "study", Console(record=True, width=200)
    given = {"tasks": ["segment", "finetune"], "arms": ["guided"], "console": told}
    text = go(definition, guided_store, out, **given).read_text()
    said = told.export_text(clear=True)
    assert "in one process; training steps on labels, untrained networks too, up to " in said
    assert "- store, mean: DINO guided - mean mask " in text
    assert "- store, any_finding: DINO guided - random init " in text
    (tuned,) = json.loads((out / "results" / "guided-seed0" / "finetune-store-any_finding-1-draws.json").read_text())
    assert tuned["settings"]["finetune"]["rounds"] == 1
    assert {fit["rounds"] for fit in tuned["settings"]["fits"]} == {1}
    study, task = load_study(definition), Scored("finetune", guided_store, "any_finding", draws=1)
    counted = label_training(study, study.arms["guided"], ["backbone.image_size=32"], task)
    assert counted is not None
    assert counted.steps == 2 * len([fit for fit in tuned["settings"]["fits"] if fit["arm"] == "pretrained"])
    assert label_training(study, study.arms["guided"], [], replace(task, task="linear")) is None
    go(definition, guided_store, out, **given)
    assert "in one process; scoring not counted" in told.export_text()  # what is scored costs nothing more
    dense = json.loads((out / "results" / "guided-seed0" / "segment-store-0.5-1-draws.json").read_text())
    assert {one["fraction"] for one in dense[0]["scores"]} == {0.5}
    network = json.loads((out / "results" / "guided-seed0" / "segment-fcn-store-1-draws.json").read_text())
    assert (network[0]["settings"]["decoder"], network[0]["settings"]["training"]["batch_size"]) == ("fcn", 4)
    assert "- store, heart: DINO guided - random init " in text.partition("## Segmentation networks")[2]
    definition.write_text(definition.read_text().replace("rounds=1", "rounds=2"))
    with pytest.raises(RunError, match="other finetune"):
        go(definition, guided_store, out, tasks=["segment"])


def test_an_arm_is_scored_by_what_the_tables_show_of_it(
    go: Go, definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    """An arm without predicted places is not asked for them, nor a guided head of one that has none."""
    out = tmp_path / "study"
    text = go(
        definition, guided_store, out, tasks=["attention", "coordinates"], arms=["unguided", "placed"]
    ).read_text()
    scored = {path.parent.name: path.name for path in (out / "results").glob("*/*.json")}
    assert scored == {"unguided-seed0": "attention-store.json", "placed-seed0": "coordinates-store.json"}
    assert "## Segmentation by predicted places" in text


def test_it_refuses_before_it_trains(
    go: Go, definition: Path, guided_store: Path, phantom_store: Path, tmp_path: Path
) -> None:
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
    with pytest.raises(LabelError, match=r"any_findin.*any_finding"):
        go(definition, guided_store, tmp_path / "study", labels=[(guided_store, "any_findin")])
    with pytest.raises(ConfigError, match="two stores of one name"):
        go(definition, guided_store, tmp_path / "study", masks=[guided_store, phantom_store])
    with pytest.raises(ConfigError, match="no study 'medinoo'"):
        go(Path("medinoo"), guided_store, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_file_may_name_its_stores_and_the_call_takes_their_place(
    definition: Path, guided_store: Path, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "mine").symlink_to(guided_store)
    lines = "data: [stores/mine@all]\nmasks: [stores/mine]\nlabels: [stores/mine=sex]\nseeds: 2\n"
    text = definition.read_text()
    definition.write_text(text + lines)
    given = {"overrides": tiny, "arms": ["unguided"], "console": Console(quiet=True)}
    out = tmp_path / "study"
    pipeline.study(definition, out=out, tasks=["attention"], **given)
    assert {one.name for one in (out / "results").iterdir()} == {"unguided-seed0", "unguided-seed1"}
    assert (out / "results" / "unguided-seed0" / "attention-mine.json").is_file()
    out = tmp_path / "other"
    pipeline.study(definition, out=out, tasks=["linear"], labels=[(guided_store, "any_finding")], seeds=1, **given)
    found = [str(one.relative_to(out / "results")) for one in (out / "results").glob("*/*")]
    assert found == ["unguided-seed0/linear-store-any_finding-grid.json"]
    definition.write_text(text)
    with pytest.raises(ConfigError, match=r"nothing to pretrain on; give --data STORE, or data: "):
        pipeline.study(definition, out=tmp_path / "none", masks=[guided_store], **given)
    definition.write_text(text + "labels: [sex]\n")
    with pytest.raises(ConfigError, match="sex: expected STORE=LABEL"):
        load_study(definition)


def test_published_figures_of_no_arm_are_refused(definition: Path, tmp_path: Path) -> None:
    text = definition.read_text()
    for name, told in (("guidet", r"published of 'guidet', no arm or baseline.*guided"), ("pixels", "published of")):
        (tmp_path / "typo.yaml").write_text(text.replace("{heart: {guided: 0.899}}", f"{{heart: {{{name}: 0.899}}}}"))
        with pytest.raises(ConfigError, match=told):
            load_study(tmp_path / "typo.yaml")


@pytest.mark.parametrize("name", sorted(available_studies()))
def test_shipped_studies_name_recipes_and_options_that_exist(name: str) -> None:
    study = load_study(name)
    for arm in study.arms.values():
        recipe, _ = resolve_recipe(load_recipe(arm.recipe, overrides=arm.set), 10_000)
        assert arm.untrained or not several(recipe), arm.title
    used = {arm for table in study.tables.values() for arm in table.arms}
    assert used == set(study.arms)
    first = next(iter(study.arms))
    assert list(study.some((first,)).arms) == [first]


@pytest.mark.parametrize("arm", [name for name in load_study("medino-small").arms if "linear" in name])
def test_the_lambdas_of_the_sweep_are_what_their_titles_say(arm: str) -> None:
    """The recipes' own weight multiplies both lambdas, and must not come in unseen."""
    study = load_study("medino-small").arms[arm]
    attention = load_recipe(study.recipe, overrides=study.set).guidance.attention
    told = [float(number) for number in re.findall(r"(?<![\w.])(\d*\.?\d+(?:e-\d)?)", study.title)]
    told = told * 2 if len(told) == 1 else told
    assert [attention.weight * attention.inclusion, attention.weight * attention.exclusion] == pytest.approx(told)


def test_contrast_of_one_view_is_refused_before_anything_is_trained(
    go: Go, tiny: tuple[str, ...], definition: Path, guided_store: Path, tmp_path: Path
) -> None:
    text = definition.read_text().replace('set: ["guidance={coordinates: {}}"]', 'set: ["guidance={contrast: {}}"]')
    definition.write_text(text)
    moco = tuple(one if "method" not in one else "method={name: moco, queue: 16}" for one in tiny)
    with pytest.raises(ConfigError, match="method moco on the plan 'small-chest' has its student see one"):
        go(definition, guided_store, tmp_path / "study", overrides=moco)
    assert not (tmp_path / "study").exists()
