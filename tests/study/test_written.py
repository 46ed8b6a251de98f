"""What tables may ask for is what tasks write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from vesalius.errors import ConfigError, LabelError
from vesalius.study.definition import load_study
from vesalius.study.written import BASELINES, METRICS

ARMS = """
about: Whatever is written
segment: ["rounds=1", "round_steps=2", "batch_size=4"]
finetune: ["rounds=1", "round_steps=2"]
arms:
  placed: {title: DINO placed, recipe: medino/deformable-small, set: ["guidance={coordinates: {}}"]}
tables:
"""


def _table(task: str, metric: str, more: str = "draws: 1, ") -> str:
    return f"  {task}: {{title: T {task}, task: {task}, metric: {metric}, {more}arms: [placed]}}\n"


def test_what_is_known_is_what_is_written(go: Callable[..., Path], guided_store: Path, tmp_path: Path) -> None:
    definition, out = tmp_path / "all.yaml", tmp_path / "study"
    tables = [_table(task, METRICS[task][0], "") for task in ("attention", "coordinates", "regions")]
    tables += [_table(task, METRICS[task][0]) for task in ("segment", "knn", "finetune")]
    definition.write_text(ARMS + "".join(tables))
    go(definition, guided_store, out, labels=[(guided_store, "sex")])
    rows = pd.read_csv(out / "results.csv")
    of_some_stores = {"average_precision_pooled", "hd95_mm", "hd95_px", "hd95_3d_mm", "error_mm", "quadratic_kappa"}
    untold = of_some_stores | {"ece", "brier"}  # these without the interval that a table shows
    for task, found in rows.groupby("task"):
        assert set(found["metric"]) - untold == set(METRICS[str(task)]) - untold
        assert set(found["scored"]) - {"pretrained"} <= set(BASELINES[str(task)])
        maps = {"triangles", "average_prediction", "predicted_masks"}  # of templates that this store has not
        assert set(BASELINES[str(task)]) - set(found["scored"]) <= maps


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("metric: roc_auc", "metric: roc_acu"), r"task linear writes no metric 'roc_acu'; did you mean 'roc_auc'"),
        (("metric: roc_auc", "metric: dice"), r"task linear writes no metric 'dice'.*use roc_auc, "),
        (("task: linear", "task: liner"), r"no task 'liner'; did you mean 'linear'"),
        (("arms: [placed]", "arms: [placed], baselines: [pixles]"), r"no baseline 'pixles'; did you mean 'pixels'"),
        (("arms: [placed]", "arms: [placed], beside: random_int"), r"no baseline 'random_int'; did you mean 'random_"),
    ],
)
def test_a_typo_is_refused_with_the_nearest_word(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    definition = tmp_path / "typo.yaml"
    definition.write_text(ARMS + _table("linear", "roc_auc"))
    assert load_study(definition).tables["linear"].metric == "roc_auc"
    definition.write_text(ARMS + _table("linear", "roc_auc").replace(*change))
    with pytest.raises(ConfigError, match=told):
        load_study(definition)


def test_a_metric_that_does_not_suit_a_label_is_refused_before_anything_is_trained(
    go: Callable[..., Path], guided_store: Path, tmp_path: Path
) -> None:
    definition, out = tmp_path / "kappa.yaml", tmp_path / "study"
    definition.write_text(ARMS + _table("knn", "quadratic_kappa"))
    with pytest.raises(LabelError, match=r"table knn shows quadratic_kappa.*'sex' of kind binary; use one of roc_auc"):
        go(definition, guided_store, out, masks=[], labels=[(guided_store, "sex")])
    assert not (out / "study.json").exists()
