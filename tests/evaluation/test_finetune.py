"""Fine-tuning: what is held out, what is searched, what stays after a kill, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.config import build
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.errors import ConfigError, EvaluationError, LabelError, SplitError
from vesalius.evaluation import finetune_one
from vesalius.evaluation.classifier import Classifier, Labelled, Setup, loss_of
from vesalius.evaluation.finetune import Finetuning
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.gather import gather
from vesalius.evaluation.probes import ProbeOptions
from vesalius.evaluation.protocol import Sides
from vesalius.evaluation.rounds import Fit, longest_steps

SETUP = Setup(torch.device("cpu"), False, 32)
QUICK = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50, "random_inits": 1, "seeds": 1}
SHORT = ("rounds=4", "round_steps=8", "batch_size=16", "warmup_steps=2")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1, drop_path=0.0))
    save_backbone(backbone, tmp_path / "run" / "backbone", state=backbone.state_dict())
    return tmp_path / "run"


def test_every_arm_learns_the_side(run: Path, store: Store) -> None:
    result = pipeline.evaluate(run, data=store.path, task="finetune", label="side", folds=2, overrides=SHORT, **QUICK)
    found = {score.arm: score for score in result.scores if score.metric == "roc_auc"}
    assert set(found) == {"pretrained", "random_init", "pixels", "chance"}
    assert found["random_init"].value > 0.9
    assert found["chance"].value == 0.5
    fits = result.settings["fits"]
    assert [(fit["arm"], fit["pair"]) for fit in fits] == [
        (a, p) for a in ("pretrained", "random_init") for p in (0, 1)
    ]
    assert {fit["lr"] for fit in fits if fit["arm"] == "pretrained"} == {1e-4}
    assert {fit["lr"] for fit in fits if fit["arm"] == "random_init"} == {1e-3}
    assert result.settings["changed"]["finetune"] == {
        "rounds": 4, "round_steps": 8, "batch_size": 16, "warmup_steps": 2,
    }  # fmt: skip
    [folder] = (run / "evaluations").iterdir()
    assert json.loads((folder / "result.json").read_text())["settings"]["held_out_images"] == 12


def test_what_is_fitted_stays(run: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call trains nothing and says the same; one that was stopped trains the rest alone."""
    options = {"data": store.path, "task": "finetune", "label": "side", "folds": 2, "overrides": SHORT} | QUICK
    first = pipeline.evaluate(run, **options)
    kept = sorted(path for path in (run / "finetuned").iterdir() if path.is_file())
    assert len(kept) == 4
    kept[0].unlink()
    trained: list[float] = []
    real = finetune_one.fit_classifier

    def counted(*given: object, **named: object) -> Fit:
        trained.append(named["lr"])
        return real(*given, **named)

    monkeypatch.setattr(finetune_one, "fit_classifier", counted)
    assert pipeline.evaluate(run, **options) == first
    assert len(trained) == 1
    pipeline.evaluate(run, **(options | {"overrides": (*SHORT, "batch_size=12")}))
    assert len(trained) == 5


