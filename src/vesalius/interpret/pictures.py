"""Captioned grids of pictures: views of a batch, attention of a batch; drawn with Pillow, saved as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vesalius.atomic import replacing
from vesalius.errors import ViewError
from vesalius.interpret.attention_maps import attention_maps, enlarge_nearest, mass_mask
from vesalius.records.view import View

__all__ = [
    "PART_COLOURS",
    "Picture",
    "Sheet",
    "attention_picture",
    "beside",
    "caption_font",
    "legend",
    "outline",
    "overlay",
    "picture_grid",
    "resize",
    "save_png",
    "stacked",
    "titled",
    "views_picture",
]

PART_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))
"""Okabe and Ito 2008: told apart with any colour vision; repeated where there are more parts."""

_GAP = 6
_CAPTION = 22
_INK = (32, 36, 41)
_OUTLINE = (255, 255, 255)

Picture = UInt8[np.ndarray, "height width 3"]
Sheet = UInt8[np.ndarray, "sheet_height sheet_width 3"]  # a grid of pictures, of its own size
_AnySheet = UInt8[np.ndarray, "_ _ 3"]  # sheets of several sizes in one call


def views_picture(
    views: Sequence[View],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    images: int = 6,
    cell: int = 128,
) -> Sheet:
    """Draw the views a training step saw: a row an image, a column a view, as the backbone gets them.

    Args:
        views: The views of one batch.
        mean: Per channel, subtracted when the views were made; undone here.
        std: Per channel, divided by when the views were made; undone here.
        images: How many images of the batch to draw, from its beginning.
        cell: Side of one picture in the grid, in pixels; smaller views are drawn smaller, to scale.

    Raises:
        ViewError: There is no view.
    """
    if not views:
        raise ViewError("a picture of the views needs at least one view, got none")
    largest = max(max(view.pixels.shape[-2:]) for view in views)
    columns = [[resize(image, cell / largest) for image in _to_rgb(view.pixels[:images], mean, std)] for view in views]
    captions = [f"{view.name.replace('_', ' ')} · {view.pixels.shape[-1]} px" for view in views]
    return picture_grid(list(zip(*columns, strict=True)), captions, cell)


def attention_picture(
    images: Shaped[Tensor, "batch channels height width"],
    attention: Float[Tensor, "batch heads tokens"],
    grid: tuple[int, int],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    mass: float = 0.6,
    cell: int = 144,
) -> Sheet:
    """Draw where [CLS] looks: a row an image, then a column a head, the patches holding `mass` outlined.

    Args:
        images: What the backbone saw, normalised (then give `mean` and `std`), or uint8, or floating in [0, 1].
        attention: The last block's [CLS] row of the same images, see `Features.attention`.
        grid: (rows, columns) of the patches.
        mean: Per channel, as subtracted before the backbone.
        std: Per channel, as divided by before the backbone.
        mass: Share of each head's attention that the outlined patches hold.
        cell: Side of one picture in the grid, in pixels.

    Raises:
        EvaluationError: Attention and grid do not fit, or the attention is not finite.
    """
    maps = attention_maps(attention.detach().float().cpu(), grid)
    inside = mass_mask(maps.flatten(2), mass=mass).reshape(maps.shape)
    rows = []
    for pixels, heads, chosen in zip(_to_rgb(images, mean, std), maps, inside, strict=True):
        picture = resize(pixels, cell / max(pixels.shape[:2]))
        shown = enlarge_nearest(heads[None], picture.shape[:2])[0].numpy()
        edges = enlarge_nearest(chosen[None].float(), picture.shape[:2])[0].numpy() > 0
        rows.append([picture, *(outline(overlay(picture, h), e) for h, e in zip(shown, edges, strict=True))])
    captions = ["image", *(f"head {index}" for index in range(maps.shape[1]))]
    return picture_grid(rows, captions, cell)


def overlay(
    image: Picture,
    heat: Float[np.ndarray, "height width"],
    *,
    opacity: float = 0.6,
    colours: str = "inferno",
    top: float | None = None,
) -> Picture:
    """Lay a heat map over an image; the map's own maximum is the brightest colour, nothing attended leaves it dim.

    Args:
        image: The picture below.
        heat: Not negative, of the image's size.
        opacity: Weight of the colour, in [0, 1].
        colours: A matplotlib colour map; the default is readable without colour vision (its lightness rises).
        top: What gets the brightest colour in place of the map's own maximum, where a part of a map is shown.
    """
    from matplotlib import colormaps

    strength = heat / max(float(heat.max()) if top is None else top, np.finfo(np.float32).tiny)
    colour = np.asarray(colormaps[colours](strength))[..., :3] * 255
    return np.rint((1 - opacity) * image + opacity * colour).astype(np.uint8)


def save_png(array: UInt8[np.ndarray, "height width *channels"], path: Path) -> None:
    """Write an 8-bit picture as PNG, whole or not at all: a reader never meets half a file.

    Raises:
        OSError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    with replacing(path) as partial:
        Image.fromarray(array.squeeze()).save(partial, format="PNG")


