"""How a network is trained on labels, round by round; light enough for a report to import."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field

from vesalius.config import StrictModel

__all__ = ["RoundOptions"]

Options = TypeVar("Options", bound="RoundOptions")

_GRIDS: dict[str, tuple[float, ...]] = {
    "sgd": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "adam": (3e-5, 1e-4, 3e-4, 1e-3),
    "adamw": (3e-5, 1e-4, 3e-4, 1e-3),
}

_USUAL = {"sgd": (1e-2, 3e-2), "adam": (1e-4, 1e-3), "adamw": (1e-4, 1e-3)}


class RoundOptions(StrictModel):
    """Training in rounds: a pass over the labelled images, or `round_steps` where a pass is shorter.

    After each the images held out are scored, and the best round's weights are taken.

    Attributes:
        optimizer: `adam`, `adamw` or `sgd` (momentum .9; of DINO-CXR).
        search: `lr` tries every learning rate of a grid on the first draw of labels, arm by arm, share by share and
            fold by fold, and takes the best on the images held out; nothing takes `lr` as it is.
        lr: Peak learning rate; by default 1e-4 for pretrained weights and 1e-3 for untrained ones (SGD: .01 and .03).
        grid: Rates tried by `search`; empty for the optimizer's usual ones.
        batch_size: Images a step; all of them where there are fewer.
        weight_decay: Of the optimizer.
        rounds: At most.
        round_steps: Fewest steps of a round.
        warmup_steps: Linear from 0; at most a tenth of the longest training.
        schedule: `plateau` lowers the rate where validation saturates, and ends there; `cosine` from the peak to
            `min_lr` over all rounds, for a budget that is too small to saturate.
        patience: Of `plateau`: rounds without a better score after which the rate falls to a tenth.
        min_lr: The lowest rate; one that would fall below it ends a training by `plateau`.
        flip: Probability of a left-right flip, of image and mask; 0, since a patient's sides are not alike.
        vertical_flip: Probability of an upside-down flip, where neither top nor bottom is known.
        rotation: Half of the images are turned by up to so many degrees either way; 180 where no side is up.
        smallest_crop: Least share of the image's area that is looked at; its sides may differ by a sixth.
        largest_crop: Most of it; beyond 1 the image is shrunk, with black around it.
        intensity: How far brightness and contrast may shift, beside masks mid-tones as well.
        frozen_below: The encoder keeps its weights where fewer images are learned from (Juhasz 2022: 1000); an
            untrained one as well; give `lr`, and arms differ in their weights alone.
        encoder_lr: Share of the rate that a pretrained encoder learns at (Howard & Ruder 2018), below 1 where what it
            brings is worth more than what few labels would teach it; an untrained one learns at the rate itself.
        validation_share: Share of the training side's patients held out for the choice of round and rate, the same ones
            for every arm and share of the labels. A store's own `val` split is taken where the protocol is `split`.
    """

    _YOUNGER: ClassVar[frozenset[str]] = frozenset({"vertical_flip", "largest_crop", "intensity", "encoder_lr"})

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    search: Literal["", "lr"] = ""
    lr: float | None = Field(default=None, gt=0)
    grid: tuple[float, ...] = ()
    batch_size: int = Field(default=64, ge=2)
    weight_decay: float = Field(default=0.0, ge=0)
    rounds: int = Field(default=30, ge=1)
    round_steps: int = Field(default=20, ge=1)
    warmup_steps: int = Field(default=1000, ge=0)
    schedule: Literal["plateau", "cosine"] = "plateau"
    patience: int = Field(default=3, ge=1)
    min_lr: float = Field(default=1e-6, gt=0)
    flip: float = Field(default=0.0, ge=0, le=1)
    vertical_flip: float = Field(default=0.0, ge=0, le=1)
    rotation: float = Field(default=10.0, ge=0, le=180)
    smallest_crop: float = Field(default=0.6, gt=0, le=1)
    largest_crop: float = Field(default=1.0, ge=1, le=4)
    intensity: float = Field(default=0.2, ge=0, lt=1)
    frozen_below: int = Field(default=0, ge=0)
    encoder_lr: float = Field(default=1.0, gt=0, le=1)
    validation_share: float = Field(default=0.2, gt=0, lt=1)

    def shaping(self) -> list[tuple[str, Any]]:
        """Return what tells the fits of one network, rate and data apart, by which they are kept.

        Options that are younger than kept fits count where they are not as by default.
        """
        told = self.model_dump(exclude={"search", "lr", "grid", "validation_share"})
        usual = {name: type(self).model_fields[name].default for name in self._YOUNGER}
        return sorted((name, value) for name, value in told.items() if name not in usual or value != usual[name])

    def of_arm(self: Options, *, pretrained: bool) -> Options:
        """Return how networks of pretrained or untrained weights learn."""
        return self if pretrained else self.model_copy(update={"encoder_lr": 1.0})

    def rates(self, *, pretrained: bool) -> tuple[float, ...]:
        """Return the learning rates to try; one where nothing is searched."""
        if self.search == "lr":
            return self.grid or _GRIDS[self.optimizer]
        return (self.lr or _USUAL[self.optimizer][0 if pretrained else 1],)
