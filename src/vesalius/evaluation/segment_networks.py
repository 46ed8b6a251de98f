"""Segmentation networks trained on every draw of labels, counted in pixels; what is trained stays done."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.data.batches import step_seed
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import ConfigError, LabelError
from vesalius.evaluation.amounts import labels_words, largest_of
from vesalius.evaluation.classifier import Setup
from vesalius.evaluation.features import autocast_bf16, backbone_fingerprint
from vesalius.evaluation.finetune import image_side
from vesalius.evaluation.fit_segmentation import Masked, fit_segmentation, logits_of, segmentation_loss
from vesalius.evaluation.kept_arrays import digest_of, free_ones_first, kept_arrays
from vesalius.evaluation.kept_network import NetworkAbout, save_network
from vesalius.evaluation.mask_parts import check_mirrors, mask_parts
from vesalius.evaluation.rounds import ChosenRates, Fit, best_of_rates, longest_steps
from vesalius.evaluation.segment_counts import Draw, Predict, SegmentCounts
from vesalius.evaluation.segment_figures import figures_of
from vesalius.evaluation.segment_options import SegmentOptions, SegmentTraining
from vesalius.evaluation.segmentation_network import SegmentationNetwork
from vesalius.evaluation.untrained_twin import calibrate_batch_norm
from vesalius.seeding import seeded
from vesalius.training.precision import suit_accelerator

__all__ = ["TrainedArm", "check_draws", "segment_cost"]

_LAYOUT = 1  # of the kept fits; a change of how they are trained raises it
_TIMED = 3

_Array = npt.NDArray[Any]


def check_draws(job: SegmentCounts) -> None:
    """Refuse labels that nothing could learn from, or networks be chosen by.

    Raises:
        LabelError: A part that no image shows; of networks, fewer than two images.
        ConfigError: Mirrored images of parts that are the patient's left and right; more twins than trainings.
    """
    trained = job.options.trained
    if trained and job.options.random_inits > job.options.seeds:
        raise ConfigError(
            f"random_inits = {job.options.random_inits}, seeds = {job.options.seeds}: a training takes one untrained "
            "network; give as many seeds"
        )
    if trained:
        check_mirrors(job.parts, job.options.training)
    shown = job.shown
    for draw in job.draws:
        held = [("images held out", draw.held_out)] if trained else []
        for what, places in [("labelled images", draw.train), *held]:
            missing = [name for part, name in enumerate(job.parts) if not shown[places, part].any()]
            if missing or (trained and len(places) < 2):
                raise LabelError(
                    f"{job.store.path}: at {labels_words(draw.fraction)} the {len(places)} {what} lack "
                    f"{', '.join(missing) or 'a second image'}; use a larger share, fewer folds, or name the parts "
                    "that more patients have (--label; in a study's table parts: [...])"
                )


def segment_cost(
    backbone: Backbone, store: Store, *, parts: Sequence[str] = (), options: SegmentOptions, device: str = "auto"
) -> tuple[int, Callable[[], float]]:
    """Return how many steps one encoder's networks have at most, and what times one, in seconds, on a copy.

    Raises:
        See `vesalius.evaluation.segment.evaluate_segment`.
    """
    there, rows = mask_parts(store, parts)
    job, where = SegmentCounts(store, rows, there, options=options, batch_size=1), choose_device(device)
    setup = Setup(where, autocast_bf16(options.precision, where), image_side(backbone, options.image_size))
    arm = TrainedArm(job, [backbone], True, setup, Path())
    return arm.steps(), arm.seconds_a_step


@dataclass(frozen=True, slots=True)
class TrainedArm:
    """The networks of one arm.

    Attributes:
        job: Who learns from which masks.
        inits: The encoders, dealt among the draws.
        pretrained: Whether they are; untrained ones learn at a higher rate.
        setup: Where and how large.
        folder: Of what is kept.
        arm: Its name.
        keep: Folder where the networks of all labels, in their first draw, stay, named in `fits`.
        fits: How every training went, filled by `counts`.
    """

    job: SegmentCounts
    inits: Sequence[Backbone]
    pretrained: bool
    setup: Setup
    folder: Path
    arm: str = "pretrained"
    keep: Path | None = None
    fits: list[dict[str, Any]] = field(default_factory=list)

    def counts(self, advance: Callable[[int], None] = lambda _: None) -> dict[float, _Array]:
        """Train and score: by share `[seeds, patients, parts, columns]`, see `figures_of`.

        Args:
            advance: Told the steps that are done, of `steps`.
        """
        rates = ChosenRates(self.training.rates(pretrained=self.pretrained))

        def train(place: int, wait: bool) -> tuple[Fit, _Array, str | None]:
            draw = self.job.draws[place]
            sides = (draw.fraction, draw.pair)
            best = self._best(draw, rates.of(sides, first=draw.seed == 0, wait=wait), advance, wait=wait)
            rates.choose(sides, best[0].lr)
            return best

        found: dict[float, dict[int, _Array]] = {}
        trained = free_ones_first(len(self.job.draws), train)
        for draw, (fit, counted, network) in zip(self.job.draws, trained, strict=True):
            told = {"fraction": draw.fraction, "seed": draw.seed, "pair": draw.pair} | asdict(fit)
            self.fits.append(told | ({} if network is None else {"network": network}))
            by_seed = found.setdefault(draw.fraction, {})
            by_seed[draw.seed] = by_seed.get(draw.seed, 0) + counted
        return {fraction: np.stack([by_seed[seed] for seed in sorted(by_seed)]) for fraction, by_seed in found.items()}

    @property
    def training(self) -> SegmentTraining:
        """How the arm's networks learn."""
        return self.job.options.training.of_arm(pretrained=self.pretrained)

    def steps(self) -> int:
        """Return how many training steps all of it has at most."""
        training = self.training
        searched = len(training.rates(pretrained=self.pretrained)) - 1
        each = [longest_steps(len(one.train), training) * (1 + searched * (one.seed == 0)) for one in self.job.draws]
        return sum(each)

    def seconds_a_step(self) -> float:
        """Time a few steps on a copy that is thrown away."""
        draw, seconds, training = self.job.draws[-1], [], self.training
        options = training.model_copy(update={"rounds": 1, "round_steps": 1, "frozen_below": 0})
        few = replace(draw, train=draw.train[: training.batch_size])
        for _ in range(_TIMED):
            start = time.perf_counter()
            self._train(self._network(self.inits[0], 0), few, options.lr or 1e-4, options, validate=lambda: (0.0, 0.0))
            seconds.append(time.perf_counter() - start)
        return float(min(seconds))

    def _encoder(self, draw: Draw) -> Backbone:
        """Return the draw's initialisation; untrained and never to learn, it needs statistics of what it will see."""
        backbone = self.inits[draw.seed % len(self.inits)]
        if self.pretrained or len(draw.train) >= self.job.options.training.frozen_below:
            return backbone
        rows = self.job.rows[draw.train]
        size, device = self.setup.image_size, self.setup.device.type
        return calibrate_batch_norm(copy.deepcopy(backbone), self.job.store, rows, image_size=size, device=device)

    def _best(
        self, draw: Draw, rates: Sequence[float], advance: Callable[[int], None], *, wait: bool
    ) -> tuple[Fit, _Array, str | None]:
        """Train at every rate; of a search whose network is kept the best is trained anew."""
        first = draw.seed == 0 and draw.fraction == largest_of(self.job.options.fractions)
        keep = self.keep if first else None
        if keep is not None and len(rates) == 1:
            return self._kept(draw, rates[0], advance, keep, wait=wait)
        found = best_of_rates(rates, lambda lr: ((one := self._kept(draw, lr, advance, wait=wait))[0], one))[1]
        return found if keep is None else self._kept(draw, found[0].lr, lambda _: None, keep, wait=wait)

    def _kept(
        self, draw: Draw, lr: float, advance: Callable[[int], None], keep: Path | None = None, *, wait: bool
    ) -> tuple[Fit, _Array, str | None]:
        """Return how the training went and what it counted, from the folder or trained now, and its network's file."""
        backbone = self._encoder(draw)
        digest = self._digest(backbone, draw, lr)
        network = None if keep is None else keep / f"{digest}.safetensors"
        there = kept_arrays(
            self.folder / f"{digest}.npz",
            lambda: self._fitted(backbone, draw, lr, advance, network),
            found=lambda: advance(longest_steps(len(draw.train), self.job.options.training)),
            renew=network is not None and not network.is_file(),
            wait=wait,
        )
        return Fit(**json.loads(str(there["fit"]))), there["counts"], None if network is None else network.name

    def _digest(self, backbone: Backbone, draw: Draw, lr: float) -> str:
        """Name what comes of a training by all that shapes it."""
        job, training = self.job, self.training
        what = [_LAYOUT, backbone_fingerprint(backbone), job.options.decoder, training.shaping(), lr]
        what += [draw.seed, job.options.seed]
        what += [self.setup.image_size, self.setup.bf16, job.store.fingerprint, job.store.mask_fingerprint, job.parts]
        rows = [job.rows, *(job.rows[places] for places in (draw.train, draw.held_out, draw.test))]
        what += [job.void, [len(one) for one in rows]]
        return digest_of(what, *rows)

    def _fitted(
        self, backbone: Backbone, draw: Draw, lr: float, advance: Callable[[int], None], network_file: Path | None
    ) -> dict[str, _Array]:
        network, training = self._network(backbone, draw.seed), self.training

        def validate() -> tuple[float, float]:
            losses: list[float] = []

            def watch(logits: Tensor, places: npt.NDArray[np.int64]) -> None:
                losses.append(len(places) * self._loss(logits, places))

            counts = self.job.counted(self._predict(network), draw.held_out, edges=False, watch=watch)
            dice = figures_of(counts[None], self.job.unit)["dice"]
            return float(np.nanmean(dice)), sum(losses) / len(draw.held_out)

        fit = self._train(network, draw, lr, training, validate=validate, advance=advance)
        counted = self.job.counted(self._predict(network), draw.test)
        if network_file is not None:
            save_network(network_file, network, self._about(draw), torch.from_numpy(self.job.rows[draw.test]))
        return {"counts": counted, "fit": np.array(json.dumps(asdict(fit)))}

    def _about(self, draw: Draw) -> NetworkAbout:
        return NetworkAbout(
            task="segment",
            names=tuple(self.job.parts),
            kind="part",
            label="",
            image_size=self.setup.image_size,
            decoder=self.job.options.decoder,
            arm=self.arm,
            fraction=draw.fraction,
            seed=draw.seed,
            pair=draw.pair,
            store=self.job.store.fingerprint,
            masks=self.job.store.mask_fingerprint,
            bf16=self.setup.bf16,
        )

    def _train(self, network: SegmentationNetwork, draw: Draw, lr: float, options: Any, **how: Any) -> Fit:
        seed = step_seed(self.job.options.seed, draw.seed)
        masked = self._masked(draw.train)
        return fit_segmentation(network, masked, options, lr=lr, seed=seed, setup=self.setup, **how)

    def _network(self, backbone: Backbone, seed: int) -> SegmentationNetwork:
        with seeded(step_seed(self.job.options.seed, seed), self.setup.device):
            network = SegmentationNetwork(
                copy.deepcopy(backbone).cpu(),
                self.job.options.decoder,
                len(self.job.parts) + 1,
                image_size=self.setup.image_size,
            )
        suit_accelerator(network, accelerator=self.setup.device.type)
        return network.to(self.setup.device)

    def _masked(self, places: npt.NDArray[np.int64]) -> Masked:
        return Masked(self.job.store, self.job.rows[places], tuple(self.job.parts.values()), self.job.void)

    def _predict(self, network: SegmentationNetwork) -> Predict:
        return lambda images: logits_of(network, images, self.setup)

    def _loss(self, logits: Tensor, places: npt.NDArray[np.int64]) -> float:
        target = self._masked(places).parts(np.arange(len(places)))
        full = functional.interpolate(logits, size=target.shape[2:], mode="bilinear", align_corners=False)
        return float(segmentation_loss(full, target, self.job.options.training.loss))
