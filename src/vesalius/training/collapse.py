"""Naming a collapse when it happens, from the figures that are logged anyway, with what helps against it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["CollapseWatch"]


_SOUND_START = 300
"""Steps in which even a sound training may not yet tell images apart."""


class CollapseWatch:
    """Looks at the smoothed teacher entropy and the feature rank; speaks once for each kind of collapse.

    DINO collapses in two ways (Caron et al. 2021, section 5.3): the teacher gives one prototype to every image
    (entropy near 0), or all prototypes equally to each (entropy near ln K). In both the features lose their rank. Where
    the entropy is held (`EntropyControl`) neither shows; then the loss stands at the entropy of the teacher's mean
    answer: the student has learned the mean and nothing of the image.
    """

    def __init__(self, *, patience_steps: int) -> None:
        """Wait so many steps before speaking: the first are uniform in every sound training."""
        self.patience_steps = patience_steps
        self.step = 0
        self.relative_entropy: float | None = None
        self.relative_mean_entropy: float | None = None
        self.relative_gain: float | None = None
        self.raised: set[str] = set()

    def observe(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Take the figures of `step` (of some steps, in order); return the alarms that are new."""
        largest = values.get("teacher_entropy_max")
        if largest and "teacher_entropy" in values:
            # Averaged over a quarter of the patience, however far apart the observations are.
            kept = math.exp(-4.0 * max(1, step - self.step) / self.patience_steps)
            self.relative_entropy = _smooth(self.relative_entropy, values["teacher_entropy"] / largest, kept)
            mean_entropy = values.get("mean_entropy", 0.0) / largest
            self.relative_mean_entropy = _smooth(self.relative_mean_entropy, mean_entropy, kept)
            gained = (
                mean_entropy - values.get("dino_loss", values.get("method_loss", values.get("loss", 0.0))) / largest
            )
            self.relative_gain = _smooth(self.relative_gain, gained, kept)
            self.step = step
        patient = step >= self.patience_steps
        found = dict(self._entropy_alarms()) if patient else {}
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
        return {
            "step": self.step,
            "relative_entropy": self.relative_entropy,
            "relative_mean_entropy": self.relative_mean_entropy,
            "relative_gain": self.relative_gain,
            "raised": sorted(self.raised),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.step, self.raised = int(state["step"]), set(state["raised"])
        self.relative_entropy, self.relative_mean_entropy = state["relative_entropy"], state["relative_mean_entropy"]
        self.relative_gain = state["relative_gain"]

    def _entropy_alarms(self) -> list[tuple[str, str]]:
        if self.relative_entropy is None or self.relative_mean_entropy is None:
            return []
        if self.relative_entropy > 0.985:
            text = (
                f"collapse to uniform: the teacher's entropy is {self.relative_entropy:.1%} of ln K, so its targets "
                "say nothing. Set method.teacher_entropy=0.5, use milder views, or lower method.teacher_temperature"
            )
            return [("uniform", text)]
        if self.relative_mean_entropy < 0.1:
            text = (
                f"collapse to one prototype: over a batch the teacher uses exp({self.relative_mean_entropy:.2f} ln K) "
                "of its prototypes. Raise method.teacher_temperature, or lower method.centre_momentum and optimizer.lr"
            )
            return [("one", text)]
        if self.step >= _SOUND_START and self.relative_gain is not None and self.relative_gain < 0.005:
            text = (
                f"nothing learned: the loss is {self.relative_gain:+.1%} of ln K below the entropy of the teacher's "
                "mean answer, so one view says nothing of the other. Set method.contrast=1, use milder views "
                "(small-chest), or train longer"
            )
            return [("nothing", text)]
        return []


def _smooth(old: float | None, new: float, kept: float) -> float:
    return new if old is None else kept * old + (1.0 - kept) * new
