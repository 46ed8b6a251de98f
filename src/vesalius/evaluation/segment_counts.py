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
from vesalius.evaluation.label_amounts import deal_patients, draw_label_amounts
from vesalius.evaluation.mask_parts import void_value
from vesalius.evaluation.place_classifier import PlaceClassifier, dice_offsets, fit_places
from vesalius.evaluation.protocol import Sides, make_sides
from vesalius.evaluation.segment_options import SegmentOptions

__all__ = ["PLACES", "SegmentCounts", "dice_and_iou"]

PLACES = 20_000
"""Places learned from in all images together, drawn once: three times as many added .001 Dice on JSRT (docs/LOG.md)."""

_LAYOUT = 2  # of kept counts; a change of how they are made raises it

_Array = npt.NDArray[Any]
_Predict = Callable[[Tensor], Float[Tensor, "images classes rows columns"]]
"""From the maps of some images to logits."""


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
        self.draws = [
            _Draw(fraction, seed, train[drawn], test)
            for seed in range(options.seeds)
            for train, test in self.sides.pairs
            for fraction, drawn in draw_label_amounts(
                self.patients[train], nothing[train], fractions=options.fractions, seed=options.seed + seed
            ).items()
            if fraction < 1.0 or seed == 0
        ]

    @property
    def about(self) -> list[Any]:
        """All that shapes what is counted, besides the maps and the rows."""
        options = asdict(self.options)
        # Of the figures, the twins and the input; the latter two are told with the maps.
        for name in ("bootstrap", "random_inits", "image_size", "precision"):
            del options[name]
        return [_LAYOUT, PLACES, self.store.fingerprint, self.store.mask_fingerprint, self.parts, options]

    def fits(self, inits: int) -> int:
        """Return how many fits an arm of so many initialisations takes."""
        whole = sum(draw.fraction == 1.0 for draw in self.draws)
        return len(self.draws) + (inits - 1) * whole

    def of_maps(self, inits: Sequence[DenseMaps], advance: Callable[[int], None]) -> dict[float, _Array]:
        """Fit and score one arm: by share `[draws, patients, parts, 3]` pixels common, predicted and true.

        Args:
            inits: The arm's initialisations; draws of fewer labels are dealt among them, all labels go to each.
            advance: Told the fits that are done.
        """
        found: dict[float, list[_Array]] = {}
        for place, maps in enumerate(inits):
            fitted = []
            for draw in self.draws:
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
        fitted: list[tuple[_Draw, _Predict]] = []
        for draw in self.draws:
            mean = shares[draw.train].mean(dim=0)
            logits = mean.clamp_min(1e-6).log()
            # Every image gets the same answer, so that what is common with all of them is what is with their mean.
            offsets = dice_offsets(logits.flatten(1).T, mean.flatten(1).T)
            fitted.append((draw, _always(logits + offsets[:, None, None])))
        return self._score(fitted, None)

    def _fit(self, maps: DenseMaps, draw: _Draw) -> PlaceClassifier:
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

    def _score(self, fitted: Sequence[tuple[_Draw, _Predict]], maps: DenseMaps | None) -> dict[float, _Array]:
        """Decide every pixel of the test sides and count, patient by patient."""
        seeds: dict[float, list[int]] = {}
        for fraction, seed in sorted({(draw.fraction, draw.seed) for draw, _ in fitted}):
            seeds.setdefault(fraction, []).append(seed)
        shape = (len(self.names), len(self.parts), 3)
        counted = {fraction: np.zeros((len(own), *shape)) for fraction, own in seeds.items()}
        values = torch.tensor(list(self.parts.values()))[:, None, None]
        numbers = torch.arange(1, len(self.parts) + 1)[:, None, None]
        for chosen in self._batches(np.sort(self.sides.test)):
            truth = torch.from_numpy(self.store.masks[self.rows[chosen]].astype(np.int64))
            seen = truth[:, None].float() if maps is None else maps(self.store.images[self.rows[chosen]])
            real = truth[:, None] == values
            known = (
                torch.ones_like(truth[:, None], dtype=torch.bool) if self.void is None else truth[:, None] != self.void
            )
            for draw, predict in fitted:
                mine = np.flatnonzero(np.isin(chosen, draw.test))
                if len(mine):
                    logits = predict(seen[mine])
                    full = functional.interpolate(logits, size=truth.shape[1:], mode="bilinear", align_corners=False)
                    guess = (full.argmax(dim=1, keepdim=True) == numbers) & known[mine]
                    each = [(guess & real[mine]), guess, real[mine]]
                    pixels = torch.stack([one.sum(dim=(2, 3)) for one in each], dim=2).double().numpy()
                    place = seeds[draw.fraction].index(draw.seed)
                    np.add.at(counted[draw.fraction][place], self.code[chosen[mine]], pixels)
        return counted

    def _batches(self, places: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        return [places[start : start + self.batch_size] for start in range(0, len(places), self.batch_size)]


def _always(logits: Float[Tensor, "classes rows columns"]) -> _Predict:
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
