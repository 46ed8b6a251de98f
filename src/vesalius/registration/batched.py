"""Free-form deformation of many images at once, in plain torch, on any device (Rueckert 1999; cubic B-splines)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vesalius.config import StrictModel
from vesalius.errors import RegistrationError
from vesalius.registration.affine import find_affine
from vesalius.registration.bspline import control_points, evaluate, refine, roughness
from vesalius.registration.deformation import Deformation
from vesalius.registration.equalise import equalise
from vesalius.registration.interface import Registration
from vesalius.registration.similarity import GlobalCorrelation, LocalCorrelation, Similarity

__all__ = ["BatchedOptions", "BatchedRegistration", "Level"]


class Level(StrictModel):
    """One level from coarse to fine.

    Attributes:
        pixels: Side at which images are compared.
        spacing: Of the control points, as a share of the side.
        steps: Of Adam.
        similarity: `global` or `local` correlation.
        window: Side of the local windows in pixels.
    """

    pixels: int = Field(default=64, ge=8)
    spacing: float = Field(default=1 / 8, gt=0, le=1)
    steps: int = Field(default=60, ge=1)
    similarity: Literal["global", "local"] = "local"
    window: int = Field(default=9, ge=3)


class BatchedOptions(StrictModel):
    """How the batched registration searches.

    Attributes:
        levels: From coarse to fine; each halves the spacing of the last or keeps it.
        affine_steps: Of the affine before; 0 for none.
        starts: How many of the affine's starts are climbed.
        stiffness: Weight of the roughness of the control points.
        learning_rate: Of Adam, in shares of the image's side.
    """

    levels: tuple[Level, ...] = (Level(spacing=1 / 8, steps=60), Level(spacing=1 / 16, steps=40))
    affine_steps: int = Field(default=40, ge=0)
    starts: int = Field(default=3, ge=1, le=27)
    stiffness: float = Field(default=0.2, ge=0)
    learning_rate: float = Field(default=0.01, gt=0)


class BatchedRegistration(Registration):
    """All images of a batch climb together; nothing is shared between them but the clock."""

    name = "batched"

    def __init__(self, options: BatchedOptions | None = None) -> None:
        """Take the options, the defaults being those of docs/LOG.md."""
        self.options = options or BatchedOptions()

    def register(
        self, images: Float[Tensor, "batch 1 height width"], template: Float[Tensor, "1 1 rows columns"]
    ) -> Deformation:
        """Register; see `Registration.register`."""
        _check(images, template)
        images, template = equalise(images), equalise(template)
        theta = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
        if self.options.affine_steps:
            theta = find_affine(images, template, steps=self.options.affine_steps, climbed=self.options.starts)
        spacing = self.options.levels[0].spacing
        points = control_points(spacing)
        control = images.new_zeros(len(images), 2, points, points)
        similarity = images.new_zeros(len(images))
        for level in self.options.levels:
            if level.spacing < spacing:
                control = refine(control, spacing)
            spacing = level.spacing
            control, similarity = self._climb(images, template, theta, control, level)
        coordinates = _coordinates(theta, control, spacing, (images.shape[2], images.shape[3]))
        if not bool(torch.isfinite(coordinates).all()):
            raise RegistrationError("the registration ended in numbers that are not finite; lower its learning_rate")
        return Deformation(coordinates=coordinates, similarity=similarity)

    def description(self) -> dict[str, Any]:
        """Tell the options."""
        return {"backend": self.name, **self.options.model_dump(mode="json")}

    def _climb(
        self, images: Tensor, template: Tensor, theta: Tensor, control: Tensor, level: Level
    ) -> tuple[Tensor, Tensor]:
        side = (level.pixels, level.pixels)
        fixed = functional.interpolate(images, size=side, mode="area")
        moving = functional.interpolate(template, size=side, mode="area").expand(len(images), -1, -1, -1)
        similarity = _similarity(fixed, level)
        control = control.detach().requires_grad_()
        optimizer = torch.optim.Adam([control], self.options.learning_rate)
        base = _coordinates(theta, None, level.spacing, side)
        value = fixed.new_zeros(len(images))
        for step in range(level.steps):
            optimizer.param_groups[0]["lr"] = self.options.learning_rate * (1 - 0.8 * step / level.steps)
            places = base + evaluate(control, level.spacing, side)
            moved = functional.grid_sample(
                moving, (2 * places - 1).permute(0, 2, 3, 1), padding_mode="border", align_corners=False
            )
            value = similarity(moved)
            loss = self.options.stiffness * roughness(control, level.spacing) - value
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return control.detach(), value.detach()


def _coordinates(
    theta: Tensor, control: Tensor | None, spacing: float, size: tuple[int, int]
) -> Float[Tensor, "batch 2 height width"]:
    grid = functional.affine_grid(theta.contiguous(), [len(theta), 1, *size], align_corners=False)
    places = (0.5 * (grid + 1)).permute(0, 3, 1, 2)
    return places if control is None else places + evaluate(control, spacing, size)


def _similarity(fixed: Tensor, level: Level) -> Similarity:
    if level.similarity == "global":
        return GlobalCorrelation(fixed)
    return LocalCorrelation(fixed, window=level.window)


def _check(images: Tensor, template: Tensor) -> None:
    for what, pixels in (("image", images), ("template", template)):
        flat = pixels.flatten(1)
        wrong = ~torch.isfinite(flat).all(1) | (flat.amax(1) - flat.amin(1) < 1e-6)
        if bool(wrong.any()):
            place = int(wrong.nonzero()[0])
            raise RegistrationError(f"{what} {place} of the batch has no contrast (or values that are no numbers)")
