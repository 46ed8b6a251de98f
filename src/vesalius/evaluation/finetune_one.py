"""One classifier of a fine-tuning: trained at one rate or several, scored on its test side, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float

from vesalius.backbones.interface import Backbone
from vesalius.evaluation.amounts import largest_of
from vesalius.evaluation.classifier import Labelled, scores_of
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.fit_classifier import fit_classifier
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.evaluation.kept_network import NetworkAbout, save_network
from vesalius.evaluation.rounds import Fit, best_of_rates, longest_steps
from vesalius.seeding import seeded

if TYPE_CHECKING:
    from vesalius.evaluation.finetune import Finetuning

__all__ = ["Drawn", "Fitted", "Fitting"]

_LAYOUT = 3  # of the kept fits; a change of how they are trained raises it


@dataclass(frozen=True, slots=True)
class Drawn:
    """One pair of sides in one draw of labels: places of what is learned from, held out and scored."""

    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A classifier that was trained.

    Attributes:
        fit: How its training went.
        scores: Of its test side.
        network: Name of its file beside the fit, where networks are kept.
    """

    fit: Fit
    scores: Float[np.ndarray, "test columns"]
    network: str | None = None

    def told(self) -> dict[str, Any]:
        """Return what a result's settings say of it."""
        return asdict(self.fit) | ({} if self.network is None else {"network": self.network})


@dataclass(frozen=True, slots=True)
class Fitting:
    """One classifier to be trained, at one learning rate or several.

    Attributes:
        whole: What it is part of.
        backbone: What it starts from.
        fingerprint: Of the backbone.
        drawn: What it learns from and is scored on.
        seed: Of its training.
        which: Arm, fraction, seed and pair, for the kept network.
        wait: For another process that trains it.
    """

    whole: Finetuning
    backbone: Backbone
    fingerprint: str
    drawn: Drawn
    seed: int
    which: Mapping[str, Any]
    wait: bool = True

    def best(self, rates: Sequence[float], advance: Callable[[int], None]) -> Fitted:
        """Return the fit that did best on the images held out; of a search whose network is kept it is trained anew."""
        if self.network is not None and len(rates) == 1:
            return self._kept(rates[0], advance, self.network)
        found = best_of_rates(rates, lambda lr: ((one := self._kept(lr, advance)).fit, one))[1]
        return found if self.network is None else self._kept(found.fit.lr, lambda _: None, self.network)

    @property
    def _options(self) -> FinetuneOptions:
        return self.whole.options.of_arm(pretrained=self.which["arm"] not in self.whole.untrained)

    @property
    def network(self) -> Path | None:
        """Folder of the network, where it is to be kept: that of all labels asked for, in their first draw."""
        first = self.which["seed"] == 0 and self.which["fraction"] == largest_of(self.whole.probe.fractions)
        return self.whole.keep if first else None

    def _kept(self, lr: float, advance: Callable[[int], None], keep: Path | None = None) -> Fitted:
        """Return how the training at this rate went and its scores of the test side, from the folder or trained now."""
        digest, steps = self._digest(lr), longest_steps(len(self.drawn.train), self.whole.options)
        network = None if keep is None else keep / f"{digest}.safetensors"
        there = kept_arrays(
            self.whole.folder / f"{digest}.npz",
            lambda: self._fitted(lr, advance, network),
            found=lambda: advance(steps),
            renew=network is not None and not network.is_file(),
            wait=self.wait,
        )
        fit = Fit(**json.loads(str(there["fit"])))
        return Fitted(fit, there["scores"], None if network is None else network.name)

    def _fitted(self, lr: float, advance: Callable[[int], None], network: Path | None) -> dict[str, npt.NDArray[Any]]:
        train = self.whole.labelled(self.drawn.train, taught=True)
        held_out, test = (self.whole.labelled(places) for places in (self.drawn.held_out, self.drawn.test))
        with seeded(self.seed, self.whole.setup.device):
            classifier = self.whole.classifier(self.backbone)
        setup, options = self.whole.setup, self._options
        fit = fit_classifier(classifier, train, held_out, options, lr=lr, seed=self.seed, setup=setup, advance=advance)
        if network is not None:
            save_network(network, classifier, self._about(test), torch.from_numpy(test.rows))
        return {"scores": scores_of(classifier, test, setup), "fit": np.array(json.dumps(asdict(fit)))}

    def _about(self, test: Labelled) -> NetworkAbout:
        probe = self.whole.probe
        return NetworkAbout(
            task="finetune",
            names=tuple(probe.classes),
            kind=probe.kind,
            label=probe.label,
            image_size=self.whole.setup.image_size,
            decoder=None,
            store=test.store.fingerprint,
            masks="",
            bf16=self.whole.setup.bf16,
            **self.which,
        )

    def _digest(self, lr: float) -> str:
        stores = [store.fingerprint for store, _ in self.whole.job.stores]
        setup = (self.whole.setup.image_size, self.whole.setup.bf16)
        how = (self._options.shaping(), setup, self.whole.probe.classes)
        what = [_LAYOUT, self.fingerprint, self.backbone.pool, stores, *how, lr, self.seed]
        targets = self.whole.job.targets
        arrays: list[npt.NDArray[Any]] = []
        for places in (self.drawn.train, self.drawn.held_out, self.drawn.test):
            arrays += [targets.rows[places], targets.values[places].astype(np.float64)]
        if targets.taught is not None and not np.array_equal(targets.taught, targets.values, equal_nan=True):
            arrays.append(targets.taught[self.drawn.train].astype(np.float64))
        return digest_of(what, *arrays)
