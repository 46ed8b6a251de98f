"""Linear segmentation of frozen maps, counted in pixels: who learns from which masks, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.data.store import Store
from vesalius.evaluation.dense_maps import DenseMaps, cells_of
from vesalius.evaluation.label_amounts import deal_patients, draw_label_amounts, hold_out
from vesalius.evaluation.mask_parts import void_value
from vesalius.evaluation.place_classifier import PlaceClassifier, dice_offsets, fit_places
from vesalius.evaluation.protocol import Sides, make_sides
from vesalius.evaluation.segment_options import SegmentOptions

__all__ = ["PLACES", "Draw", "Predict", "SegmentCounts", "dice_and_iou"]

PLACES = 20_000
"""Places learned from in all images together, drawn once: three times as many added .001 Dice on JSRT (docs/LOG.md)."""

_LAYOUT = 2  # of kept counts; a change of how they are made raises it

_Array = npt.NDArray[Any]
Predict = Callable[[Any], Float[Tensor, "images classes rows columns"]]
"""From some images, or their maps, to logits."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What one fit learns from, is chosen by (a network that is trained) and is scored on; places among the images."""

    fraction: float
    seed: int
    pair: int
    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


class SegmentCounts:
    """The images with masks, who learns from which, and what is counted of every arm alike."""

    def __init__(
        self,
        store: Store,
        rows: npt.NDArray[np.int64],
        parts: Mapping[str, int],
        *,
        options: SegmentOptions,
        batch_size: int,
    ) -> None:
        self.store, self.rows, self.parts, self.options = store, rows, dict(parts), options
        self.batch_size = batch_size
        self.void = void_value(store)
        table = store.manifest.iloc[rows]
        self.patients = table["patient"].to_numpy(dtype=str)
        self.names, self.code = np.unique(self.patients, return_inverse=True)
        nothing = np.zeros(len(rows), dtype=np.int64)
        self.sides: Sides = make_sides(
            table["split"].to_numpy(dtype=str), nothing, self.patients, protocol=options.protocol, folds=options.folds,
            seed=options.seed,
        )  # fmt: skip
        self._split = table["split"].to_numpy(dtype=str)
        self.draws = [
            Draw(fraction, seed, pair, rest[drawn], held, test)
            for seed in range(options.seeds)
            for pair, (train, test) in enumerate(self.sides.pairs)
            for held, rest in [self._held_out(train)]
            for fraction, drawn in draw_label_amounts(
                self.patients[rest], nothing[rest], fractions=options.fractions, seed=options.seed + seed
            ).items()
            if fraction < 1.0 or seed == 0 or options.trained
        ]

    @property
    def about(self) -> list[Any]:
        """All that shapes what is counted, besides the maps and the rows."""
        options = asdict(self.options)
        # Of the figures, the twins and the input; the latter two are told with the maps.
        for name in ("bootstrap", "random_inits", "image_size", "precision"):
            del options[name]
        training = options.pop("training")
        if self.options.trained:
            options["held_out"] = training.validation_share
        return [_LAYOUT, PLACES, self.store.fingerprint, self.store.mask_fingerprint, self.parts, options]

    def fits(self, inits: int) -> int:
        """Return how many fits an arm of so many initialisations takes."""
        mine = self._of_layers()
        return len(mine) + (inits - 1) * sum(draw.fraction == 1.0 for draw in mine)

    def of_maps(self, inits: Sequence[DenseMaps], advance: Callable[[int], None]) -> dict[float, _Array]:
        """Fit and score one arm: by share `[draws, patients, parts, 3]` pixels common, predicted and true.

        Args:
            inits: The arm's initialisations; draws of fewer labels are dealt among them, all labels go to each.
            advance: Told the fits that are done.
        """
        found: dict[float, list[_Array]] = {}
        for place, maps in enumerate(inits):
            fitted = []
            for draw in self._of_layers():
                if draw.fraction == 1.0 or draw.seed % len(inits) == place:
                    fitted.append((draw, self._fit(maps, draw)))
                    advance(1)
            for fraction, counted in self._score(fitted, maps).items():
                found.setdefault(fraction, []).append(counted)
        return {fraction: np.concatenate(parts) for fraction, parts in found.items()}

    def of_mean_mask(self) -> dict[float, _Array]:
        """Score the mean of the masks learned from in the same way, its parts moved by the same rule."""
        masks = self.store.masks[self.rows]
        shares = cells_of(masks, list(self.parts.values()), masks.shape[1:], void=self.void)
        fitted: list[tuple[Draw, Predict]] = []
        for draw in self._of_layers():
            mean = shares[draw.train].mean(dim=0)
            logits = mean.clamp_min(1e-6).log()
            # Every image gets the same answer, so that what is common with all of them is what is with their mean.
            offsets = dice_offsets(logits.flatten(1).T, mean.flatten(1).T)
            fitted.append((draw, _always(logits + offsets[:, None, None])))
        return self._score(fitted, None)

    def _fit(self, maps: DenseMaps, draw: Draw) -> PlaceClassifier:
        """Learn from some places of every image of the draw, the more of each the fewer there are."""
        features, shares = [], []
        generator = torch.Generator().manual_seed(self.options.seed)
        for chosen in self._batches(draw.train):
            seen = maps(self.store.images[self.rows[chosen]])
            grid = (seen.shape[2], seen.shape[3])
            masks = self.store.masks[self.rows[chosen]]
            truth = cells_of(masks, list(self.parts.values()), grid, void=self.void)
            cells = grid[0] * grid[1]
            many = min(cells, max(1, PLACES // len(draw.train)))
            places = torch.stack([torch.randperm(cells, generator=generator)[:many] for _ in chosen])[:, None]
            features.append(seen.flatten(2).gather(2, places.expand(-1, seen.shape[1], -1)).transpose(1, 2))
            shares.append(truth.flatten(2).gather(2, places.expand(-1, truth.shape[1], -1)).transpose(1, 2))
        nothing = np.zeros(len(draw.train), dtype=np.int64)
        folds = deal_patients(self.patients[draw.train], nothing, folds=3, seed=self.options.seed)
        return fit_places(torch.cat(features), torch.cat(shares), folds.tolist())

    def _score(self, fitted: Sequence[tuple[Draw, Predict]], maps: DenseMaps | None) -> dict[float, _Array]:
        """Decide every pixel of the test sides and count, patient by patient."""
        seeds: dict[float, list[int]] = {}
        for fraction, seed in sorted({(draw.fraction, draw.seed) for draw, _ in fitted}):
            seeds.setdefault(fraction, []).append(seed)
        shape = (len(self.names), len(self.parts), 3)
        counted = {fraction: np.zeros((len(own), *shape)) for fraction, own in seeds.items()}
        for chosen in self._batches(np.sort(self.sides.test)):
            images = self.store.images[self.rows[chosen]]
            seen = images if maps is None else maps(images)
            for draw, predict in fitted:
                mine = np.flatnonzero(np.isin(chosen, draw.test))
                if len(mine):
                    place = seeds[draw.fraction].index(draw.seed)
                    self._add(counted[draw.fraction][place], chosen[mine], predict(seen[mine]))
        return counted

    def counted(self, predict: Predict, places: npt.NDArray[np.int64]) -> _Array:
        """Decide every pixel of some images, by what stored images predict; `[patients, parts, 3]` as in `of_maps`."""
        counts = np.zeros((len(self.names), len(self.parts), 3))
        for chosen in self._batches(np.sort(places)):
            self._add(counts, chosen, predict(self.store.images[self.rows[chosen]]))
        return counts

    def _add(self, counts: _Array, chosen: npt.NDArray[np.int64], logits: Float[Tensor, "images classes _ _"]) -> None:
        """Count pixels common, predicted and true of some images, patient by patient; those not known count nowhere."""
        truth = torch.from_numpy(self.store.masks[self.rows[chosen]].astype(np.int64))[:, None]
        values = torch.tensor(list(self.parts.values()))[:, None, None]
        numbers = torch.arange(1, len(self.parts) + 1)[:, None, None]
        real = truth == values
        full = functional.interpolate(logits, size=truth.shape[2:], mode="bilinear", align_corners=False)
        guess = full.argmax(dim=1, keepdim=True) == numbers
        guess = guess if self.void is None else guess & (truth != self.void)
        pixels = torch.stack([one.sum(dim=(2, 3)) for one in (guess & real, guess, real)], dim=2)
        np.add.at(counts, self.code[chosen], pixels.double().numpy())

    def _of_layers(self) -> list[Draw]:
        """Return the draws of what is fitted alike every time: all labels once."""
        return [draw for draw in self.draws if draw.fraction < 1.0 or draw.seed == 0]

    def _held_out(self, train: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Divide a training side into what chooses a trained network's round and what teaches."""
        if not self.options.trained:
            return train[:0], train
        share, nothing = self.options.training.validation_share, np.zeros(len(train), dtype=np.int64)
        how: dict[str, Any] = {"protocol": self.sides.protocol, "share": share, "seed": self.options.seed}
        held = hold_out(self.patients[train], nothing, self._split[train], **how)
        return train[held], train[~held]

    def _batches(self, places: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        return [places[start : start + self.batch_size] for start in range(0, len(places), self.batch_size)]


def _always(logits: Float[Tensor, "classes rows columns"]) -> Predict:
    return lambda images: logits.expand(len(images), -1, -1, -1)


def dice_and_iou(counts: _Array) -> dict[str, _Array]:
    """Turn `[draws, patients, parts, 3]` pixels into `[draws, patients]` means over the parts; NaN without the part."""
    common, predicted, true = (counts[..., place] for place in range(3))
    there = true > 0
    each = {
        "dice": 2 * common / np.maximum(predicted + true, 1),
        "iou": common / np.maximum(predicted + true - common, 1),
    }
    many = there.sum(axis=-1)
    return {
        key: np.where(many > 0, np.where(there, value, 0.0).sum(axis=-1) / np.maximum(many, 1), np.nan)
        for key, value in each.items()
    }
