"""What is scored beside each other when attention is compared with parts: the model's heads and the trivial maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from vesalius.interpret.localisation import average_precision, enlarge

__all__ = ["Arm", "baseline_arms", "head_arms"]

Grids = Float[Tensor, "images heads rows columns"]
Truth = Bool[Tensor, "images height width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One map an image.

    Attributes:
        name: `pretrained`, `best_head`, `fair_head`, `random_init`, or a baseline's.
        maps: At any resolution; enlarged before it is scored.
        heads: Which heads of the last block it is of; empty for a baseline.
    """

    name: str
    maps: Float[Tensor, "images rows columns"]
    heads: tuple[int, ...] = ()


def head_arms(
    name: str,
    attention: Grids,
    truth: Truth,
    *,
    assigned: int | None,
    upsampling: str,
    patients: Sequence[str] | npt.NDArray[Any],
) -> list[Arm]:
    """Return the maps of a model's heads for one part.

    Args:
        name: `pretrained` or `random_init`.
        attention: All heads of the last block.
        truth: The part.
        assigned: The head that was guided to the part, or None.
        upsampling: As the maps will be scored.
        patients: Of every image: a head is never chosen on other images of the patient that it is scored on.

    Returns:
        `<name>`: the assigned head, else the head chosen fairly (on the other half of the patients); for the pretrained
        model also `best_head`, the best on these very images, as MeDINO's tables take for unguided models, and
        `fair_head`.
    """
    size = (truth.shape[1], truth.shape[2])
    each = torch.stack(
        [
            average_precision(enlarge(attention[:, [head]], size, upsampling)[:, 0], truth)
            for head in range(attention.shape[1])
        ]
    )
    halves = torch.from_numpy(pd.factorize(np.asarray(patients))[0] % 2)
    best = int(each.nanmean(1).argmax())
    chosen = [int(each[:, halves != half].nanmean(1).argmax()) for half in (0, 1)]
    fair = torch.where(halves[:, None, None] == 0, attention[:, chosen[0]], attention[:, chosen[1]])
    fair_arm = Arm(name="fair_head", maps=fair, heads=tuple(dict.fromkeys(chosen)))
    own = fair_arm if assigned is None else Arm(name=name, maps=attention[:, assigned], heads=(assigned,))
    arms = [Arm(name=name, maps=own.maps, heads=own.heads)]
    if name == "pretrained":
        arms += [Arm(name="best_head", maps=attention[:, best], heads=(best,)), fair_arm]
    return arms


def baseline_arms(
    truth: Truth, grid: tuple[int, int], *, given: Mapping[str, Float[Tensor, "images rows columns"]]
) -> list[Arm]:
    """Return what any attention must be held against.

    `mean_template` is the mean mask of all other images; `grid_ceiling` the true mask at the patch grid, the best that
    attention of this grid can do; `chance` says nothing. `given` are further maps (a registered exemplar).
    """
    masks = truth.float()
    others = (masks.sum(0, keepdim=True) - masks) / max(1, len(masks) - 1)
    ceiling = functional.interpolate(masks[:, None], size=grid, mode="area")[:, 0]
    return [
        Arm(name="mean_template", maps=others),
        *(Arm(name=name, maps=maps) for name, maps in given.items()),
        Arm(name="grid_ceiling", maps=ceiling),
        Arm(name="chance", maps=torch.ones_like(masks)),
    ]
