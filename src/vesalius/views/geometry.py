"""Affines between views and images, and the resampling that pixels, masks and knowledge maps share.

Coordinates are continuous pixels, (x, y), origin at the outer top-left corner (see `vesalius.records.view`). An affine
`[batch, 2, 3]` maps a point (x, y) to `affine @ (x, y, 1)`.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from vesalius.errors import ViewError
from vesalius.records.view import View
from vesalius.views.bands import Fill, Interpolation, Taps, axis_taps, gaussian_taps, weigh_rows

__all__ = [
    "box_affine",
    "box_taps",
    "compose",
    "image_to_view",
    "invert",
    "map_to_view",
    "resample",
    "resample_separably",
    "resample_turned",
    "view_to_image",
]

_PADDING = {"zero": "zeros", "minimum": "zeros", "edge": "border", "reflect": "reflection"}


def compose(outer: Float[Tensor, "n 2 3"], inner: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n 2 3"]:
    """Return the affine that applies `inner` first and `outer` to its result."""
    linear = _multiplied(outer[:, :, :2], inner)
    return torch.cat([linear[:, :, :2], linear[:, :, 2:] + outer[:, :, 2:]], -1)


def invert(affine: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n 2 3"]:
    """Return the affine that undoes `affine`.

    Raises:
        ViewError: Where an affine flattens the plane.
    """
    linear = affine[:, :, :2]
    if bool((torch.linalg.det(linear) == 0).any()):
        raise ViewError("an affine of determinant 0 cannot be inverted; expected a view with an area")
    inverse = torch.linalg.inv(linear)
    return torch.cat([inverse, -_multiplied(inverse, affine[:, :, 2:])], -1)


def box_affine(box: Float[Tensor, "n 4"], size: tuple[int, int]) -> Float[Tensor, "n 2 3"]:
    """Return the affine from views of `size` (height, width) to the boxes (left, top, width, height) they show."""
    left, top, width, height = box.unbind(1)
    zero = torch.zeros_like(left)
    return torch.stack([width / size[1], zero, left, zero, height / size[0], top], -1).view(-1, 2, 3)


def view_to_image(points: Float[Tensor, "n points 2"], affine: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n points 2"]:
    """Carry points (x, y) of each view to its image."""
    return _multiplied(points, affine[:, :, :2].transpose(1, 2)) + affine[:, :, 2][:, None]


def image_to_view(points: Float[Tensor, "n points 2"], affine: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n points 2"]:
    """Carry points (x, y) of each image to the view."""
    return view_to_image(points, invert(affine))


def _multiplied(first: Float[Tensor, "n a b"], second: Float[Tensor, "n b c"]) -> Float[Tensor, "n a c"]:
    # Autocast would multiply in bf16, which knows a place in an image to a pixel or two.
    with torch.autocast(first.device.type, enabled=False):
        return first @ second


def resample(
    images: Shaped[Tensor, "n c rows columns"],
    affine: Float[Tensor, "affines 2 3"],
    size: tuple[int, int],
    mode: Literal["bilinear", "bicubic", "nearest"] = "bilinear",
    *,
    fill: Fill = "zero",
) -> Shaped[Tensor, "n c height width"]:
    """Look at images or maps through affines from view to image coordinates, antialiased where they shrink.

    Args:
        images: Pixels or maps. `nearest` keeps any dtype (masks, superpixels); the others want floating point.
        affine: View to image coordinates, in pixels of `images`.
        size: (height, width) of the result.
        mode: `bilinear`, `bicubic` or `nearest`.
        fill: What lies outside: `zero`, `minimum`, `edge` or `reflect` (mirrored, the edge pixel repeated).

    Raises:
        ViewError: For integer images in another mode than `nearest`, or a count of affines that does not fit.
    """
    if len(images) != len(affine):
        raise ViewError(f"{len(images)} images but {len(affine)} affines; expected one an image")
    if mode == "nearest":
        return _resample_nearest(images, affine, size, fill)
    if not images.is_floating_point():
        raise ViewError(f"{images.dtype} cannot be interpolated ({mode}); use mode='nearest' or convert to float first")
    rows, columns = images.shape[2:]
    low = images.amin((1, 2, 3), keepdim=True) if fill == "minimum" else None
    shifted = images if low is None else images - low
    every = torch.arange(len(images), device=images.device)
    turned = ((affine[:, 0, 1] != 0) | (affine[:, 1, 0] != 0) | (affine[:, 1, 1] < 0)).nonzero()[:, 0]
    straight = every[~torch.isin(every, turned)]
    out = images.new_empty((len(images), images.shape[1], size[1], size[0]))
    if len(straight):
        box, flip = _boxes(affine[straight], size)
        taps = box_taps(box, flip, (rows, columns), size, interpolation=mode, fill=fill, confine=False)
        out[straight] = resample_separably(shifted, straight, *taps, columns)
    if len(turned):
        out[turned] = resample_turned(
            shifted, turned, affine[turned], size, columns=columns, interpolation=mode, fill=fill
        )
    out = out.transpose(2, 3).contiguous()
    return out if low is None else out.add_(low)


def map_to_view(
    maps: Shaped[Tensor, "n c rows columns"],
    view: View,
    *,
    size: tuple[int, int] | None = None,
    mode: Literal["bilinear", "bicubic", "nearest"] = "bilinear",
    fill: Fill = "zero",
) -> Shaped[Tensor, "n c height width"]:
    """Look at maps of the images (at any resolution) as the view looks at its images.

    Args:
        maps: One map an image, covering the whole image whatever their resolution.
        view: The view to follow.
        size: (height, width) of the result, for example a patch grid; the view's own size by default.
        mode: `nearest` for label maps.
        fill: What lies outside the image.
    """
    height, width = view.pixels.shape[2:]
    out_height, out_width = size or (height, width)
    affine = view.affine.clone()
    affine[:, :, 0] *= width / out_width
    affine[:, :, 1] *= height / out_height
    affine[:, 0] *= maps.shape[3] / view.image_size[1]
    affine[:, 1] *= maps.shape[2] / view.image_size[0]
    return resample(maps, affine, (out_height, out_width), mode, fill=fill)


def box_taps(
    box: Float[Tensor, "n 4"],
    flip: Bool[Tensor, "n"],
    image_size: tuple[int, int],
    size: tuple[int, int],
    *,
    interpolation: Interpolation,
    fill: Fill = "zero",
    confine: bool = True,
) -> tuple[Taps, Taps]:
    """Return the row and column maps that resample boxes (left, top, width, height) to `size`; see `axis_taps`."""
    left, top, width, height = box.unbind(1)
    rows = axis_taps(
        top,
        height,
        torch.zeros_like(flip),
        out=size[0],
        source=image_size[0],
        interpolation=interpolation,
        fill=fill,
        confine=confine,
    )
    columns = axis_taps(
        left,
        width,
        flip,
        out=size[1],
        source=image_size[1],
        interpolation=interpolation,
        fill=fill,
        confine=confine,
    )
    return rows, columns


def resample_separably(
    images: Float[Tensor, "b c rows pitch"], source: Int[Tensor, "n"], row_taps: Taps, column_taps: Taps, columns: int
) -> Float[Tensor, "n c width height"]:
    """Apply a row map and a column map to the images `source`; the result lies columns first (x before y).

    Two banded products with one transposition between them: the second, back to rows first, is left to the caller, who
    may have more to do along the columns. Only the first `columns` of each row are read; what follows is padding.
    """
    turned = weigh_rows(images, source, row_taps)[..., :columns].transpose(2, 3).contiguous()
    return weigh_rows(turned, torch.arange(len(source), device=images.device), column_taps)


def resample_turned(
    images: Float[Tensor, "b c rows pitch"],
    source: Int[Tensor, "n"],
    affine: Float[Tensor, "n 2 3"],
    size: tuple[int, int],
    *,
    columns: int,
    interpolation: Interpolation,
    fill: Fill = "zero",
) -> Float[Tensor, "n c width height"]:
    """Resample through any affine, columns first: a Gaussian where the view shrinks the image, then one grid sampling.

    The Gaussian's variance along each image axis is (s^2 - 1) / 6 with s the shrink factor, so that with the bilinear
    kernel (variance 1 / 6) it adds up to that of the widened triangle of the axis-aligned path.
    """
    height, width = size
    turned = _soften(images, source, affine, columns)
    # In grid sampling's units (-1 to 1), x and y swapped, since image and view lie columns first here.
    extent = affine.new_tensor([columns, images.shape[2]])
    steps_x = torch.arange(width, device=images.device, dtype=affine.dtype) + 0.5
    steps_y = torch.arange(height, device=images.device, dtype=affine.dtype) + 0.5
    unit = (2 * affine / extent[:, None]).flip(1)
    along_x = unit[:, :, 0, None] * steps_x + unit[:, :, 2, None] - 1
    along_y = unit[:, :, 1, None] * steps_y
    # Pairs added as complex numbers: twice as fast as adding planes and interleaving them.
    sums = torch.complex(*along_x.unbind(1))[:, :, None] + torch.complex(*along_y.unbind(1))[:, None]
    grid = torch.view_as_real(sums)
    return functional.grid_sample(
        turned, grid.to(images.dtype), mode=interpolation, padding_mode=_PADDING[fill], align_corners=False
    )


def _soften(
    images: Float[Tensor, "b c rows pitch"], source: Int[Tensor, "n"], affine: Float[Tensor, "n 2 3"], columns: int
) -> Float[Tensor, "n c columns rows"]:
    """Blur along each image axis by as much as the view shrinks it; columns first."""
    sigma = torch.sqrt(((affine[:, :, :2] ** 2).sum(-1) - 1).clamp_(min=0) / 6)
    radius = int(torch.ceil(3 * sigma.max()))
    if radius == 0:
        return images[source][..., :columns].transpose(2, 3).contiguous()
    taps = [
        gaussian_taps(sigma[:, axis], size=length, kernel_size=2 * radius + 1, mirror_edge=True)
        for axis, length in ((1, images.shape[2]), (0, columns))
    ]
    return resample_separably(images, source, taps[0], taps[1], columns)


def _boxes(affine: Float[Tensor, "n 2 3"], size: tuple[int, int]) -> tuple[Float[Tensor, "n 4"], Bool[Tensor, "n"]]:
    """Box and left-right flip of axis-aligned affines."""
    flip = affine[:, 0, 0] < 0
    width, height = affine[:, 0, 0].abs() * size[1], affine[:, 1, 1] * size[0]
    left = torch.where(flip, affine[:, 0, 2] - width, affine[:, 0, 2])
    return torch.stack([left, affine[:, 1, 2], width, height], -1), flip


def _resample_nearest(
    images: Shaped[Tensor, "n c rows columns"], affine: Float[Tensor, "n 2 3"], size: tuple[int, int], fill: Fill
) -> Shaped[Tensor, "n c height width"]:
    """Take the pixel that each view pixel's centre falls into."""
    height, width = size
    rows, columns = images.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device) + 0.5, torch.arange(width, device=images.device) + 0.5, indexing="ij"
    )
    centres = torch.stack([x, y], -1).view(1, -1, 2).expand(len(images), -1, -1).to(affine.dtype)
    column, row = torch.floor(view_to_image(centres, affine)).long().unbind(-1)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    if fill == "reflect":
        column = torch.where(column < 0, -1 - column, torch.where(column >= columns, 2 * columns - 1 - column, column))
        row = torch.where(row < 0, -1 - row, torch.where(row >= rows, 2 * rows - 1 - row, row))
    flat = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
    flat = flat[:, None].expand(-1, images.shape[1], -1)
    taken = images.flatten(2).gather(2, flat)
    if fill in {"zero", "minimum"}:
        low = images.flatten(1).min(1).values.view(-1, 1, 1) if fill == "minimum" else images.new_zeros(())
        taken = torch.where(inside[:, None], taken, low)
    return taken.view(len(images), images.shape[1], height, width)