def _to_rgb(
    pixels: Shaped[Tensor, "batch channels height width"],
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> list[Picture]:
    """Undo the normalisation; gray becomes three equal channels."""
    shown = pixels.detach().cpu().float()
    if mean is not None and std is not None:
        shown = shown * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    elif pixels.dtype == torch.uint8:
        shown = shown / 255
    shown = shown.clamp(0, 1).expand(-1, 3, -1, -1) if shown.shape[1] == 1 else shown[:, :3].clamp(0, 1)
    return list((shown * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def resize(image: npt.NDArray[np.uint8], factor: float) -> npt.NDArray[np.uint8]:
    """Scale a picture by one factor; shrinking is antialiased."""
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def outline(
    image: npt.NDArray[np.uint8],
    inside: npt.NDArray[np.bool_],
    colour: tuple[int, int, int] = _OUTLINE,
    *,
    width: int = 1,
) -> npt.NDArray[np.uint8]:
    """Draw the inner border of a region, `width` pixels wide."""
    whole = inside
    for _ in range(width):
        padded = np.pad(whole, 1, mode="edge")
        whole = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        whole &= inside
    drawn = image.copy()
    drawn[inside & ~whole] = colour
    return drawn


def picture_grid(
    rows: Sequence[Sequence[npt.NDArray[Any]]], captions: Sequence[str], cell: int, *, narrowest: int | None = None
) -> Sheet:
    """Set pictures in a grid on white, each centred in its cell, a caption over each column.

    Args:
        rows: The pictures.
        captions: One a column.
        cell: Height of every cell, in pixels.
        narrowest: Width of a column whose caption is not wider; by default `cell`.
    """
    font = caption_font()
    widths = [max(narrowest or cell, round(font.getlength(caption))) for caption in captions]
    canvas = Image.new("RGB", (sum(widths) + _GAP * (len(widths) + 1), _CAPTION + (cell + _GAP) * len(rows)), "white")
    draw = ImageDraw.Draw(canvas)
    left = _GAP
    for column, (caption, width) in enumerate(zip(captions, widths, strict=True)):
        draw.text((left + width / 2, _CAPTION / 2), caption, fill=_INK, font=font, anchor="mm")
        for row, pictures in enumerate(rows):
            height, breadth = pictures[column].shape[:2]
            corner = (left + (width - breadth) // 2, _CAPTION + row * (cell + _GAP) + (cell - height) // 2)
            canvas.paste(Image.fromarray(pictures[column]), corner)
        left += width + _GAP
    return np.asarray(canvas)


def titled(sheet: _AnySheet, title: str) -> _AnySheet:
    """Put a title over a sheet, underlined over its width; a sheet as high without one where the title is empty."""
    font = caption_font()
    width = max(sheet.shape[1], round(font.getlength(title)) + 2 * _GAP)
    canvas = Image.new("RGB", (width, sheet.shape[0] + _CAPTION + _GAP), "white")
    if title:
        draw = ImageDraw.Draw(canvas)
        draw.text((width / 2, _CAPTION / 2), title, fill=_INK, font=font, anchor="mm")
        draw.line((_GAP, _CAPTION, width - _GAP, _CAPTION), fill=_INK)
    canvas.paste(Image.fromarray(sheet), ((width - sheet.shape[1]) // 2, _CAPTION + _GAP))
    return np.asarray(canvas)


def legend(names: Sequence[str]) -> Sheet:
    """Write the names of parts, each after a square of its colour; empty (of no height) where there are none."""
    font = caption_font()
    shown = [name.replace("_", " ") for name in names]
    widths = [round(font.getlength(name)) + _CAPTION + 2 * _GAP for name in shown]
    canvas = Image.new("RGB", (_GAP + sum(widths), _CAPTION + _GAP if names else 0), "white")
    draw, left, middle = ImageDraw.Draw(canvas), _GAP, (_CAPTION + _GAP) / 2
    for number, (name, width) in enumerate(zip(shown, widths, strict=True)):
        colour = PART_COLOURS[number % len(PART_COLOURS)]
        draw.rectangle((left, middle - _GAP, left + 2 * _GAP, middle + _GAP), fill=colour)
        draw.text((left + 3 * _GAP, middle), name, fill=_INK, font=font, anchor="lm")
        left += width
    return np.asarray(canvas)


def beside(sheets: Sequence[_AnySheet]) -> _AnySheet:
    """Set sheets beside each other on white, their upper edges in line."""
    highest = max(len(sheet) for sheet in sheets)
    below = [((0, highest - len(sheet)), (0, 0), (0, 0)) for sheet in sheets]
    filled = [np.pad(sheet, space, constant_values=255) for sheet, space in zip(sheets, below, strict=True)]
    return np.concatenate(filled, axis=1)


def stacked(sheets: Sequence[_AnySheet]) -> _AnySheet:
    """Set sheets below each other on white, their left edges in line."""
    widest = max(sheet.shape[1] for sheet in sheets)
    right = [((0, 0), (0, widest - sheet.shape[1]), (0, 0)) for sheet in sheets]
    filled = [np.pad(sheet, space, constant_values=255) for sheet, space in zip(sheets, right, strict=True)]
    return np.concatenate(filled, axis=0)


@cache
def caption_font() -> ImageFont.FreeTypeFont:
    """Return the font of all captions."""
    font = ImageFont.load_default(size=13)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ViewError("Pillow was built without FreeType and cannot draw captions; install Pillow from PyPI")
    return font
