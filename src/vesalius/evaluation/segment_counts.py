"""Linear segmentation of frozen maps, counted in pixels: who learns from which masks, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.data.store import Store
from vesalius.evaluation.dense_maps import DenseMaps, cells_of
from vesalius.evaluation.label_amounts import deal_patients, draw_label_amounts
from vesalius.evaluation.place_classifier import PlaceClassifier, fit_places
from vesalius.evaluation.protocol import Sides, make_sides
from vesalius.evaluation.segment_options import SegmentOptions

__all__ = ["PLACES", "SegmentCounts", "dice_and_iou"]

PLACES = 20_000
"""Places learned from in all images together, drawn once: three times as many added .001 Dice on JSRT (docs/LOG.md)."""

_Array = npt.NDArray[Any]
_Predict = Callable[[_Array, Tensor], Float[Tensor, "images classes rows columns"]]


@dataclass(frozen=True, slots=True)
class _Draw:
    """What one fit learns from and is scored on; positions among the images with masks."""

    fraction: float
    seed: int
    train: npt.NDArray[np.int64]
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
        advance: Callable[[int], None],
    ) -> None:
        self.store, self.rows, self.parts, self.options = store, rows, dict(parts), options
        self.batch_size, self.advance = batch_size, advance
        table = store.manifest.iloc[rows]
        self.patients = table["patient"].to_numpy(dtype=str)
        self.names, self.code = np.unique(self.patients, return_inverse=True)
        nothing = np.zeros(len(rows), dtype=np.int64)
        self.sides: Sides = make_sides(
            table["split"].to_numpy(dtype=str), nothing, self.patients, protocol=options.protocol, folds=options.folds,
            seed=options.seed,
        )  # fmt: skip
        self.draws = [
            _Draw(fraction, seed, train[drawn], test)
            for seed in range(options.seeds)
            for train, test in self.sides.pairs
            for fraction, drawn in draw_label_amounts(
                self.patients[train], nothing[train], fractions=options.fractions, seed=options.seed + seed
            ).items()
            if fraction < 1.0 or seed == 0
        ]

    def of_maps(self, inits: Sequence[DenseMaps]) -> dict[float, _Array]:
        """Fit and score one arm: by share `[draws, patients, parts, 3]` pixels common, predicted and true."""
        found: dict[float, list[_Array]] = {}
        for place, maps in enumerate(inits):
            mine = [
                draw
                for draw in self.draws
                if len(inits) == 1 or draw.fraction == 1.0 or draw.seed % len(inits) == place
            ]
            for fraction, counted in self._counts(maps, mine).items():
                found.setdefault(fraction, []).append(counted)
        return {fraction: np.concatenate(parts) for fraction, parts in found.items()}

    def of_mean_mask(self) -> dict[float, _Array]:
        """Score the mean of the masks learned from in the same way."""
        masks = self.store.masks[self.rows]
        shares = cells_of(masks, list(self.parts.values()), masks.shape[1:])

        def predictor(draw: _Draw) -> _Predict:
            mean = shares[draw.train].mean(dim=0, keepdim=True)
            return lambda images, _: mean.expand(len(images), -1, -1, -1)

        return self._score({id(draw): predictor(draw) for draw in self.draws}, None, self.draws)

    def _counts(self, maps: DenseMaps, draws: Sequence[_Draw]) -> dict[float, _Array]:
        features, shares = self._learn_from(maps)
        predictors: dict[int, _Predict] = {}
        for draw in draws:
            folds = deal_patients(
                self.patients[draw.train], np.zeros(len(draw.train), dtype=np.int64), folds=3, seed=self.options.seed
            )
            layer = fit_places(features[draw.train], shares[draw.train], folds.tolist())
            predictors[id(draw)] = _by_layer(layer)
        return self._score(predictors, maps, draws)

    def _learn_from(self, maps: DenseMaps) -> tuple[Tensor, Tensor]:
        """Compute the features of some places of every image and what they belong to."""
        features, shares = [], []
        generator = torch.Generator().manual_seed(self.options.seed)
        for chosen in self._batches():
            seen = maps(self.store.images[self.rows[chosen]])
            truth = cells_of(
                self.store.masks[self.rows[chosen]], list(self.parts.values()), (seen.shape[2], seen.shape[3])
            )
            cells = seen.shape[2] * seen.shape[3]
            many = min(cells, max(1, PLACES // len(self.rows)))
            places = torch.stack([torch.randperm(cells, generator=generator)[:many] for _ in chosen])[:, None]
            features.append(seen.flatten(2).gather(2, places.expand(-1, seen.shape[1], -1)).transpose(1, 2))
            shares.append(truth.flatten(2).gather(2, places.expand(-1, truth.shape[1], -1)).transpose(1, 2))
            self.advance(len(chosen))
        return torch.cat(features), torch.cat(shares)

    def _score(
        self, predictors: Mapping[int, _Predict], maps: DenseMaps | None, draws: Sequence[_Draw]
    ) -> dict[float, _Array]:
        """Decide every pixel of the test sides and count, patient by patient."""
        fractions = sorted({draw.fraction for draw in draws})
        seeds = {fraction: sorted({d.seed for d in draws if d.fraction == fraction}) for fraction in fractions}
        shape = (len(self.names), len(self.parts), 3)
        counted = {fraction: np.zeros((len(seeds[fraction]), *shape)) for fraction in fractions}
        values = torch.tensor(list(self.parts.values()))
        for chosen in self._batches():
            images = self.store.images[self.rows[chosen]]
            seen = torch.empty(len(chosen)) if maps is None else maps(images)
            truth = torch.from_numpy(self.store.masks[self.rows[chosen]].astype(np.int64))
            real = truth[:, None] == values[:, None, None]
            for draw in draws:
                mine = np.flatnonzero(np.isin(chosen, draw.test))
                if len(mine):
                    logits = predictors[id(draw)](images[mine], seen[mine])
                    full = functional.interpolate(logits, size=truth.shape[1:], mode="bilinear", align_corners=False)
                    guess = full.argmax(dim=1, keepdim=True) == torch.arange(1, len(values) + 1)[:, None, None]
                    each = [(guess & real[mine]), guess, real[mine]]
                    pixels = torch.stack([one.sum(dim=(2, 3)) for one in each], dim=2).double().numpy()
                    place = seeds[draw.fraction].index(draw.seed)
                    np.add.at(counted[draw.fraction][place], self.code[chosen[mine]], pixels)
            self.advance(len(chosen))
        return counted

    def _batches(self) -> list[npt.NDArray[np.int64]]:
        return [
            np.arange(start, min(start + self.batch_size, len(self.rows)))
            for start in range(0, len(self.rows), self.batch_size)
        ]


def _by_layer(layer: PlaceClassifier) -> _Predict:
    return lambda _, seen: layer(seen)


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
