"""Whether explanations can be trusted: measured on images drawn at random, every figure beside its trivial one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vesalius.data.store import Store
from vesalius.evaluation.explain_one import Activation, Explained, explain_one
from vesalius.evaluation.explained_subject import Subject
from vesalius.evaluation.image_scores import resampled_means
from vesalius.evaluation.intervals import PatientResamples, draw_resamples, percentile_interval
from vesalius.evaluation.mask_parts import known_pixels
from vesalius.evaluation.networks_of_run import RunNetworks
from vesalius.interpret.localisation import average_precision, enlarge, pointing_game
from vesalius.interpret.part_maps import of_masks
from vesalius.interpret.saliency_measures import (
    energy_inside,
    insertion_deletion,
    rank_correlation,
    with_shuffled_weights,
)

__all__ = ["BASELINE", "Figure", "measure_trust"]

BASELINE = {
    "energy_inside": "area",
    "pointing_game": "area",
    "average_precision": "area",
    "deletion_area": "deletion_area_random",
    "insertion_area": "insertion_area_random",
    "randomised_weights": "another_image",
}
"""Every figure, and what it is of a map that knows nothing: an even one, random order, the map of another image."""

_SURVIVES, _LEAST = 0.5, 8  # rank correlation from which, and images on which, a warning rests
_RESAMPLES = 1000

_Measures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean over images.

    Attributes:
        model: Of which networks.
        subject: What was explained.
        metric: See `BASELINE`.
        value, low, high: Mean, and its 95 % interval over patients.
        baseline: Mean of the figure of `BASELINE`.
        images: How many it is the mean of.
    """

    model: str
    subject: str
    metric: str
    value: float
    low: float
    high: float
    baseline: float
    images: int

    @property
    def warning(self) -> str:
        """Say that a map does not tell what the network learned; empty where it does."""
        if self.metric != "randomised_weights" or self.images < _LEAST or not self.low > _SURVIVES:
            return ""
        return (
            f"{self.model}, {self.subject}: the maps of shuffled weights are much the same (rank correlation "
            f"{self.value:.2f}); they tell of the image and the layers, not of what was learned"
        )


def measure_trust(
    models: RunNetworks,
    subject: Subject,
    store: Store,
    *,
    activation: Activation,
    images: int,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Figure, ...]:
    """Measure a model's explanations of one subject on images drawn at random from those it has never seen.

    Of masks: energy inside, pointing game and average precision, beside the part's share of the image. Of the network:
    areas under the curves of deletion and insertion, beside pixels in random order. Of the weights: rank correlation
    with the map of the same network with shuffled weights, beside that with the map of another image, which says how
    alike any two maps are.

    Args:
        models: The networks.
        subject: What is explained.
        store: Whose images.
        activation: Which map.
        images: How many are drawn; those that show nothing of the subject are left out.
        seed: Of the draw, random orders, shuffled weights and the bootstrap.
        advance: Told the images that are done.

    Returns:
        A figure a metric; of masks only where the store has them.
    """
    rows = np.random.default_rng(seed).permutation(models.rows)[:images]
    shuffled = (replace(one, module=with_shuffled_weights(one.module, seed=seed)) for one in models.networks)
    forgot = replace(models, networks=tuple(shuffled))
    found: list[_Measures] = []
    patients = store.manifest["patient"].to_numpy()
    last: Explained | None = None
    last_row = -1
    for row in rows.tolist():
        explained = explain_one(models, subject, store, row, activation)
        if explained is not None:
            other = activation.of(forgot.never_saw(row), explained.inputs, explained.asked)
            measures = {"row": float(row), "randomised_weights": rank_correlation(explained.saliency, other)}
            if last is not None and patients[last_row] != patients[row]:
                measures["another_image"] = rank_correlation(explained.saliency, last.saliency)
            found.append(measures | _of_masks(explained, subject, store, row) | _of_network(explained, seed + row))
            last, last_row = explained, row
        advance(1)
    if not found:
        return ()
    resamples = draw_resamples(patients[[int(one["row"]) for one in found]], resamples=_RESAMPLES, seed=seed)
    return tuple(_figures(models.title, subject.name, found, resamples))


def _figures(model: str, subject: str, found: Sequence[_Measures], resamples: PatientResamples) -> Iterator[Figure]:
    """Average every measure that any image has."""
    for metric, baseline in BASELINE.items():
        values, others = (np.array([one.get(name, math.nan) for one in found]) for name in (metric, baseline))
        known, known_baseline = values[~np.isnan(values)], others[~np.isnan(others)]
        if len(known):
            low, high = percentile_interval(resampled_means(values, resamples))
            yield Figure(
                model=model,
                subject=subject,
                metric=metric,
                value=float(known.mean()),
                low=low,
                high=high,
                baseline=float(known_baseline.mean()) if len(known_baseline) else math.nan,
                images=len(known),
            )


def _of_masks(explained: Explained, subject: Subject, store: Store, row: int) -> _Measures:
    masks = None if subject.part is None else of_masks(store, row)
    truth = None if masks is None or subject.part is None else masks.part(subject.part)
    if truth is None or not bool((truth > 0.5).any()):
        return {}
    inside = truth > 0.5
    known = torch.from_numpy(known_pixels(store, np.array([row]))[0])
    size = (inside.shape[0], inside.shape[1])
    saliency = enlarge(explained.saliency[None, None], size)[0, 0]
    saliency, inside = saliency[known][None], inside[known][None]  # a row of what is known
    if float(saliency.max()) <= 0:
        return {}
    return {
        "energy_inside": energy_inside(saliency, inside),
        "pointing_game": float(pointing_game(saliency[None], inside[None])[0]),
        "average_precision": float(average_precision(saliency[None], inside[None])[0]),
        "area": float(inside.float().mean()),
    }


def _of_network(explained: Explained, seed: int) -> _Measures:
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.rand(explained.saliency.shape, generator=generator)
    pixels = explained.inputs[0]
    curves, by_chance = (
        insertion_deletion(explained.asked.confidence, pixels, one) for one in (explained.saliency, shuffled)
    )
    return {
        "deletion_area": curves.deletion_area,
        "deletion_area_random": by_chance.deletion_area,
        "insertion_area": curves.insertion_area,
        "insertion_area_random": by_chance.insertion_area,
    }
