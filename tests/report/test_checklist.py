"""Checklists: answers come from the runs, all else stays blank."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vesalius.data.store import Store
from vesalius.evaluation.write_result import read_result, write_result
from vesalius.records.result import Score
from vesalius.report import checklist_data, checklist_scores, checklist_training
from vesalius.report.cases import case_galleries
from vesalius.report.checklist import Checklist, checklists
from vesalius.report.data_sheet import data_sheets
from vesalius.report.page import report
from vesalius.report.run_folder import read_runs
from vesalius.report.stores import find_stores

RunBuilder = Callable[..., Path]
_RECIPE = """
name: small
method: {name: dino, prototypes: 256}
views: {plan: dino-cxr}
backbone: {name: vit_tiny_patch16_224, pretrained: false, init: xavier}
optimizer: {name: adamw, lr: 0.0005, weight_decay: 0.04}
training: {batch_size: 32}
"""


def _filled(*folders: Path, data: tuple[Path, ...] = ()) -> dict[str, Checklist]:
    runs = read_runs(folders)
    stores = find_stores(runs, data)
    cases = [gallery for run in runs for gallery in case_galleries(run)]
    return {each.name: each for each in checklists(runs, stores, data_sheets(runs, stores), cases)}


def _answer(found: Checklist, number: str) -> str:
    return " ".join(next(item for item in found.items if item.number == number).answer)


@pytest.fixture
def run(build_run: RunBuilder, store: Store, tmp_path: Path) -> Path:
    folder = build_run(tmp_path / "vit")
    (folder / "recipe.yaml").write_text(_RECIPE)
    return folder


@pytest.fixture
def claim(run: Path, store: Store) -> Checklist:
    return _filled(run, data=(store.path,))["CLAIM, 2024 update"]


def test_every_item_is_there_once_and_counted(run: Path, store: Store) -> None:
    found = _filled(run, data=(store.path,))
    claim, tripod = found["CLAIM, 2024 update"], found["TRIPOD+AI, 2024"]
    assert [item.number for item in claim.items] == [str(number) for number in range(1, 45)]
    numbers = [item.number for item in tripod.items]
    assert len(numbers) == len(set(numbers)) == 52
    assert {int(re.match(r"\d+", number)[0]) for number in numbers} == set(range(1, 28))  # type: ignore[index]
    for each in (claim, tripod):
        assert each.answered + each.in_part + each.blank == len(each.items)
        assert each.answered
        assert each.blank > 10
        assert sum(len(items) for _, items in each.sections) == len(each.items)


def test_every_answer_belongs_to_an_item_and_to_one_place() -> None:
    modules = (checklist_data, checklist_training, checklist_scores)
    written = [name for module in modules for name in module.__all__]
    assert len(written) == len(set(written))
    lists = Path(checklist_data.__file__).parent / "checklists"
    asked = set(re.findall(r"answer: (\w+)", " ".join(file.read_text() for file in lists.glob("*.yaml"))))
    assert asked == set(written)
    for module in modules:  # what is not in __all__ would be an answer that nobody finds
        tree = ast.parse(Path(module.__file__).read_text())
        public = {one.name for one in tree.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")}
        assert public == set(module.__all__)


def test_answers_are_the_runs_own(claim: Checklist, store: Store) -> None:
    assert "self-supervised pretraining (dino)" in _answer(claim, "1")
    assert f"phantom_store (fingerprint {store.fingerprint[:8]}): {len(store)} images" in _answer(claim, "7")
    assert "files refused: 2" in _answer(claim, "8")
    assert "64 × 64 px" in _answer(claim, "9")
    assert "none of" in _answer(claim, "20")
    assert "5,524,416 parameters, input 64 × 64 px. Method: name dino; prototypes 256." in _answer(claim, "22")
    assert "torch 2.9.0" in _answer(claim, "23")
    assert _answer(claim, "24") == "First weights: random (xavier); seed 0."
    assert "lr 0.0005" in _answer(claim, "25")
    assert "batch size 32. Took 750 steps, 13.1 passes and 20 minutes on cpu, bf16-mixed." in _answer(claim, "25")
    assert "expected calibration error" in _answer(claim, "28")
    assert "labels 1 %, 5 %, 10 % and 100 %; up to 5 draws of labels." in _answer(claim, "30")
    assert _answer(claim, "33").startswith("None: no classifier was scored on another store")
    assert (
        "effusion (phantom_store), Nearest neighbours (k-NN), 100 % of the labels: ROC-AUC 0.910 (0.890 to 0.930)."
        in (_answer(claim, "37"))
    )
    for number in ("2", "5", "15", "21", "34", "41", "44"):
        assert _answer(claim, number) == ""


def test_what_chose_the_model_is_told_of_pretraining_and_of_readers(run: Path, store: Store) -> None:
    folder = next((run / "evaluations").glob("linear-effusion-*"))
    result = read_result(folder)
    tuned = {"finetune": {"select": "roc_auc", "search": "lr"}, "held_out_images": 8}
    write_result(folder, replace(result, task="finetune", settings=result.settings | tuned))
    claim = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    assert _answer(claim, "26").startswith("Pretraining: the weights after the last step, none chosen by a score.")
    assert "k = 20, set beforehand" in _answer(claim, "26")
    assert "the regularisation by cross-validation" in _answer(claim, "26")
    assert "best round by ROC-AUC on 8 images held out from the training side, and the learning rate" in _answer(
        claim, "26"
    )
    assert not next(item for item in claim.items if item.number == "26").whole


def test_twins_are_not_told_as_draws_of_labels(run: Path, store: Store) -> None:
    for folder in (run / "evaluations").iterdir():
        result = read_result(folder)
        twins = [replace(s, seeds=2) if s.arm == "random_init" else s for s in result.scores if s.fraction == 1]
        settings = result.settings | {"random_inits": 2}
        write_result(folder, replace(result, scores=tuple(twins), settings=settings))
    claim = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    for number in ("27", "30"):
        assert "draw" not in _answer(claim, number)
        assert "2 untrained networks" in _answer(claim, number)


def test_what_is_internal_follows_the_protocol_and_the_pretraining(run: Path, store: Store) -> None:
    claim = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    assert _answer(claim, "32") == (
        "Learned and scored on one source, of whose images the pretraining had some: cardiomegaly (phantom_store), "
        "effusion (phantom_store) and opacity (phantom_store)."
    )
    for folder in (run / "evaluations").glob("*-effusion-*"):
        write_result(folder, replace(read_result(folder), task="attention", protocol="masks", train_images=0))
    claim = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    assert "effusion" not in _answer(claim, "32") + _answer(claim, "33")
    about = json.loads((run / "run.json").read_text())
    about["data"] |= {"store": "elsewhere", "fingerprint": "0" * 64}
    (run / "run.json").write_text(json.dumps(about))
    claim = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    assert "Learned and scored on one source, which the pretraining did not have: cardiomegaly" in _answer(claim, "32")
    assert "Scored on masks of another store than the pretraining's, no layer fitted: effusion (phantom_store)." in (
        _answer(claim, "33")
    )


def test_without_scores_no_limit_is_named(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    found = _filled(build_run(tmp_path / "none", figures={}), data=(store.path,))
    assert _answer(found["CLAIM, 2024 update"], "40") == ""
    assert _answer(found["TRIPOD+AI, 2024"], "26") == ""


def test_the_commonest_class_is_told_where_there_is_one(run: Path, store: Store) -> None:
    folder = next((run / "evaluations").glob("knn-effusion-*"))
    result = read_result(folder)
    chance = Score(arm="chance", metric="accuracy", value=0.91, low=0.91, high=0.91)
    write_result(folder, replace(result, scores=(*result.scores, chance)))
    assert "the commonest is 91 %" in _answer(_filled(run)["TRIPOD+AI, 2024"], "15")
    write_result(folder, replace(result, scores=(*result.scores, chance), kind="multilabel"))
    said = _answer(_filled(run)["TRIPOD+AI, 2024"], "15")
    assert "a probability of no and yes; no threshold" in said
    assert "commonest" not in said


def test_answers_follow_what_changes(run: Path, store: Store, write_cases: Callable[..., Path]) -> None:
    before = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    assert _answer(before, "39") == ""
    about = json.loads((run / "run.json").read_text())
    best = {"loss": 3.25, "epoch": 4.0}
    (run / "run.json").write_text(json.dumps(about | {"best_validation": best}))
    (run / "recipe.yaml").write_text(_RECIPE + "validation: {patience: 3}\n")
    write_cases(run, store, "segment-mean-abcd1234")
    folder = next((run / "evaluations").glob("knn-effusion-*"))
    write_result(folder, replace(read_result(folder), protocol="other_store"))
    after = _filled(run, data=(store.path,))["CLAIM, 2024 update"]
    assert "best look at patients held out (loss 3.25)" in _answer(after, "26")
    assert "1 worst case by Dice of the parts (0.200)" in _answer(after, "39")
    assert _answer(after, "33") == (
        "Learned on one store and scored on another, of whose images the pretraining had some: "
        "effusion (phantom_store)."
    )


def test_nothing_is_claimed_of_a_store_that_is_gone_or_a_run_without_a_recipe(
    build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit", about={"versions": {}})
    (run / "recipe.yaml").unlink()
    for file in (run / "evaluations").glob("*/neighbours.json"):
        file.unlink()
    claim = _filled(run)["CLAIM, 2024 update"]
    for number in ("1", "7", "8", "9", "11", "12", "13", "14", "20", "23", "24", "25", "35", "36", "42", "43"):
        assert _answer(claim, number) == "", number
    assert "0.910" in _answer(claim, "37")


def test_runs_that_differ_are_named(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    one, two = build_run(tmp_path / "a"), build_run(tmp_path / "b", architecture="resnet18", shift=0.01)
    claim = _filled(one, two, data=(store.path,))["CLAIM, 2024 update"]
    assert "a: Backbone vit_tiny_patch16_224" in _answer(claim, "22")
    assert "b: Backbone resnet18" in _answer(claim, "22")
    assert _answer(claim, "23").count("torch 2.9.0") == 1  # alike, said once


def test_page_shows_counts_and_lines_to_write_on(run: Path, read_page: Callable[[str], Any], tmp_path: Path) -> None:
    text = report([run], tmp_path / "report.html").read_text()
    page = read_page(text)
    claim = _filled(run)["CLAIM, 2024 update"]
    assert (
        f"CLAIM, 2024 update: {claim.answered} of 44 answered, {claim.in_part} in part, {claim.blank} left blank"
        in page.text
    )
    assert page.text.count("left blank") >= claim.blank
    assert text.count('class="ruled"') == sum(
        item.answer == () or not item.whole for each in _filled(run).values() for item in each.items
    )
