from __future__ import annotations

import json

import numpy as np
import pytest

from vesalius.errors import ConfigError, EvaluationError, LabelError
from vesalius.evaluation.protocol import fold_sides, split_sides
from vesalius.evaluation.scoring import evaluate_frozen
from vesalius.evaluation.write_result import read_result, result_folder, write_result

FAST = {"bootstrap": 200, "seeds": 2, "fractions": (0.1, 1.0), "ks": (5,), "k": 5}


def _cohort(*, patients: int = 120, images: int = 3, seed: int = 0):
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), images)
    labels = generator.integers(2, size=patients)[patient]
    return generator, patient, labels


def _value(result, arm: str, fraction: float = 1.0, metric: str = "roc_auc"):
    [score] = [s for s in result.scores if (s.arm, s.fraction, s.metric) == (arm, fraction, metric)]
    return score


@pytest.mark.parametrize("task", ["knn", "linear"])
def test_features_that_encode_the_patient_score_at_chance(task: str) -> None:
    values = []
    once = FAST | {"fractions": (1.0,), "bootstrap": 20}
    for seed in range(6):
        generator, patient, labels = _cohort(seed=seed)
        identity = generator.normal(size=(120, 200))[patient] + 0.01 * generator.normal(size=(360, 200))
        sides = fold_sides(labels, patient, folds=5, seed=seed)
        result = evaluate_frozen(
            {"pretrained": [identity]}, labels, patient, sides=sides, task=task, kind="binary", **once
        )
        values.append(_value(result, "pretrained").value)
    # One AUC of 120 patients strays by about 0.053 at chance, the mean of six by 0.022.
    assert abs(np.mean(values) - 0.5) < 0.07
    # A split by image finds the patient again and lets him tell his label: the protocol is what keeps it at chance.
    leaky = fold_sides(labels, np.arange(len(labels)), folds=5)
    leak = evaluate_frozen({"pretrained": [identity]}, labels, patient, sides=leaky, task=task, kind="binary", **once)
    assert _value(leak, "pretrained").value > 0.75


@pytest.mark.parametrize(("task", "solver"), [("knn", "lbfgs"), ("linear", "lbfgs"), ("linear", "sgd")])
def test_a_signal_is_found_and_stands_above_its_baselines(task: str, solver: str) -> None:
    generator, patient, labels = _cohort(patients=200)
    signal = generator.normal(size=(600, 12))
    signal[:, 0] += 4.0 * labels
    noise = [generator.normal(size=(600, 12)) for _ in range(2)]
    arms = {"pretrained": [signal], "random_init": noise, "pixels": [generator.normal(size=(600, 9))]}
    split = np.where(patient < 120, "train", "test")
    result = evaluate_frozen(
        arms, labels, patient, sides=split_sides(split, patient), task=task, kind="binary", solver=solver, **FAST
    )
    best = _value(result, "pretrained")
    assert best.low > 0.75
    assert best.low <= best.value <= best.high
    assert _value(result, "random_init").seeds == 2
    assert _value(result, "pretrained", 0.1).seeds == 2
    assert _value(result, "chance").value == 0.5
    assert "above, with separate 95 % intervals" in result.verdict
    assert "above the raw-pixel baseline" in result.verdict
    assert (result.train_images, result.test_images, result.train_patients, result.test_patients) == (360, 240, 120, 80)
    assert result.settings["train_images_by_fraction"] == {"0.1": 36.0, "1.0": 360.0}


def test_same_seed_same_result_whatever_the_other_arms() -> None:
    generator, patient, labels = _cohort()
    features = generator.normal(size=(360, 8)) + labels[:, None]
    sides = fold_sides(labels, patient, folds=3)
    both = {"pretrained": [features], "pixels": [features[:, :3]]}
    first = evaluate_frozen(both, labels, patient, sides=sides, task="linear", kind="binary", **FAST)
    again = evaluate_frozen(both, labels, patient, sides=sides, task="linear", kind="binary", **FAST)
    alone = evaluate_frozen(
        {"pretrained": [features]}, labels, patient, sides=sides, task="linear", kind="binary", **FAST
    )
    assert first == again
    assert [s for s in first.scores if s.arm == "pretrained"] == [s for s in alone.scores if s.arm == "pretrained"]


