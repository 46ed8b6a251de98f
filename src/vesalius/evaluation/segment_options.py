"""How dense transfer is measured; light enough for a report to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from vesalius.errors import ConfigError, nearest
from vesalius.evaluation.amounts import in_order
from vesalius.evaluation.round_options import RoundOptions

__all__ = ["DECODERS", "SegmentOptions", "SegmentTraining"]

DECODERS = ("linear", "fpn", "unet", "deeplabv3", "fcn")
"""`linear` is one layer on frozen maps; the others are trained with the backbone as their encoder."""


class SegmentTraining(RoundOptions):
    """How a segmentation network is trained; rounds are chosen by the mean Dice of the patients held out.

    Attributes:
        loss: `dice`, `cross_entropy`, or their sum.
        elastic: How far image and mask are bent together, as a share of the side (Simard 2003); 0 is not at all.
    """

    batch_size: int = Field(default=16, ge=2)
    loss: Literal["dice", "cross_entropy", "both"] = "both"
    elastic: float = Field(default=0.0, ge=0, le=0.2)


_TRAINING = SegmentTraining()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """What shapes the figures.

    Attributes:
        decoder: One of `DECODERS`.
        protocol: `auto`, `split` or `folds`, see `vesalius.evaluation.protocol.make_sides`.
        folds: How many.
        fractions: Amounts of masks that are learned from, see `vesalius.evaluation.amounts`.
        seeds: Draws of them at each amount but all; of a network that is trained, also trainings on all of them.
        random_inits: Untrained twins.
        image_size: Side of the input; by default the weights' own.
        precision: Of the forward pass, and of training.
        bootstrap: Resamples of the patients.
        seed: Of folds, draws, twins, trainings and resamples.
        training: How a network is trained; not of `linear`.
    """

    decoder: str = "linear"
    protocol: str = "auto"
    folds: int = 5
    fractions: tuple[float, ...] = (1.0,)
    seeds: int = 3
    random_inits: int = 1
    image_size: int | None = None
    precision: str = "auto"
    bootstrap: int = 1000
    seed: int = 0
    training: SegmentTraining = _TRAINING

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ConfigError: Another decoder, or less than one of anything.
        """
        if self.decoder not in DECODERS:
            raise ConfigError(
                f"decoder = {self.decoder!r}{nearest(self.decoder, DECODERS)}; known: {', '.join(DECODERS)}"
            )
        if not self.trained and self.training != _TRAINING:
            raise ConfigError(
                "decoder linear is not trained in rounds: leave its options (--set, --search) out, or name another "
                f"decoder: {', '.join(DECODERS[1:])}"
            )
        for name, least in (("folds", 2), ("seeds", 1), ("random_inits", 1), ("bootstrap", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: give at least {least}")
        if not self.fractions:
            raise ConfigError("fractions is empty: name at least one share of the labelled patients, for example 1.0")
        object.__setattr__(self, "fractions", in_order(self.fractions))

    @property
    def trained(self) -> bool:
        """Whether a network is trained, encoder and all, in place of one layer on frozen maps."""
        return self.decoder != "linear"
