"""How readers of features were chosen, and what their scores are means over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vesalius.records.result import Result, Score
from vesalius.report.reader_choice import Repeats, reader_choice, repeats


def _result(task: str, settings: dict[str, Any], *scores: Score) -> Result:
    sizes = {"train_images": 40, "test_images": 10, "train_patients": 40, "test_patients": 10}
    return Result(task=task, label="a", kind="binary", scores=scores, protocol="split", settings=settings, **sizes)


def _score(arm: str, fraction: float, seeds: int) -> Score:
    return Score(arm=arm, metric="roc_auc", value=0.8, low=0.7, high=0.9, fraction=fraction, seeds=seeds)


def test_untrained_twins_are_no_draws_of_labels() -> None:
    usual = _result("knn", {"random_inits": 2}, _score("pretrained", 1.0, 1), _score("random_init", 1.0, 2))
    assert repeats(usual) == Repeats(draws=0, trainings=1, twins=2)
    assert repeats(usual).in_words() == "2 untrained networks"
    few = replace(usual, scores=(*usual.scores, _score("pretrained", 0.1, 5), _score("random_init", 0.1, 7)))
    assert repeats(few).in_words() == "up to 5 draws of labels and 2 untrained networks"
    assert repeats(replace(usual, scores=usual.scores[:1])).in_words() == ""


def test_where_networks_learn_seeds_on_all_labels_are_trainings() -> None:
    scores = (_score("pretrained", 1.0, 3), _score("random_init", 1.0, 3))
    assert repeats(_result("detect", {}, *scores)).in_words() == "3 trainings on all labels"
    assert repeats(_result("finetune", {"random_inits": 2}, *scores)).in_words() == (
        "3 trainings on all labels and 2 untrained networks"
    )


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        ("knn", {"k": 20}, "k = 20, set beforehand"),
        ("knn", {}, ""),
        ("linear", {"solver": "lbfgs"}, "by cross-validation over patients of the training side"),
        ("linear", {"solver": "sgd"}, "after the last step"),
        (
            "finetune",
            {"finetune": {"select": "quadratic_kappa"}},
            "the best round by quadratic kappa on images held out",
        ),
        (
            "finetune",
            {"finetune": {"search": "lr"}, "held_out_images": 1200},
            "the best round by ROC-AUC on 1,200 images held out from the training side, and the learning rate as well",
        ),
        ("segment", {"decoder": "unet", "held_out_images": 9}, "the best round by Dice on 9 images held out"),
        ("segment", {"decoder": "linear"}, "nothing chosen by a score"),
        ("detect", {}, "after the last step"),
        ("attention", {}, "the best one on the other half of the patients"),
        ("regions", {}, ""),
    ],
)
def test_what_the_reader_was_chosen_by(task: str, settings: dict[str, Any], words: str) -> None:
    said = reader_choice(_result(task, settings))
    assert words in said
    assert bool(said) == bool(words)