def test_comparisons_and_probabilities_are_tested() -> None:
    generator, patient, labels = _cohort()
    told, noise = generator.normal(size=(360, 4)) + labels[:, None], generator.normal(size=(360, 4))
    sides = fold_sides(labels, patient, folds=3)
    arms = {"pretrained": [told], "random_init": [noise], "pixels": [told[:, ::-1].copy()]}
    result = evaluate_frozen(arms, labels, patient, sides=sides, task="linear", kind="binary", **FAST)
    p = {(one["baseline"], one["metric"], one["fraction"]): one["delong_p"] for one in result.settings["comparisons"]}
    assert p["random_init", "roc_auc", 1.0] < 1e-4
    assert p["pixels", "roc_auc", 1.0] > 0.5  # the same columns, in another order
    assert p["random_init", "pr_auc", 1.0] is p["chance", "roc_auc", 1.0] is None
    assert f"DeLong p {p['random_init', 'roc_auc', 1.0]:.2g}" in result.verdict
    measured = result.settings["calibration"]
    assert list(measured) == ["pretrained", "random_init", "pixels"]
    assert all(sum(one["images"]) == 360 and 0 < one["ece"] < 0.3 for one in measured.values())
    assert measured["pretrained"]["brier"] < measured["random_init"]["brier"]


@pytest.mark.parametrize("task", ["knn", "linear"])
def test_ordinal_and_multilabel_labels(task: str) -> None:
    generator, patient, _ = _cohort()
    grade = generator.integers(4, size=120)[patient]
    features = np.eye(4)[grade] * 3 + generator.normal(size=(360, 4))
    sides = fold_sides(grade, patient, folds=3)
    ordinal = evaluate_frozen(
        {"pretrained": [features]}, grade, patient, sides=sides, task=task, kind="ordinal", **FAST
    )
    assert _value(ordinal, "pretrained", metric="quadratic_kappa").value > 0.5
    assert _value(ordinal, "chance", metric="quadratic_kappa").value == 0.0
    many = np.stack([grade > 1, grade == 3], axis=1).astype(float)
    many[::5, 1] = np.nan
    names = ("severe", "worst")
    result = evaluate_frozen(
        {"pretrained": [features]}, many, patient, sides=sides, task=task, kind="multilabel", classes=names, **FAST
    )
    assert _value(result, "pretrained").value > 0.8
    assert result.settings["classes"] == ["severe", "worst"]


def test_bad_input_is_named_with_what_to_do() -> None:
    _, patient, labels = _cohort()
    features = np.ones((360, 4)) * labels[:, None]
    sides = fold_sides(labels, patient, folds=3)

    def run(arms, truth, **changed):
        how = {"sides": sides, "task": "knn", "kind": "binary"} | FAST | changed
        return evaluate_frozen(arms, truth, patient, **how)

    with pytest.raises(LabelError, match=r"of one class.*choose another label"):
        run({"pretrained": [features]}, np.zeros_like(labels))
    missing = labels.astype(float)
    missing[:7] = np.nan
    with pytest.raises(LabelError, match="7 of 360 images have no label"):
        run({"pretrained": [features]}, missing)
    order = np.argsort(labels, kind="stable")
    one_sided = type(sides)("split", ((order[:100], order[100:]),))
    with pytest.raises(LabelError, match="of one class; use protocol='folds'"):
        run({"pretrained": [features]}, labels, sides=one_sided)
    grades = np.where(np.arange(360) < 4, 2, labels)  # a third grade, scored alone
    never = type(sides)("split", ((np.arange(4, 300), np.r_[0:4, 300:360]),))
    with pytest.raises(LabelError, match="worst is among the 64 images that are scored and not among the 296"):
        run({"pretrained": [features]}, grades, sides=never, kind="multiclass", classes=("no", "some", "worst"))
    broken = features.copy()
    broken[5, 1] = np.inf
    with pytest.raises(EvaluationError, match="'pretrained': 1 of 360 images"):
        run({"pretrained": [broken]}, labels)
    with pytest.raises(EvaluationError, match="359 feature rows do not go with 360 labels"):
        run({"pretrained": [features[1:]]}, labels)
    with pytest.raises(ConfigError, match="did you mean 'knn'"):
        run({"pretrained": [features]}, labels, task="kn")
    with pytest.raises(ConfigError, match="did you mean 'lbfgs'"):
        run({"pretrained": [features]}, labels, solver="lbgs")


def test_a_result_survives_the_disk_and_replaces_an_older_one(tmp_path) -> None:
    generator, patient, labels = _cohort()
    sides = fold_sides(labels, patient, folds=3)
    arms = {"pretrained": [generator.normal(size=(360, 4))]}
    result = evaluate_frozen(arms, labels, patient, sides=sides, task="knn", kind="binary", **FAST)
    folder = result_folder(tmp_path, task="knn", label="any/finding, sex", fingerprint="0123456789abcdef")
    # The name stands for one label only, though the label's characters do not all fit into a file name.
    assert folder.parent == tmp_path / "evaluations"
    assert folder.name.startswith("knn-any_finding+_sex-01234567-")
    assert folder != result_folder(tmp_path, task="knn", label="any_finding,_sex", fingerprint="0123456789abcdef")
    for _ in range(2):
        write_result(folder, result, neighbours={"queries": [1], "similarity": [float("nan")]})
    assert read_result(folder) == result
    assert json.loads((folder / "neighbours.json").read_text())["similarity"] == [None]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
