"""Training one classifier: which round is kept, by what, on which images, and by which loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.data.store import Store
from vesalius.evaluation.classifier import Classifier, Labelled, Setup, loss_of
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.fit_classifier import _class_weights, fit_classifier
from vesalius.evaluation.rounds import _batch, longest_steps

SETUP = Setup(torch.device("cpu"), False, 32)


def test_rounds_are_chosen_by_the_metric_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On twelve images the first of two rounds ranks better and the second decides better."""
    torch.manual_seed(0)
    classifier = Classifier(create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1)), 2)
    rows = store.rows()[:12]
    labels = store.manifest["label_side"].to_numpy()[rows].astype(np.int64)
    some = Labelled(store, rows, labels, "binary", 2)
    ranked, decided = 2.0 + labels + 0.0, np.where(labels == 1, 1.0, -1.0)
    decided[np.flatnonzero(labels == 0)[0]] = 2.0  # one zero above every one, all others as they are
    for select, best in (("roc_auc", 1), ("accuracy", 2)):
        rounds = iter((ranked, decided))
        monkeypatch.setattr(
            "vesalius.evaluation.classifier._logits",
            lambda *_, rounds=rounds: torch.from_numpy(np.stack([np.zeros(12), next(rounds)], axis=1)).float(),
        )
        options = FinetuneOptions(rounds=2, round_steps=1, batch_size=4, select=select)
        fit = fit_classifier(classifier, some, some, options, lr=1e-4, seed=0, setup=SETUP)
        assert fit.best_round == best


def test_the_best_round_is_kept_and_the_rate_falls_where_it_saturates(store: Store, monkeypatch) -> None:
    """Scores by hand: better, better, worse, worse, worse: two falls of the rate end it, round 2 stays."""
    torch.manual_seed(0)
    classifier = Classifier(create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1)), 2)
    images = Labelled(store, np.arange(40), np.arange(40) % 2, "binary", 2)
    told = iter([(0.6, 0.9), (0.7, 0.8), (0.7, 0.85), (0.65, 0.9), (0.69, 0.1), (0.1, 0.9)])
    states, rates = [], []

    def validate(one: Classifier, *_: object) -> tuple[float, float]:
        states.append({name: value.clone() for name, value in one.state_dict().items()})
        return next(told)

    real = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *given: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return real(self, *given)

    monkeypatch.setattr("vesalius.evaluation.fit_classifier.validate", validate)
    monkeypatch.setattr(torch.optim.Adam, "step", step)
    options = FinetuneOptions(rounds=9, round_steps=2, batch_size=16, patience=2, warmup_steps=1, min_lr=1e-4)
    done: list[int] = []
    fit = fit_classifier(classifier, images, images, options, lr=1e-3, seed=0, setup=SETUP, advance=done.append)
    assert (fit.best_round, fit.rounds, fit.value, fit.loss) == (2, 6, 0.7, 0.8)
    assert all(torch.equal(value, states[1][name]) for name, value in classifier.state_dict().items())
    assert rates == pytest.approx([1e-3] * 8 + [1e-4] * 4)
    assert sum(done) == longest_steps(40, options) == 18


def test_two_fits_of_one_seed_are_one(store: Store) -> None:
    images = Labelled(store, np.arange(40), np.arange(40) % 2, "binary", 2)
    options = FinetuneOptions(rounds=1, round_steps=4, batch_size=16)
    weights = []
    for seed in (3, 3, 4):
        torch.manual_seed(0)
        classifier = Classifier(create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1)), 2)
        torch.manual_seed(seed * 7)  # whatever the generator's state
        fit_classifier(classifier, images, images, options, lr=1e-3, seed=seed, setup=SETUP)
        weights.append(classifier.head.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_image_comes_once_a_pass() -> None:
    passes = [np.concatenate([_batch(10, 5, 0, step) for step in (0, 1)]), _batch(3, 8, 0, 7)]
    assert sorted(passes[0]) == list(range(10))
    assert sorted(passes[1]) == [0, 1, 2]


def test_losses_and_class_weights_by_hand(store: Store) -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    targets = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    by_hand = (np.log(2) + np.log(1 + np.exp(2.0)) + np.log(2)) / 3
    assert float(loss_of(logits, targets, "multilabel", None)) == pytest.approx(by_hand, abs=1e-6)
    binary = Labelled(store, np.arange(4), np.array([0, 0, 0, 1]), "binary", 2)
    assert _class_weights(binary).tolist() == pytest.approx([4 / 6, 2.0])
    many = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, np.nan], [0.0, 1.0]])
    assert _class_weights(Labelled(store, np.arange(4), many, "multilabel", 2)).tolist() == pytest.approx([3.0, 2.0])
