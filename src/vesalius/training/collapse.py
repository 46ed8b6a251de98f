"""Naming a collapse when it happens, from the figures that are logged anyway, with what helps against it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["CollapseWatch"]

_FEWEST = 20
"""Steps that the shortest training is given before it is said to give one point, or to learn nothing."""


class CollapseWatch:
    """Looks at the smoothed figures of a method and at the feature rank; speaks once for each kind of collapse.

    DINO collapses in two ways (Caron et al. 2021, section 5.3): the teacher gives one prototype to every image
    (entropy near 0), or all prototypes equally to each (entropy near ln K). In both the features lose their rank. Where
    the entropy is held (`EntropyControl`) neither shows; then the loss stands at the entropy of the teacher's mean
    answer: the student has learned the mean and nothing of the image. SwAV's codes become uniform where its embeddings
    are all alike, and its predictions go to one prototype. BYOL, SimSiam, MoCo and SimCLR give one embedding to all;
    SimSiam, whose batch norm tears a point apart again, then has the least loss there is, and early (Chen & He 2021,
    figure 2). Where the loss of the contrastive ones stays at chance, an image's key is not known from any other. R2O
    learns from nothing where the two views of an image show no region in common.
    """

    def __init__(self, *, total_steps: int) -> None:
        """Wait before speaking: the first steps of every sound training are uniform and tell few images apart.

        One point for all is told from a tenth of the training's `total_steps` on, other collapses from a fifth, and
        that nothing is learned from a half; at the latest after 300, 500 and 300 steps. The least loss is early in the
        first half, and at most the first 1,000 steps.
        """
        half = total_steps // 2
        self.early_steps = min(1000, half)
        self.patience_steps = max(1, min(500, total_steps // 5))
        self.point_steps = max(_FEWEST, min(300, total_steps // 10))
        self.learning_steps = max(_FEWEST, min(300, half))
        self.step = 0
        self.smoothed: dict[str, float] = {}
        self.raised: set[str] = set()

    def observe(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Take the figures of `step` (of some steps, in order); return the alarms that are new."""
        if figures := _figures(values):
            # Averaged over a quarter of the patience, however far apart the observations are.
            kept = math.exp(-4.0 * max(1, step - self.step) / self.patience_steps)
            for name, value in figures.items():
                self.smoothed[name] = kept * self.smoothed.get(name, value) + (1.0 - kept) * value
            self.step = step
        patient = step >= self.patience_steps
        found = self._point_alarms() | (self._entropy_alarms() | self._learning_alarms() if patient else {})
        if values.get("feature_rank", 99.0) < 2.0 and patient:
            found["rank"] = (
                f"collapse: the features span {values['feature_rank']:.1f} dimensions, images are not told apart. "
                "Lower optimizer.lr, or raise method.teacher_momentum"
            )
        new = [text for kind, text in found.items() if kind not in self.raised]
        self.raised |= set(found)
        return new

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep, as plain types."""
        return {"step": self.step, "smoothed": dict(self.smoothed), "raised": sorted(self.raised)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.step, self.raised = int(state["step"]), set(state["raised"])
        self.smoothed = dict(state.get("smoothed", {}))

    def _entropy_alarms(self) -> dict[str, str]:
        """Return what the entropies of DINO's teacher and of SwAV's codes tell."""
        figures = self.smoothed
        if figures.get("entropy", 0.0) > 0.985:
            text = (
                f"collapse to uniform: the teacher's entropy is {figures['entropy']:.1%} of ln K, so its targets "
                "say nothing. Set method.teacher_entropy=0.5, use milder views, or lower method.teacher_temperature"
            )
            return {"uniform": text}
        if figures.get("mean_entropy", 1.0) < 0.1:
            text = (
                f"collapse to one prototype: over a batch the teacher uses exp({figures['mean_entropy']:.2f} ln K) "
                "of its prototypes. Raise method.teacher_temperature, or lower method.centre_momentum and optimizer.lr"
            )
            return {"one": text}
        if self.step >= self.learning_steps and figures.get("gain", 1.0) < 0.005:
            text = (
                f"nothing learned: the loss is {figures['gain']:+.1%} of ln K below the entropy of the teacher's "
                "mean answer, so one view says nothing of the other. Set method.contrast=1, use milder views "
                "(small-chest), or train longer"
            )
            return {"nothing": text}
        if self.step >= self.learning_steps and figures.get("code_entropy", 0.0) > 0.985:
            text = (
                f"collapse to uniform codes: their entropy is {figures['code_entropy']:.1%} of ln K, so that they say "
                "nothing. Lower method.epsilon, use fewer prototypes, or hold them longer "
                "(method.frozen_prototypes_epochs)"
            )
            return {"uniform codes": text}
        if figures.get("prototype_entropy", 1.0) < 0.1:
            text = (
                f"collapse to one prototype: over a batch exp({figures['prototype_entropy']:.2f} ln K) of them are "
                "predicted. Lower optimizer.lr, or hold the prototypes longer (method.frozen_prototypes_epochs)"
            )
            return {"one": text}
        return {}

    def _point_alarms(self) -> dict[str, str]:
        """Return what tells that all images get one embedding."""
        spread, above_least = (self.smoothed.get(name, 1.0) for name in ("embedding_spread", "above_least"))
        if self.step < self.point_steps:
            return {}
        if spread < 0.03:
            text = (
                f"collapse to one point: the embeddings of different images spread by {spread:.3f} (1: over all "
                "directions, 0: all alike). Lower optimizer.lr or raise training.batch_size; of BYOL also raise "
                "method.teacher_momentum"
            )
            return {"point": text}
        if above_least <= 0.01 and self.step <= self.early_steps:
            text = (
                f"collapse to the least loss: it is {above_least:.3f} above the least there is, as early as step "
                f"{self.step:,}, so that views agree without telling images apart. Lower optimizer.lr, or use stronger "
                "views"
            )
            return {"least": text}
        return {}

    def _learning_alarms(self) -> dict[str, str]:
        """Return what tells that nothing is learned, of the contrastive methods and of R2O."""
        figures = self.smoothed
        if self.step >= self.learning_steps and figures.get("below_chance", 1.0) < 0.005:
            text = (
                f"nothing learned: the loss stays at chance ({figures['below_chance']:.1%} below it), so that an "
                "image's two views are not known from those of others. Use milder views (small-chest), lower "
                "method.temperature, or raise optimizer.lr"
            )
            return {"chance": text}
        if figures.get("regions_an_image", 99.0) < 1.0:
            text = (
                f"hardly any region: two views of an image share {figures['regions_an_image']:.2f} on average. Use "
                "larger views (views.options.area), raise method.clusters, or look at the maps of method.regions"
            )
            return {"regions": text}
        return {}


def _figures(values: Mapping[str, float]) -> dict[str, float]:
    """Return what of a step's figures tells of collapse, entropies as shares of their largest."""
    figures = {name: values[name] for name in ("embedding_spread", "regions_an_image") if name in values}
    loss = values.get("method_loss", values.get("loss", 0.0))
    if chance := values.get("loss_by_chance"):
        figures["below_chance"] = 1 - loss / chance
    if "least_loss" in values:
        figures["above_least"] = loss - values["least_loss"]
    largest = values.get("teacher_entropy_max")
    if largest and "teacher_entropy" in values:
        mean_entropy = values.get("mean_entropy", 0.0) / largest
        figures |= {
            "entropy": values["teacher_entropy"] / largest,
            "mean_entropy": mean_entropy,
            "gain": mean_entropy - values.get("dino_loss", loss) / largest,
        }
    largest = values.get("prototype_entropy_max")
    if largest:
        figures |= {name: values[name] / largest for name in ("code_entropy", "prototype_entropy")}
    return figures
