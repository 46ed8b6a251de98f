"""What the figures do not show: only what holds for the runs is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.data.store import Store
from vesalius.evaluation.write_result import read_result, write_result
from vesalius.report.limits import limits
from vesalius.report.run_folder import read_run, read_runs
from vesalius.report.stores import Stores

_DRAWN_ONCE = "How much the choice of labels matters"


def test_one_draw_of_few_labels_is_told_and_chance_needs_none(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    usual = limits([read_run(run)], Stores())
    assert not any(_DRAWN_ONCE in words for words in usual)
    folder = next((run / "evaluations").glob("knn-effusion-*"))
    result = read_result(folder)
    chance = [replace(score, fraction=0.1) if score.arm == "chance" else score for score in result.scores]
    write_result(folder, replace(result, scores=tuple(chance)))
    assert limits([read_run(run)], Stores()) == usual
    once = [replace(score, seeds=1) for score in result.scores]
    write_result(folder, replace(result, scores=tuple(once)))
    assert any(_DRAWN_ONCE in words for words in limits([read_run(run)], Stores()))


def test_state_and_alarms_are_told(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit", about={"status": "interrupted", "alarms": ["collapse"]})
    said = limits([read_run(run)], Stores())
    assert "has not finished" in said[0]
    assert "alarm was raised" in said[1]


def _change(run: Path, pattern: str, **changes: Any) -> None:
    for folder in (run / "evaluations").glob(pattern):
        write_result(folder, replace(read_result(folder), **changes))


def _said(run: Path, *stores: Store, about: str) -> str:
    return next(words for words in limits([read_run(run)], Stores(stores)) if words.startswith(about))


def test_where_it_was_tried_follows_the_results(build_run: Callable[..., Path], store: Store, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    said = _said(run, store, about="How it does elsewhere")
    assert "Training and test images share their source; no other was tried." in said
    assert "The pretraining had learned from the store of all scored images." in said
    _change(run, "*-effusion-*", protocol="other_store")
    said = _said(run, store, about="How it does elsewhere")
    assert "Of effusion there are scores on another store than was learned on" in said
    assert "All other training and test images share their source." in said
    _change(run, "*", protocol="other_store")
    said = _said(run, store, about="How it does elsewhere")
    assert "All labels were scored on another store" in said
    assert "share their source" not in said
    _change(run, "*", protocol="masks", train_images=0)
    assert "share their source" not in _said(run, store, about="How it does elsewhere")


def test_pretraining_of_another_store_is_told(build_run: Callable[..., Path], store: Store, tmp_path: Path) -> None:
    other = {"store": "elsewhere", "fingerprint": "0" * 64, "images": 9, "patients": 9, "split": ["train"]}
    run = build_run(tmp_path / "vit", about={"data": other})
    said = _said(run, store, about="How it does elsewhere")
    assert "All scored images are of another store than the pretraining's" in said
    assert "had learned from the store" not in said
    two = other | {"store": "a + b", "split": ["train", "train"]}  # not found: nothing is known
    said = _said(build_run(tmp_path / "two", about={"data": two}), store, about="How it does elsewhere")
    assert "pretraining" not in said


def test_several_seeds_are_told(build_run: Callable[..., Path], tmp_path: Path) -> None:
    once, again = build_run(tmp_path / "a"), build_run(tmp_path / "b", about={"seed": 1})
    assert "Each network was pretrained once" in _said(once, about="How much luck")
    both = next(w for w in limits(read_runs([once, again]), Stores()) if w.startswith("How much luck"))
    assert "The same pretraining is shown with up to 2 seeds; no interval is over them." in both
    assert "once" not in both
    result = read_result(folder := next((once / "evaluations").glob("knn-effusion-*")))
    thrice = tuple(replace(score, seeds=3) for score in result.scores)
    write_result(folder, replace(result, task="finetune", scores=thrice))
    assert "up to 3 trainings of a network" in _said(once, about="How much luck")


def test_without_scores_nothing_is_said_of_them(build_run: Callable[..., Path], tmp_path: Path) -> None:
    said = limits([read_run(build_run(tmp_path / "vit", figures={}))], Stores())
    assert "How good it is. Nothing was scored yet." in said
    assert not any("share their source" in words or "intervals" in words for words in said)