def test_a_search_takes_the_rate_that_is_best_on_images_held_out(
    run: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates are tried on the first draw alone, by arm, share and fold; later fits of a fold take its best one."""
    tried: list[float] = []
    best: dict[bytes, float] = {}

    def pretended(
        classifier: Classifier,
        train: Labelled,
        validation: Labelled,
        options: FinetuneOptions,
        *,
        lr: float,
        **_: object,
    ) -> Fit:
        tried.append(lr)
        own = best.setdefault(validation.rows.tobytes(), 0.1 if best else 0.03)
        return Fit(lr=lr, value=0.9 if lr == own else 0.8, loss=0.1, best_round=1, rounds=1)

    monkeypatch.setattr(finetune_one, "fit_classifier", pretended)
    result = pipeline.evaluate(
        run, data=store.path, task="finetune", label="side", folds=2, search="lr",
        overrides=(*SHORT, "optimizer=sgd", "grid=[0.01, 0.03, 0.1]"), **(QUICK | {"seeds": 2}),
    )  # fmt: skip
    assert tried == [0.01, 0.03, 0.1, 0.01, 0.03, 0.1, 0.03, 0.1] * 2
    assert {(fit["pair"], fit["lr"]) for fit in result.settings["fits"]} == {(0, 0.03), (1, 0.1)}
    assert len(result.settings["fits"]) == 8


def test_a_rate_that_diverges_is_not_taken(run: Path, store: Store) -> None:
    result = pipeline.evaluate(
        run, data=store.path, task="finetune", label="side", folds=2, search="lr",
        overrides=(*SHORT, "optimizer=sgd", "grid=[0.01, 1e30]"), **QUICK,
    )  # fmt: skip
    assert {fit["lr"] for fit in result.settings["fits"]} == {0.01}


def test_images_held_out_are_the_same_for_every_share_and_no_patient_is_on_two_sides(store: Store) -> None:
    job = gather(store, None, "side", protocol="folds", folds=3)
    probe = ProbeOptions(
        task="finetune", label="side", kind="binary", classes=("0", "1"), fractions=(0.2, 1.0), seeds=2
    )
    tuning = Finetuning(job, probe, FinetuneOptions(), SETUP, Path("unused"))
    rounds = {(f, s): tuning._drawn(f, s) for f in (0.2, 1.0) for s in (0, 1)}
    for pair in range(3):
        held = [tuple(rounds[key][pair].held_out) for key in rounds]
        assert len(set(held)) == 1
        for key in rounds:
            one = rounds[key][pair]
            sides = [set(job.patients[places]) for places in (one.train, one.held_out, one.test)]
            assert sum(len(side) for side in sides) == len(set.union(*sides))
        assert set(rounds[0.2, 0][pair].train) < set(rounds[1.0, 0][pair].train)
        assert set(rounds[0.2, 0][pair].train) != set(rounds[0.2, 1][pair].train)
    steps = [longest_steps(len(one.train), FinetuneOptions()) for pairs in rounds.values() for one in pairs]
    assert tuning.steps(("pretrained",)) == sum(steps)


def test_soft_labels_teach_and_are_scored_by_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty patients; of every second one only a likelihood of .7 is known for the first of two labels."""
    generator = np.random.default_rng(1)
    (tmp_path / "scans").mkdir()
    lines = ["image,patient,a,b"]
    for patient in range(20):
        name = f"p{patient:02d}.png"
        Image.fromarray(generator.integers(0, 255, size=(32, 32)).astype(np.uint8)).save(tmp_path / "scans" / name)
        lines.append(f"{name},p{patient},{patient // 2 % 2},{patient // 4 % 2}")
    (tmp_path / "scans" / "labels.csv").write_text("\n".join(lines) + "\n")
    prepare(tmp_path / "scans", tmp_path / "store", size=32, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    uncertain = np.arange(20) % 2 == 1
    table = store.manifest.assign(label_a=np.where(uncertain, 0.7, store.manifest["label_a"]))
    vars(store)["manifest"] = table
    job = gather(store, None, "a,b", protocol="folds", folds=2)
    assert np.isnan(job.targets.values[uncertain, 0]).all()
    assert (job.targets.taught[uncertain, 0] == 0.7).all()
    assert any("10 soft values of a,b learned from by fine-tuning alone" in note for note in job.notes)
    probe = ProbeOptions(task="finetune", label="a,b", kind="multilabel", classes=("a", "b"), fractions=(1.0,), seeds=1)
    tuning = Finetuning(job, probe, FinetuneOptions(), SETUP, tmp_path / "kept")
    everything = np.arange(20)
    assert not np.isnan(tuning.labelled(everything, taught=True).labels).any()
    assert np.isnan(tuning.labelled(everything).labels).sum() == 10
    logits = torch.tensor([[2.0, -1.0]])
    wanted = -(0.7 * torch.tensor(2.0).sigmoid().log() + 0.3 * torch.tensor(-2.0).sigmoid().log())
    wanted = (wanted - torch.tensor(1.0).sigmoid().log()) / 2
    torch.testing.assert_close(loss_of(logits, torch.tensor([[0.7, 0.0]]), "multilabel", None), wanted)


@pytest.mark.parametrize("below", [1000, 0])
def test_below_a_number_of_images_the_encoder_keeps_its_weights(
    store: Store, monkeypatch: pytest.MonkeyPatch, below: int
) -> None:
    """Batch norms and all, in both arms; the untrained one has the statistics of the images it learns from."""
    job = gather(store, None, "side", protocol="folds", folds=2)
    probe = ProbeOptions(task="finetune", label="side", kind="binary", classes=("0", "1"), fractions=(1.0,), seeds=1)
    options = FinetuneOptions(rounds=1, round_steps=3, batch_size=16, frozen_below=below)
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1, drop_path=0.0))
    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    real = finetune_one.fit_classifier

    def watched(classifier: Classifier, *given: object, **how: object) -> Fit:
        before = {name: one.clone() for name, one in classifier.state_dict().items()}
        fit = real(classifier, *given, **how)
        seen.append((before, classifier.state_dict()))
        return fit

    monkeypatch.setattr(finetune_one, "fit_classifier", watched)
    tuning = Finetuning(job, probe, options, SETUP, store.path / f"kept-{below}")
    tuning.run({"pretrained": [backbone], "random_init": [backbone]})
    assert len(seen) == 4
    for before, after in seen:
        moved = {name for name, one in after.items() if not torch.equal(one, before[name])}
        assert any(not name.startswith("backbone.") for name in moved)
        assert any(name.startswith("backbone.") for name in moved) is (below == 0)
    given = backbone.state_dict()
    for place, arm in enumerate(("pretrained", "pretrained", "random_init", "random_init")):
        begun = seen[place][0]
        own = all(torch.equal(begun[f"backbone.{name}"], one) for name, one in given.items())
        assert own is (arm == "pretrained" or below == 0)


