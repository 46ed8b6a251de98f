"""A linear layer that tells parts apart by the features of single places: multinomial logistic regression, L2.

The likeliest class at a place is the background wherever a part is small and its edge unsure; Dice, by which all is
scored, wants the part earlier. So every part's logit is moved by what gives the best Dice on images held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["L2_GRID", "OFFSETS", "PlaceClassifier", "dice_offsets", "fit_places"]

L2_GRID = (1e-1, 1e-2, 1e-3, 1e-4)
"""Strengths tried, strong to weak; half the square of the weights (of standardised features) is added times this."""

OFFSETS = tuple(sorted((step / 4 for step in range(-8, 17)), key=abs))
"""What is added to a part's logit, near 0 first; of equally good ones the first is taken."""

_STEPS = 60


@dataclass(frozen=True, slots=True)
class PlaceClassifier:
    """Weights for features as they come; the standardisation is folded in."""

    weight: Float[Tensor, "classes dim"]
    bias: Float[Tensor, " classes"]
    l2: float

    def __call__(self, maps: Float[Tensor, "n dim rows columns"]) -> Float[Tensor, "n classes rows columns"]:
        """Return logits at every place."""
        return functional.conv2d(maps, self.weight[:, :, None, None], self.bias)


def fit_places(
    features: Float[Tensor, "images places dim"],
    shares: Float[Tensor, "images places classes"],
    folds: Sequence[int],
    *,
    grid: Sequence[float] = L2_GRID,
) -> PlaceClassifier:
    """Fit on places whose classes are given as shares; strength and offsets are chosen on the images of fold 0.

    Args:
        features: Of some places of every image.
        shares: What part of each place belongs to which class, the background first; rows sum to 1, or to
            less where a share is of no known class.
        folds: Of every image; images of one patient share one. Where all are in one fold nothing can be held out, and
            the middle of the grid is taken, and no offset.
        grid: Strengths, strong to weak.
    """
    mean = features.mean(dim=(0, 1))
    deviation = features.std(dim=(0, 1)).clamp_min(1e-6)
    scaled = (features - mean) / deviation
    held = torch.tensor([fold == 0 for fold in folds])
    chosen, offsets = grid[len(grid) // 2], torch.zeros(shares.shape[2])
    if held.any() and not held.all():
        path = _path(scaled[~held].flatten(0, 1), shares[~held].flatten(0, 1), grid)
        seen, truth = scaled[held].flatten(0, 1), shares[held].flatten(0, 1)
        logits = [seen @ weight.T + bias for weight, bias in path]
        losses = [float(functional.cross_entropy(one, truth)) for one in logits]
        best = losses.index(min(losses))
        chosen, offsets = grid[best], dice_offsets(logits[best], truth)
    strong = [one for one in grid if one >= chosen]
    weight, bias = _path(scaled.flatten(0, 1), shares.flatten(0, 1), strong)[-1]
    weight = weight / deviation
    return PlaceClassifier(weight, bias - weight @ mean + offsets, chosen)


def dice_offsets(
    logits: Float[Tensor, "places classes"], shares: Float[Tensor, "places classes"]
) -> Float[Tensor, " classes"]:
    """Return what to add to the logits of the parts for the best mean Dice, found part by part, twice round."""
    offsets = torch.zeros(logits.shape[1])
    true, known = shares[:, 1:].sum(dim=0), shares.sum(dim=1, keepdim=True)

    def dice() -> float:
        guess = functional.one_hot((logits + offsets).argmax(dim=1), logits.shape[1])[:, 1:] * known
        common = (guess * shares[:, 1:]).sum(dim=0)
        return float((2 * common / (guess.sum(dim=0) + true).clamp_min(1)).mean())

    for _ in range(2):
        for part in range(1, logits.shape[1]):
            found = []
            for offset in OFFSETS:
                offsets[part] = offset
                found.append(dice())
            offsets[part] = OFFSETS[found.index(max(found))]
    return offsets


def _path(
    features: Float[Tensor, "places dim"], shares: Float[Tensor, "places classes"], grid: Sequence[float]
) -> list[tuple[Tensor, Tensor]]:
    """Fit from strong to weak regularisation, each from the solution before it."""
    weight = torch.zeros(shares.shape[1], features.shape[1], requires_grad=True)
    bias = shares.mean(dim=0).clamp_min(1e-6).log().requires_grad_()
    found = []
    for l2 in grid:
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def closure(l2: float = l2, optimizer: torch.optim.LBFGS = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = functional.cross_entropy(features @ weight.T + bias, shares) + 0.5 * l2 * weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        found.append((weight.detach().clone(), bias.detach().clone()))
    return found
