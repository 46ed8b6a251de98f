"""How dense transfer is measured; light enough for a report to import."""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.errors import ConfigError

__all__ = ["SegmentOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """What shapes the figures.

    Attributes:
        decoder: `linear`, one layer on every place of the frozen maps.
        protocol: `auto`, `split` or `folds`, see `vesalius.evaluation.protocol.make_sides`.
        folds: How many.
        fractions: Shares of the patients with masks that are learned from.
        seeds: Draws of them at each share below 1.
        random_inits: Untrained twins.
        image_size: Side of the input; by default the weights' own.
        precision: Of the forward pass.
        bootstrap: Resamples of the patients.
        seed: Of folds, draws, twins and resamples.
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

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ConfigError: Another decoder, or less than one of anything.
        """
        if self.decoder != "linear":
            raise ConfigError(f"decoder = {self.decoder!r}: known is 'linear'")
        for name, least in (("folds", 2), ("seeds", 1), ("random_inits", 1), ("bootstrap", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: give at least {least}")
        if not self.fractions:
            raise ConfigError("fractions is empty: name at least one share of the labelled patients, for example 1.0")
        object.__setattr__(self, "fractions", tuple(sorted({float(one) for one in self.fractions})))
