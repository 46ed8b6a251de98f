"""Free-form deformation of many images at once, in plain torch, on any device (Rueckert 1999; cubic B-splines)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vesalius.config import StrictModel
from vesalius.errors import RegistrationError
from vesalius.registration.affine import find_affines
from vesalius.registration.bspline import control_points, evaluate, refine, roughness
from vesalius.registration.deformation import Deformation, identity, warp
from vesalius.registration.equalise import equalise
from vesalius.registration.interface import Registration
from vesalius.registration.pyramid import at_size
from vesalius.registration.similarity import GlobalCorrelation, LocalCorrelation, Similarity, gray_and_edges

__all__ = ["BatchedOptions", "BatchedRegistration", "Level"]


_FAR = 4.0
"""How far outside of the template, in shares of its side, a place may lie while it is searched for."""


class Level(StrictModel):
    """One level from coarse to fine.

    Attributes:
        pixels: Side at which images are compared.
        spacing: Of the control points, as a share of the side.
        steps: Of Adam.
        similarity: `global` or `local` correlation.
        window: Side of the local windows in pixels.
        stride: Of the local windows in pixels.
    """

    pixels: int = Field(default=64, ge=8)
    spacing: float = Field(default=1 / 8, gt=0, le=1)
    steps: int = Field(default=30, ge=1)
    similarity: Literal["global", "local"] = "local"
    window: int = Field(default=13, ge=3)
    stride: int = Field(default=2, ge=1)


class BatchedOptions(StrictModel):
    """How the batched registration searches.

    Attributes:
        coarse: The level that every start climbs; the one that ends best goes on.
        levels: After it, from coarse to fine; each halves the spacing of the last or keeps it.
        affine_steps: Of the affine before; 0 for none.
        starts: How many of the affine's starts are climbed.
        stiffness: Weight of the roughness of the control points.
        learning_rate: Of Adam, in shares of the image's side.
    """

    coarse: Level = Level(pixels=32, spacing=1 / 4, steps=20, window=9)
    levels: tuple[Level, ...] = (
        Level(pixels=64, spacing=1 / 8, steps=30, window=13),
        Level(pixels=96, spacing=1 / 16, steps=25, window=11),
    )
    affine_steps: int = Field(default=25, ge=0)
    starts: int = Field(default=5, ge=1, le=27)
    stiffness: float = Field(default=0.2, ge=0)
    learning_rate: float = Field(default=0.02, gt=0, le=1)


class BatchedRegistration(Registration):
    """All images of a batch climb together; nothing is shared between them but the clock."""

    name = "batched"

    def __init__(self, options: BatchedOptions | None = None) -> None:
        """Take the options, the defaults being those of docs/LOG.md."""
        self.options = options or BatchedOptions()

    def register(
        self,
        images: Float[Tensor, "batch 1 height width"],
        template: Float[Tensor, "1 1 rows columns"],
        focus: Float[Tensor, "1 1 rows columns"] | None = None,
    ) -> Deformation:
        """Register; see `Registration.register`."""
        _check(images, template)
        pair = _Pair(equalise(images), equalise(template), focus)
        size = (images.shape[2], images.shape[3])
        places, similarity = self._coarse(pair, size)
        control: Tensor | None = None
        spacing = 1.0
        for level in self.options.levels:
            if control is None:
                control = _no_motion(len(images), level, images)
            elif level.spacing < spacing:
                control = refine(control, spacing)
            spacing = level.spacing
            control, similarity = self._climb(pair, places, control, level)
        if control is not None:
            places = places + evaluate(control, spacing, size)
        _check_finite(places)
        return Deformation(coordinates=places, similarity=similarity)

    def description(self) -> dict[str, Any]:
        """Tell the options."""
        return {"backend": self.name, **self.options.model_dump(mode="json")}

    def _coarse(self, pair: _Pair, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Climb the first level from every start; return where the best of each image ends, and its likeness."""
        options, level, images = self.options, self.options.coarse, pair.images
        starts = options.starts if options.affine_steps else 1
        if options.affine_steps:
            theta = find_affines(images, pair.template, starts=starts, steps=options.affine_steps).flatten(0, 1)
            grid = functional.affine_grid(theta, [len(theta), 1, *size], align_corners=False)
            places = (0.5 * (grid + 1)).permute(0, 3, 1, 2)
        else:
            places = identity(*size, device=images.device).expand(len(images), -1, -1, -1)
        many = replace(pair, images=images.repeat_interleave(starts, 0))
        control, similarity = self._climb(many, places, _no_motion(len(places), level, images), level)
        best = similarity.view(-1, starts).argmax(1) + starts * torch.arange(len(images), device=images.device)
        return places[best] + evaluate(control[best], level.spacing, size), similarity[best]

    def _climb(self, pair: _Pair, places: Tensor, control: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """Climb from `places` plus the spline of `control`; return the new control points and the likeness reached."""
        side = (level.pixels, level.pixels)
        fixed, moving = (gray_and_edges(at_size(x, side)) for x in (pair.images, pair.template))
        moving = moving.expand(len(fixed), -1, -1, -1)
        base = at_size(places, side)
        weight = None if pair.focus is None else warp(pair.focus, base + evaluate(control, level.spacing, side))
        similarity = _similarity(fixed, level, weight)
        control = control.detach().requires_grad_()
        optimizer = torch.optim.Adam([control], self.options.learning_rate)
        value = fixed.new_zeros(len(fixed))
        for step in range(level.steps):
            optimizer.param_groups[0]["lr"] = self.options.learning_rate * (1 - 0.8 * step / level.steps)
            # Beyond the border there is nothing new to see, and sampling far outside is not safe in torch.
            at = (base + evaluate(control, level.spacing, side)).clamp(-_FAR, 1 + _FAR)
            _check_finite(at)
            moved = functional.grid_sample(
                moving, (2 * at - 1).permute(0, 2, 3, 1), padding_mode="border", align_corners=False
            )
            value = similarity(moved)
            loss = self.options.stiffness * roughness(control, level.spacing) - value
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return control.detach(), value.detach()


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is compared: images, template (both equalised) and how much each place of the template counts."""

    images: Tensor
    template: Tensor
    focus: Tensor | None


def _no_motion(batch: int, level: Level, like: Tensor) -> Float[Tensor, "batch 2 points points"]:
    points = control_points(level.spacing)
    return like.new_zeros(batch, 2, points, points)


def _similarity(fixed: Tensor, level: Level, weight: Tensor | None) -> Similarity:
    if level.similarity == "global":
        return GlobalCorrelation(fixed)
    return LocalCorrelation(fixed, window=level.window, stride=level.stride, weight=weight)


def _check_finite(places: Tensor) -> None:
    if not bool(torch.isfinite(places).all()):
        raise RegistrationError("the registration diverged: its places are not finite; lower its learning_rate")


def _check(images: Tensor, template: Tensor) -> None:
    for what, pixels in (("image", images), ("template", template)):
        flat = pixels.flatten(1)
        wrong = ~torch.isfinite(flat).all(1) | (flat.amax(1) - flat.amin(1) < 1e-6)
        if bool(wrong.any()):
            place = int(wrong.nonzero()[0])
            raise RegistrationError(f"{what} {place} of the batch has no contrast (or values that are no numbers)")
