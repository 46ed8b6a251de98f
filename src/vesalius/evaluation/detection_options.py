"""How detection is trained and measured; light enough for a report to import."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, field_validator

from vesalius.config import StrictModel
from vesalius.errors import ConfigError
from vesalius.evaluation.amounts import ALL, in_order

__all__ = ["DetectOptions", "DetectTraining"]

_COARSEST = 32


class DetectTraining(StrictModel):
    """Mask R-CNN's 1x schedule (He 2017, arXiv 1703.06870, and Detectron's), scaled to the batch.

    Attributes:
        epochs: Passes over the labelled images; the rate falls to a tenth after 2/3 and 11/12 of them.
        steps: Exactly so many, in their place.
        batch_size: Images a step.
        lr: At 16 images a step; others take it in proportion.
        warmup_steps: Linear from nothing; at most a tenth of the training.
        momentum: Of SGD.
        weight_decay: Likewise.
        flip: Probability of a left-right flip.
        size: The longer side is brought to it, px, a multiple of 32; the rest of the square is padding.
        proposals: Regions an image that the heads look at; small images have few objects and need fewer.
        workers: Processes that read images.
    """

    epochs: float = Field(default=12.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=0.02, gt=0)
    warmup_steps: int = Field(default=500, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    flip: float = Field(default=0.5, ge=0, le=1)
    size: int = Field(default=1344, ge=64)
    proposals: int = Field(default=1000, ge=1)
    workers: int = Field(default=0, ge=0)

    @field_validator("size")
    @classmethod
    def _check_size(cls, size: int) -> int:
        if size % _COARSEST:
            raise ValueError(f"size = {size}: give a multiple of {_COARSEST}, the coarsest map's stride")
        return size

    def steps_of(self, images: int) -> int:
        """Return the length of a training on so many images."""
        return self.steps or max(1, round(self.epochs * images / self.batch_size))

    def rate(self, step: int, total: int) -> float:
        """Return the learning rate of a step."""
        peak = self.lr * self.batch_size / 16
        warmup = min(self.warmup_steps, total // 10)
        falls = sum(step >= round(share * total) for share in (2 / 3, 11 / 12))
        return float(peak * 0.1**falls * min(1.0, (step + 1) / max(1, warmup)))


_TRAINING = DetectTraining()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectOptions:
    """What shapes the figures.

    Attributes:
        fractions: Amounts of labelled images that are learned from, see `vesalius.evaluation.amounts`; where
            patients are not known, a share is one of the images.
        seeds: Draws of them at each amount, and trainings on all of them.
        seed: Of the sides where one table holds all images, of the twin, draws, heads, batches and resamples.
        bootstrap: Resamples of the scored patients, or images where these are not known.
        precision: `auto`, `bf16` or `fp32`, of the backbone; boxes are found in fp32.
        training: How.
    """

    fractions: tuple[float, ...] = (ALL,)
    seeds: int = 1
    seed: int = 0
    bootstrap: int = 200
    precision: str = "auto"
    training: DetectTraining = _TRAINING

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ConfigError: No resample, no training, or no amount of labels.
        """
        for name in ("bootstrap", "seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: give at least 1")
        if not self.fractions:
            raise ConfigError("fractions is empty: name at least one share of the labelled images, for example 1.0")
        object.__setattr__(self, "fractions", in_order(self.fractions))