def test_sides_that_teach_or_score_nothing_are_refused_before_any_training(
    run: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object, **options: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("vesalius.evaluation.finetune_one.fit_classifier", never)
    job = gather(store, None, "side", protocol="folds", folds=2)
    order = np.argsort(job.targets.values, kind="stable")  # the zeros, then the ones
    probe = ProbeOptions(task="finetune", label="side", kind="binary", classes=("0", "1"), fractions=(1.0,), seeds=1)
    ends = np.concatenate([order[:30], order[-30:]])
    one_class = replace(job, sides=Sides("split", ((ends, order[40:60]),)))
    monkeypatch.setattr("vesalius.evaluation.evaluate_run.gather", lambda *_, **__: one_class)
    with pytest.raises(LabelError, match="the 20 images of a test side are of one class"):
        pipeline.evaluate(run, data=store.path, task="finetune", label="side", overrides=SHORT, **QUICK)
    patient = job.patients == job.patients[order[0]]
    alone = replace(job, sides=Sides("split", ((np.flatnonzero(patient), np.flatnonzero(~patient)),)))
    with pytest.raises(SplitError, match="a training side of one patient, who is held out, teaches nothing"):
        Finetuning(alone, probe, FinetuneOptions(), SETUP, Path("unused")).steps(("pretrained",))


@pytest.mark.parametrize(("kind", "unseen"), [("ordinal", (1,)), ("multiclass", (0, 3))])
def test_classes_that_no_image_has_are_asked_of_no_side(store: Store, kind: str, unseen: tuple[int, ...]) -> None:
    """Grades stay with the label for their distances; stores of before may have classes without an image."""
    job = gather(store, None, "side", protocol="folds", folds=2)
    names = ("none", "mild", "severe", "worst")
    shown = [place for place in range(len(names)) if place not in unseen]
    values = np.asarray(shown)[np.arange(len(job.patients)) // 2 % len(shown)]
    targets = replace(job.targets, kind=kind, classes=names, values=values)
    probe = ProbeOptions(task="finetune", label="grade", kind=kind, classes=names, fractions=(1.0,), seeds=1)
    tuning = Finetuning(replace(job, targets=targets), probe, FinetuneOptions(), SETUP, Path("unused"))
    assert tuning.steps(("pretrained",)) > 0
    lacking = replace(targets, values=np.where(np.arange(len(values)) == 0, unseen[0], values))
    with pytest.raises(LabelError, match=f"lack {names[unseen[0]]}"):
        replace(tuning, job=replace(job, targets=lacking)).steps(("pretrained",))


def test_bad_input(run: Path, store: Store) -> None:
    options = {"data": store.path, "label": "side"} | QUICK
    with pytest.raises(ConfigError, match=r"unknown key 'round'.*rounds"):
        pipeline.evaluate(run, task="finetune", overrides=("round=3",), **options)
    with pytest.raises(ConfigError, match=r"select = 'quadratic_kappa': says nothing of side, which is binary"):
        pipeline.evaluate(run, task="finetune", overrides=("select=quadratic_kappa",), **options)
    with pytest.raises(ConfigError, match="task 'linear' has no such options"):
        pipeline.evaluate(run, task="linear", search="lr", **options)
    with pytest.raises(LabelError, match=r"rare: at 100 % of the labels the .* lack"):
        pipeline.evaluate(
            run, task="finetune", overrides=("validation_share=0.1",), protocol="folds",
            **(options | {"label": "rare"}),
        )  # fmt: skip
    with pytest.raises(LabelError, match=r"side: at 100 % of the labels the 2 images held out lack yes"):
        pipeline.evaluate(run, task="finetune", overrides=("validation_share=0.001",), protocol="folds", **options)
    with pytest.raises(EvaluationError, match=r"the loss is .* at a learning rate of 1e\+30"):
        pipeline.evaluate(run, task="finetune", overrides=(*SHORT, "optimizer=sgd", "lr=1e30"), **options)
    assert not (run / "evaluations").exists()
    with pytest.raises(ConfigError, match="patience"):
        build(FinetuneOptions, {"patience": 0}, source="here")
