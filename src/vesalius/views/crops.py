"""Where a view looks: crop, aspect, translation, rotation and flip, drawn per image and summed up in one affine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.views.plans import ViewSpec
from vesalius.views.uniform import uniform

__all__ = ["Crops", "draw_crops"]

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """The geometry of one view of every image of a batch.

    Attributes:
        box: (left, top, width, height) in whole pixels of the image; may reach outside it when translated, or larger.
        flip: Whether the view is mirrored left to right.
        rotation_deg: Counter-clockwise turn of the content about the box's centre, before the flip; 0 = none.
    """

    box: Float[Tensor, "n 4"]
    flip: Bool[Tensor, "n"]
    rotation_deg: Float[Tensor, "n"]

    def affine(self, size: tuple[int, int]) -> Float[Tensor, "n 2 3"]:
        """Return the affine from view coordinates, for views of `size` (height, width), to image coordinates."""
        height, width = size
        left, top, box_width, box_height = self.box.double().unbind(1)
        sign = 1.0 - 2.0 * self.flip.double()
        angle = torch.deg2rad(self.rotation_deg.double())
        cos, sin = torch.cos(angle), torch.sin(angle)
        scale_x, scale_y = sign * box_width / width, box_height / height
        linear = torch.stack([cos * scale_x, -sin * scale_y, sin * scale_x, cos * scale_y], -1).view(-1, 2, 2)
        centre = torch.stack([left + box_width / 2, top + box_height / 2], -1)
        middle = torch.tensor([width / 2, height / 2], dtype=torch.float64, device=self.box.device)
        offset = centre - linear @ middle
        return torch.cat([linear, offset[..., None]], -1).float()


def draw_crops(spec: ViewSpec, batch: int, image_size: tuple[int, int], generator: torch.Generator) -> Crops:
    """Draw one crop an image: area, aspect and place as torchvision's `RandomResizedCrop`, then shift, turn and flip.

    Args:
        spec: The view's settings.
        batch: Number of images.
        image_size: (height, width) of the images.
        generator: The only source of randomness.
    """
    height, width = image_size
    box_width, box_height = _draw_sides(spec, uniform(generator, 2, batch, _ATTEMPTS), height, width)
    place = uniform(generator, 2, batch)
    left, top = _placed(place[0], width - box_width), _placed(place[1], height - box_height)
    shift = (2 * uniform(generator, 2, batch) - 1) * spec.translation
    left, top = left + torch.round(shift[0] * width), top + torch.round(shift[1] * height)
    turn = uniform(generator, 2, batch)
    angle = torch.where(turn[0] < spec.rotation_p, (2 * turn[1] - 1) * spec.rotation_deg, 0.0)
    flip = uniform(generator, batch) < spec.flip_p
    if spec.vertical_flip_p:  # upside down is turned by half a circle and mirrored
        upside_down = uniform(generator, batch) < spec.vertical_flip_p
        flip, angle = flip ^ upside_down, angle + 180.0 * upside_down
    return Crops(box=torch.stack([left, top, box_width, box_height], -1), flip=flip, rotation_deg=angle)


def _placed(place: Float[Tensor, "n"], room: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return where a box begins, any whole pixel alike; a box larger than the image (room < 0) holds all of it."""
    return room.sign() * torch.floor(place * (room.abs() + 1)).minimum(room.abs())


def _draw_sides(
    spec: ViewSpec, draws: Float[Tensor, "2 n attempts"], height: int, width: int
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Width and height of each box: the first of ten attempts that fits, else the largest box of a legal aspect.

    Where an area may be larger than the image, every attempt fits.
    """
    area = height * width * (spec.area[0] + (spec.area[1] - spec.area[0]) * draws[0])
    low, high = math.log(spec.aspect[0]), math.log(spec.aspect[1])
    aspect = torch.exp(low + (high - low) * draws[1])
    widths, heights = torch.round(torch.sqrt(area * aspect)), torch.round(torch.sqrt(area / aspect))
    fits = (widths > 0) & (heights > 0)
    if spec.area[1] <= 1:
        fits &= (widths <= width) & (heights <= height)
    first = fits.int().argmax(1, keepdim=True)
    found = fits.any(1)
    legal = min(max(width / height, spec.aspect[0]), spec.aspect[1])
    fallback_width = max(1, min(width, round(height * legal)))
    fallback_height = max(1, min(height, round(width / legal)))
    return (
        torch.where(found, widths.gather(1, first)[:, 0], float(fallback_width)),
        torch.where(found, heights.gather(1, first)[:, 0], float(fallback_height)),
    )
