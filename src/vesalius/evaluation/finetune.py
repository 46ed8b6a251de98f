"""Every arm, share of the labels and seed fine-tuned, on the same sides, label draws and images held out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vesalius.backbones.interface import Backbone
from vesalius.data.batches import step_seed
from vesalius.errors import ConfigError, LabelError, SplitError
from vesalius.evaluation.amounts import labels_words
from vesalius.evaluation.classifier import Classifier, Labelled, Setup
from vesalius.evaluation.features import backbone_fingerprint
from vesalius.evaluation.finetune_one import Drawn, Fitted, Fitting
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.fit_classifier import finetune_plan, training_step
from vesalius.evaluation.gather import EvaluationTask
from vesalius.evaluation.kept_arrays import free_ones_first
from vesalius.evaluation.label_amounts import draw_label_amounts, hold_out
from vesalius.evaluation.probes import Prediction, ProbeOptions
from vesalius.evaluation.rounds import ChosenRates, build_optimizer, longest_steps
from vesalius.evaluation.untrained_twin import calibrate_batch_norm
from vesalius.seeding import seeded
from vesalius.training.precision import suit_accelerator

__all__ = ["Finetuning", "image_side"]

_WARM, _TIMED = 2, 3


def image_side(backbone: Backbone, asked: int | None) -> int:
    """Return the side of the input.

    Raises:
        ConfigError: The weights' own input is not square, and no side was asked for.
    """
    height, width = backbone.preprocessing.image_size
    if asked is None and height != width:
        raise ConfigError(f"training takes square inputs, this backbone's are {height} x {width}: give --image-size")
    return asked or height


@dataclass(frozen=True, slots=True)
class Finetuning:
    """A whole evaluation by fine-tuning; what is fitted stays in `folder`, so a killed one goes on.

    Attributes:
        job: The labelled images and their sides.
        probe: What shapes the figures.
        options: How each classifier is trained.
        setup: Where and how large.
        folder: Of the kept fits.
        untrained: Arms of random weights, which learn at a higher rate.
        keep: Folder where the networks of all labels, in their first draw, stay, named in what is told of the fits.
    """

    job: EvaluationTask
    probe: ProbeOptions
    options: FinetuneOptions
    setup: Setup
    folder: Path
    untrained: frozenset[str] = frozenset({"random_init"})
    keep: Path | None = None

    def run(
        self, backbones: Mapping[str, Sequence[Backbone]], advance: Callable[[int], None] = lambda _: None
    ) -> tuple[list[Prediction], list[dict[str, Any]]]:
        """Fine-tune everything; return the predictions and what is told of every fit that they come from.

        Args:
            backbones: Arm to its initialisations; they are left as they are.
            advance: Told the steps that are done, of `steps`.
        """
        predictions, told = [], []
        draws = [(fraction, seed) for fraction in self.probe.fractions for seed in range(self.probe.seeds)]
        drawn = [self._drawn(fraction, seed) for fraction, seed in draws]
        for arm, inits in backbones.items():
            fitted = self._fit_all(arm, inits, draws, drawn, advance)
            for (fraction, seed), sides, fits in zip(draws, drawn, fitted, strict=True):
                about = {"arm": arm, "fraction": fraction, "seed": seed}
                told += [about | {"pair": place} | fit.told() for place, fit in enumerate(fits)]
                predictions.append(
                    Prediction(
                        arm=arm,
                        fraction=fraction,
                        seed=seed,
                        scores=np.concatenate([one.scores for one in fits]),
                        learned=tuple(len(one.train) for one in sides),
                        chosen=tuple(one.fit.lr for one in fits),
                    )
                )
        return predictions, told

    def steps(self, arms: Sequence[str]) -> int:
        """Return how many training steps all of it has at most.

        Raises:
            LabelError: Images held out, or labelled ones, that lack a class.
            SplitError: All of a training side is held out.
        """
        total = 0
        for arm in arms:
            searched = len(self.options.rates(pretrained=arm not in self.untrained)) - 1
            for fraction in self.probe.fractions:
                for seed in range(self.probe.seeds):
                    pairs = [longest_steps(len(one.train), self.options) for one in self._drawn(fraction, seed)]
                    total += sum(pairs) * (1 + searched if seed == 0 else 1)
        return total

    def seconds_a_step(self, backbone: Backbone) -> float:
        """Time a few steps on a copy that is thrown away."""
        pair = self._drawn(self.probe.fractions[-1], 0)[0]
        with seeded(0, self.setup.device) as generator:
            classifier = self.classifier(backbone)
            optimizer = build_optimizer(classifier, classifier.backbone, self.options)
            plan = finetune_plan(self.options, self.setup.image_size)
            batch = self.labelled(pair.train[: self.options.batch_size])
            seconds = []
            for _ in range(_WARM + _TIMED):
                start = time.perf_counter()
                training_step(classifier, optimizer, batch, plan, generator, lr=1e-6, weights=None, setup=self.setup)
                if self.setup.device.type == "cuda":
                    torch.cuda.synchronize(self.setup.device)
                seconds.append(time.perf_counter() - start)
        return float(np.mean(seconds[_WARM:]))

    def description(self) -> dict[str, Any]:
        """Return what shaped the figures, beside what the probe tells."""
        return {
            "features": "fine-tuned",
            "finetune": self.options.model_dump(mode="json"),
            "image_size": self.setup.image_size,
            "untrained_twin": "random weights, trained from scratch" + self._frozen_words(),
            "held_out_images": len(self._drawn(self.probe.fractions[-1], 0)[0].held_out),
        }

    def _frozen_words(self) -> str:
        below = self.options.frozen_below
        return f"; of less than {below} images its encoder learns nothing, nor does the other" if below else ""

    def classifier(self, backbone: Backbone) -> Classifier:
        """Put a new linear layer, drawn from torch's generator, on a copy of the backbone."""
        classifier = Classifier(copy.deepcopy(backbone), len(self.probe.classes))
        suit_accelerator(classifier, accelerator=self.setup.device.type)
        return classifier.to(self.setup.device)

    def labelled(self, places: npt.NDArray[np.int64], *, taught: bool = False) -> Labelled:
        """Return the images at some places of the job, which are all of one store; with soft labels where `taught`."""
        targets = self.job.targets
        first = len(self.job.stores[0][1])
        store = self.job.stores[0 if places[0] < first else -1][0]
        values = targets.taught if taught and targets.taught is not None else targets.values
        return Labelled(store, targets.rows[places], values[places], targets.kind, len(targets.classes))

    def _fit_all(
        self,
        arm: str,
        inits: Sequence[Backbone],
        draws: Sequence[tuple[float, int]],
        drawn: Sequence[Sequence[Drawn]],
        advance: Callable[[int], None],
    ) -> list[list[Fitted]]:
        """Fit every pair of sides of every draw at its own rates: what is scored in one fold may choose none for it."""
        every = [(draw, pair) for draw, sides in enumerate(drawn) for pair in range(len(sides))]
        prints = [backbone_fingerprint(one) for one in inits]
        rates = ChosenRates(self.options.rates(pretrained=arm not in self.untrained))

        def fit(place: int, wait: bool) -> Fitted:
            draw, pair = every[place]
            (fraction, seed), own = draws[draw], drawn[draw][pair]
            backbone, told = inits[seed % len(inits)], prints[seed % len(inits)]
            encoder = self._encoder(backbone, own, arm)
            told += "" if encoder is backbone else ", calibrated"  # statistics differ by rounding
            which = {"arm": arm, "fraction": fraction, "seed": seed, "pair": pair}
            one = Fitting(self, encoder, told, own, step_seed(self.probe.seed, seed), which, wait)
            best = one.best(rates.of((fraction, pair), first=seed == 0, wait=wait), advance)
            rates.choose((fraction, pair), best.fit.lr)
            return best

        fitted = iter(free_ones_first(len(every), fit))
        return [[next(fitted) for _ in sides] for sides in drawn]

    def _encoder(self, backbone: Backbone, drawn: Drawn, arm: str) -> Backbone:
        """Return the initialisation; untrained and never to learn, it needs statistics of what it will see."""
        if arm not in self.untrained or len(drawn.train) >= self.options.frozen_below:
            return backbone
        learned = self.labelled(drawn.train)
        size, device = self.setup.image_size, self.setup.device.type
        own = copy.deepcopy(backbone)
        return calibrate_batch_norm(own, learned.store, learned.rows, image_size=size, device=device)

    def _drawn(self, fraction: float, seed: int) -> list[Drawn]:
        """Hold out the same patients for every share and seed, and draw labels from the others."""
        patients, labels = self.job.patients, self.job.targets.values
        found = []
        for train, test in self.job.sides.pairs:
            held = self._held_out(train)
            rest = train[~held]
            if not len(rest):
                raise SplitError(
                    f"{self.probe.label}: a training side of one patient, who is held out, teaches nothing; give more "
                    "patients, or take task linear"
                )
            draws = draw_label_amounts(
                patients[rest], labels[rest], fractions=self.probe.fractions, seed=self.probe.seed + seed
            )
            drawn = rest[draws[fraction]]
            for what, places in (("labelled images", drawn), ("images held out", train[held])):
                self._check(what, labels[places], fraction)
            found.append(Drawn(drawn, train[held], test))
        return found

    def _held_out(self, train: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        job, share = self.job, self.options.validation_share
        how: dict[str, Any] = {"protocol": job.sides.protocol, "share": share, "seed": self.probe.seed}
        return hold_out(job.patients[train], job.targets.values[train], job.split[train], **how)

    def _check(self, what: str, labels: npt.NDArray[Any], fraction: float) -> None:
        if self.probe.kind == "multilabel":
            missing = [] if len(labels) else ["any image"]
        else:
            unmet = np.setdiff1d(self.job.targets.values, labels)  # a grade that no image has is asked of none
            missing = [self.probe.classes[place] for place in unmet.astype(int)]
        if missing or len(labels) < 2:
            raise LabelError(
                f"{self.probe.label}: at {labels_words(fraction)} the {len(labels)} {what} lack "
                f"{', '.join(missing) or 'a second image'}; use a larger share, fewer folds, or a label that more "
                "patients have"
            )
