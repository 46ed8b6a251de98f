"""Linear segmentation of frozen maps, counted in pixels: who learns from which masks, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.data.pixel_size import pixel_size
from vesalius.data.store import Store
from vesalius.data.volumes import volumes_of
from vesalius.errors import SplitError
from vesalius.evaluation.amounts import ALL
from vesalius.evaluation.dense_maps import DenseMaps, cells_of
from vesalius.evaluation.label_amounts import deal_patients, draw_label_amounts, hold_out
from vesalius.evaluation.mask_parts import void_value
from vesalius.evaluation.place_classifier import PlaceClassifier, dice_offsets, fit_places
from vesalius.evaluation.protocol import Sides, make_sides
from vesalius.evaluation.segment_figures import COLUMNS, VOLUME_COLUMNS
from vesalius.evaluation.segment_options import SegmentOptions
from vesalius.evaluation.surface_distance import hausdorff_95
from vesalius.evaluation.volume_distances import VolumeDistances

__all__ = ["PLACES", "Draw", "Predict", "SegmentCounts"]

PLACES = 20_000
"""Places learned from in all images together, drawn once: three times as many added .001 Dice on JSRT (docs/LOG.md)."""

_LAYOUT = 3  # of kept counts; a change of how they are made raises it

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
        self.pixel, self.unit = pixel_size(store, rows)
        table = store.manifest.iloc[rows]
        self.patients = table["patient"].to_numpy(dtype=str)
        self.names, self.code = np.unique(self.patients, return_inverse=True)
        nothing = np.zeros(len(rows), dtype=np.int64)
        self.sides: Sides = make_sides(
            table["split"].to_numpy(dtype=str), nothing, self.patients, protocol=options.protocol, folds=options.folds,
            seed=options.seed,
        )  # fmt: skip
        self._split = table["split"].to_numpy(dtype=str)
        self.scored = np.sort(self.sides.test)
        self.volumes = volumes_of(store, rows[self.scored])
        columns = COLUMNS + (VOLUME_COLUMNS if self.volumes.whole else 0)
        self._shape = (len(self.names), len(self.parts), columns)
        self.draws = [
            Draw(fraction, seed, pair, rest[drawn], held, test)
            for seed in range(options.seeds)
            for pair, (train, test) in enumerate(self.sides.pairs)
            for held, rest in [self._held_out(train)]
            for fraction, drawn in draw_label_amounts(
                self.patients[rest], nothing[rest], fractions=options.fractions, seed=options.seed + seed
            ).items()
            if fraction != ALL or seed == 0 or options.trained
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
        return len(mine) + (inits - 1) * sum(draw.fraction == ALL for draw in mine)

    def of_maps(self, inits: Sequence[DenseMaps], advance: Callable[[int], None]) -> dict[float, _Array]:
        """Fit and score one arm: by share `[draws, patients, parts, columns]`, see `segment_figures.figures_of`.

        Args:
            inits: The arm's initialisations; draws of fewer labels are dealt among them, all labels go to each.
            advance: Told the fits that are done.
        """
        found: dict[float, list[_Array]] = {}
        for place, maps in enumerate(inits):
            fitted = []
            for draw in self._of_layers():
                if draw.fraction == ALL or draw.seed % len(inits) == place:
                    fitted.append((draw, self._fit(maps, draw)))
                    advance(1)
            for fraction, counted in self._score(fitted, maps).items():
                found.setdefault(fraction, []).append(counted)
        return {fraction: np.concatenate(parts) for fraction, parts in found.items()}

    def of_mean_mask(self) -> dict[float, _Array]:
        """Score the mean of the masks learned from in the same way, its parts moved by the same rule."""
        fitted: list[tuple[Draw, Predict]] = []
        for draw in self._of_layers():
            mean = self._mean_of(draw.train)
            logits = mean.clamp_min(1e-6).log()
            # Every image gets the same answer, so that what is common with all of them is what is with their mean.
            offsets = dice_offsets(logits.flatten(1).T, mean.flatten(1).T)
            fitted.append((draw, _always(logits + offsets[:, None, None])))
        return self._score(fitted, None)

    def images_learned(self, fraction: float) -> float:
        """Return how many images an amount of labels teaches by, the mean over draws and folds."""
        return float(np.mean([len(draw.train) for draw in self.draws if draw.fraction == fraction]))

    @cached_property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Which parts every image shows."""
        found = np.zeros((len(self.rows), len(self.parts)), dtype=bool)
        for chosen in self._batches(np.arange(len(self.rows))):
            masks = self.store.masks[self.rows[chosen]].reshape(len(chosen), -1)
            for part, value in enumerate(self.parts.values()):
                found[chosen, part] = (masks == value).any(axis=1)
        return found

    def _mean_of(self, places: npt.NDArray[np.int64]) -> Float[Tensor, "classes rows columns"]:
        """Return how often each pixel belongs to every class among some images."""
        total: Tensor | None = None
        for chosen in self._batches(places):
            masks = self.store.masks[self.rows[chosen]]
            shares = cells_of(masks, list(self.parts.values()), masks.shape[1:], void=self.void).sum(dim=0)
            total = shares if total is None else total + shares
        assert total is not None  # noqa: S101 (every draw has images)
        return total / len(places)

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
        counted = {fraction: np.zeros((len(own), *self._shape)) for fraction, own in seeds.items()}
        edges = {(fraction, seed): self._edges() for fraction, own in seeds.items() for seed in own}
        for chosen in self._batches(self.scored):
            images = self.store.images[self.rows[chosen]]
            seen = images if maps is None else maps(images)
            for draw, predict in fitted:
                mine = np.flatnonzero(np.isin(chosen, draw.test))
                if len(mine):
                    place = seeds[draw.fraction].index(draw.seed)
                    counts, held = counted[draw.fraction][place], edges[draw.fraction, draw.seed]
                    self._add(counts, chosen[mine], predict(seen[mine]), held)
        return counted

    def counted(
        self,
        predict: Predict,
        places: npt.NDArray[np.int64],
        *,
        edges: bool = True,
        watch: Callable[[Tensor, npt.NDArray[np.int64]], None] = lambda _logits, _places: None,
    ) -> _Array:
        """Decide every pixel of some images by what they predict; `[patients, parts, columns]`, see `figures_of`.

        Args:
            predict: From stored images to logits.
            places: Of the images.
            edges: Without, the distances, which take longest, stay 0.
            watch: Shown the logits of every batch and its places.
        """
        counts, held = np.zeros(self._shape), self._edges() if edges else None
        for chosen in self._batches(np.sort(places)):
            logits = predict(self.store.images[self.rows[chosen]])
            watch(logits, chosen)
            self._add(counts, chosen, logits, held)
        return counts

    def _add(
        self,
        counts: _Array,
        chosen: npt.NDArray[np.int64],
        logits: Float[Tensor, "images classes _ _"],
        held: VolumeDistances | None,
    ) -> None:
        """Count pixels common, predicted and true of some images, patient by patient; those not known count nowhere.

        Without volumes to hold the distances, which take longest, stay 0.
        """
        truth = torch.from_numpy(self.store.masks[self.rows[chosen]].astype(np.int64))[:, None]
        values = torch.tensor(list(self.parts.values()))[:, None, None]
        numbers = torch.arange(1, len(self.parts) + 1)[:, None, None]
        real = truth == values
        full = functional.interpolate(logits, size=truth.shape[2:], mode="bilinear", align_corners=False)
        decided = full.argmax(dim=1, keepdim=True)
        decided = decided if self.void is None else decided * (truth != self.void)
        guess = decided == numbers
        pixels = torch.stack([one.sum(dim=(2, 3)) for one in (guess & real, guess, real)], dim=2).double().numpy()
        np.add.at(counts[..., :3], self.code[chosen], pixels)
        if held is None:
            return
        np.add.at(counts[..., 3:COLUMNS], self.code[chosen], self._distances(guess, real, chosen))
        for place, one in zip(chosen, decided[:, 0].to(torch.uint8).numpy(), strict=True):
            whole = held.add(int(self.rows[place]), one)
            if whole is not None:
                counts[self.code[place], :, COLUMNS:] += whole

    def _distances(self, guess: Tensor, real: Tensor, chosen: npt.NDArray[np.int64]) -> _Array:
        """Return the Hausdorff distance of every image and part that is there, and whether it is."""
        found, true = guess.numpy(), real.numpy()
        there = true.any(axis=(2, 3))
        distances = np.zeros(there.shape)
        for image, part in zip(*np.nonzero(there), strict=True):
            distances[image, part] = hausdorff_95(
                found[image, part],
                true[image, part],
                pixel=(self.pixel[chosen[image], 0], self.pixel[chosen[image], 1]),
            )
        return np.stack([distances, there], axis=2)

    def _edges(self) -> VolumeDistances:
        """Return what holds the slices of one fit, or of several that score different ones."""
        return VolumeDistances(self.volumes.whole, self.store.masks, list(self.parts.values()))

    def _of_layers(self) -> list[Draw]:
        """Return the draws of what is fitted alike every time: all labels once."""
        return [draw for draw in self.draws if draw.fraction != ALL or draw.seed == 0]

    def _held_out(self, train: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Divide a training side into what chooses a trained network's round and what teaches."""
        if not self.options.trained:
            return train[:0], train
        share, nothing = self.options.training.validation_share, np.zeros(len(train), dtype=np.int64)
        how: dict[str, Any] = {"protocol": self.sides.protocol, "share": share, "seed": self.options.seed}
        held = hold_out(self.patients[train], nothing, self._split[train], **how)
        if held.all():
            raise SplitError(
                f"{self.store.path}: a training side of one patient, who is held out, teaches nothing; give more "
                "patients with masks, or take decoder linear"
            )
        return train[held], train[~held]

    def _batches(self, places: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        return [places[start : start + self.batch_size] for start in range(0, len(places), self.batch_size)]


def _always(logits: Float[Tensor, "classes rows columns"]) -> Predict:
    return lambda images: logits.expand(len(images), -1, -1, -1)
