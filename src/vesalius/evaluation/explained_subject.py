"""What of a network is explained in an image: a class of a classifier, or a part of a segmentation over a region."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.data.store import Store
from vesalius.errors import ConfigError, nearest
from vesalius.evaluation.kept_network import KeptNetwork
from vesalius.evaluation.mask_parts import known_pixels, mask_parts
from vesalius.evaluation.networks_of_run import RunNetworks
from vesalius.evaluation.targets import read_targets
from vesalius.interpret.explained_region import Region, class_target, region_of, region_target
from vesalius.interpret.localisation import enlarge

__all__ = ["Asked", "ClassSubject", "PartSubject", "Subject"]

_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a network about one image.

    Attributes:
        words: For captions and tables: `predicted yes, 0.93`.
        target: What a class activation map explains.
        confidence: How sure the network is of it, of inputs like this one.
        drawn: Pixels of the region that is explained, at the input's size; None for a whole image.
    """

    words: str
    target: Callable[[Tensor], Tensor]
    confidence: Callable[[Tensor], Float[Tensor, " batch"]]
    drawn: Bool[Tensor, "height width"] | None = None


@dataclass(frozen=True, slots=True)
class ClassSubject:
    """A class of a label.

    Attributes:
        label: Of the store.
        wanted: A class (of several labels, a label), or empty for the one that the network predicts.
        part: Of the store's masks, that an explanation should lie in.
    """

    score_name: ClassVar[str] = "truth"

    label: str
    wanted: str = ""
    part: str | None = None

    @property
    def name(self) -> str:
        """The class, or `predicted`."""
        return self.wanted or "predicted"

    def scores(self, models: RunNetworks, store: Store, advance: Callable[[int], None]) -> Float[np.ndarray, " images"]:
        """Return the probability of the truth: of the image's own class; of a label, of its yes or no."""
        learned = models.networks[0].about.names
        targets = read_targets(store, self.label).among(learned, here=str(store.path), there="what was learned")
        truth = np.full((len(store), *targets.values.shape[1:]), np.nan)
        truth[targets.rows] = targets.values
        found = []
        for network in models.networks:
            column = self._column(network)
            for rows in _batches(network.rows.numpy()):
                shares = models.probabilities(network, models.pixels(network, store, rows)).double().numpy()
                own = truth[rows]
                if targets.kind == "multilabel":
                    yes = shares[:, column]
                    found.append(np.where(own[:, column] == 1, yes, 1 - yes) + 0 * own[:, column])
                else:
                    known = np.nan_to_num(own).astype(np.int64)
                    found.append(np.where(np.isnan(own), np.nan, shares[np.arange(len(rows)), known]))
                advance(len(rows))
        return np.concatenate(found)

    def ask(self, models: RunNetworks, network: KeptNetwork, inputs: Tensor) -> Asked:
        """Ask for the class named, or for the one predicted."""
        shares = models.probabilities(network, inputs)[0]
        column = self._column(network) if self.wanted or network.about.kind == "multilabel" else int(shares.argmax())
        words = f"{network.about.names[column]} {float(shares[column]):.2f}"
        if not self.wanted and network.about.kind != "multilabel":
            words = f"predicted {words}"
        return Asked(words, class_target(column), lambda batch: models.probabilities(network, batch)[:, column])

    def _column(self, network: KeptNetwork) -> int:
        names = network.about.names
        if not self.wanted:
            return 0
        if self.wanted not in names:
            raise ConfigError(
                f"no class '{self.wanted}' of {self.label}; classes: {', '.join(names)}{nearest(self.wanted, names)}"
            )
        return names.index(self.wanted)


@dataclass(frozen=True, slots=True)
class PartSubject:
    """A part of a segmentation.

    Attributes:
        name: The part.
        side: Of the store's images, in whose pixels `box` and `pixel` are counted.
        region: Which pixels of it are explained.
        box: See `vesalius.interpret.explained_region.region_of`.
        pixel: Likewise.
    """

    score_name: ClassVar[str] = "Dice"

    name: str
    side: int
    region: Region = "class"
    box: tuple[int, ...] | None = None
    pixel: tuple[int, ...] | None = None

    @property
    def part(self) -> str:
        """The part itself."""
        return self.name

    def scores(self, models: RunNetworks, store: Store, advance: Callable[[int], None]) -> Float[np.ndarray, " images"]:
        """Return the Dice of the part; NaN of an image that shows nothing of it, or has no masks."""
        value = mask_parts(store, [self.name])[0][self.name]
        found = []
        for network in models.networks:
            for rows in _batches(network.rows.numpy()):
                inputs = models.pixels(network, store, rows)
                drawn = enlarge(models.logits(network, inputs), (store.size, store.size)).argmax(1) == self._column(
                    network
                )
                true = torch.from_numpy(np.asarray(store.masks[rows]) == value)
                drawn &= torch.from_numpy(known_pixels(store, rows))
                both, sizes = (drawn & true).sum((1, 2)), drawn.sum((1, 2)) + true.sum((1, 2))
                dice = torch.where(true.any(2).any(1), 2 * both / sizes, math.nan)
                found.append(dice.double().numpy())
                advance(len(rows))
        return np.concatenate(found)

    def ask(self, models: RunNetworks, network: KeptNetwork, inputs: Tensor) -> Asked | None:
        """Ask for the region's pixels that the network takes for the part; None where it takes none."""
        column = self._column(network)
        shares = models.probabilities(network, inputs)[0]
        drawn = shares.argmax(0) == column
        box, pixel = (self._of_input(one, drawn.shape[0]) for one in (self.box, self.pixel))
        region = region_of(drawn, self.region, box=box, pixel=pixel)
        if not bool(region.any()):
            return None

        def confidence(batch: Tensor) -> Float[Tensor, " batch"]:
            found: Tensor = models.probabilities(network, batch)[:, column][:, region].mean(1)
            return found

        words = f"{self.name.replace('_', ' ')}, {self.region}"
        return Asked(words, region_target(column, region.to(inputs.device)), confidence, region)

    def _of_input(self, places: tuple[int, ...] | None, side: int) -> tuple[int, ...] | None:
        """Return places in pixels of the input; one outside stays outside."""
        return None if places is None else tuple(math.floor((one + 0.5) * side / self.side) for one in places)

    def _column(self, network: KeptNetwork) -> int:
        names = network.about.names
        if self.name not in names:
            raise ConfigError(
                f"the networks know no part '{self.name}'; parts: {', '.join(names)}{nearest(self.name, names)}"
            )
        return 1 + names.index(self.name)


Subject = ClassSubject | PartSubject
"""One thing that is explained of every image."""


def _batches(rows: Int[np.ndarray, " images"]) -> Sequence[Int[np.ndarray, " some"]]:
    return [rows[start : start + _AT_A_TIME] for start in range(0, len(rows), _AT_A_TIME)]
