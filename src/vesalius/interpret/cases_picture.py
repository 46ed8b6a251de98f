"""Cases in rows, what explains them in columns: the same images under one model or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from vesalius.interpret.pictures import (
    PART_COLOURS,
    Picture,
    Sheet,
    beside,
    caption_font,
    legend,
    outline,
    overlay,
    picture_grid,
    stacked,
    titled,
)

__all__ = ["CaseRow", "ShownMap", "cases_picture"]

_CELL = 176
_INK = (32, 36, 41)
_LABEL_WIDTH = 92
_STRIP = 18


@dataclass(frozen=True, slots=True)
class ShownMap:
    """What explains one image under one model.

    Attributes:
        saliency: From 0 to 1, over the square image; None where there is nothing to explain.
        drawn: The region that is explained; None for a whole image.
        words: What was explained.
    """

    saliency: Float[Tensor, "rows columns"] | None
    drawn: Bool[Tensor, "rows columns"] | None
    words: str


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case.

    Attributes:
        label: Lines of text at its left.
        image: The square image.
        truth: Outlined parts, by name.
        shown: By model, then by subject.
    """

    label: Sequence[str]
    image: npt.NDArray[np.uint8]
    truth: dict[str, Bool[Tensor, "rows columns"]]
    shown: Sequence[Sequence[ShownMap]]


def cases_picture(rows: Sequence[CaseRow], models: Sequence[str], subjects: Sequence[str]) -> Sheet:
    """Draw a row a case: its label, the image with what is known outlined, and a map a model and subject.

    The region that is explained is outlined in white on its map; under each map stands what was explained.

    Args:
        rows: The cases.
        models: Titles, in the order of `CaseRow.shown`.
        subjects: Names, in the order of each model's maps.
    """
    parts = list(dict.fromkeys(name for row in rows for name in row.truth))
    high = _CELL + _STRIP
    labels = picture_grid([[_label(row.label)] for row in rows], [""], high, narrowest=_LABEL_WIDTH)
    images = picture_grid([[_framed(_with_truth(row, parts), "")] for row in rows], ["image"], high, narrowest=_CELL)
    groups = [titled(labels, ""), titled(images, "")]
    for place, model in enumerate(models):
        drawn = [[_map(row, one) for one in row.shown[place]] for row in rows]
        captions = [name.replace("_", " ") for name in subjects]
        groups.append(titled(picture_grid(drawn, captions, high, narrowest=_CELL), model))
    return stacked([beside(groups), legend(parts)])


def _with_truth(row: CaseRow, parts: Sequence[str]) -> Picture:
    drawn = _square(row.image)
    for name, inside in row.truth.items():
        colour = PART_COLOURS[parts.index(name) % len(PART_COLOURS)]
        drawn = outline(drawn, _enlarged(inside.float()) > 0.5, colour)
    return drawn


def _map(row: CaseRow, shown: ShownMap) -> Sheet:
    image = _square(row.image)
    if shown.saliency is None:
        return _framed(image, shown.words)
    drawn = overlay(image, _enlarged(shown.saliency), top=1.0)
    if shown.drawn is not None:
        drawn = outline(drawn, _enlarged(shown.drawn.float(), thin=True) > 0.5)
    return _framed(drawn, shown.words)


def _square(image: npt.NDArray[np.uint8]) -> Picture:
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    return np.asarray(Image.fromarray(rgb).resize((_CELL, _CELL), Image.Resampling.LANCZOS))


def _enlarged(values: Float[Tensor, "rows columns"], *, thin: bool = False) -> Float[np.ndarray, "height width"]:
    """Bring a map to the cell; of a region that may be one pixel (`thin`) nothing is lost where it shrinks."""
    if thin and min(values.shape) > _CELL:
        values = functional.adaptive_max_pool2d(values[None], (_CELL, _CELL))[0]
    out: Any = functional.interpolate(values[None, None], size=(_CELL, _CELL), mode="bilinear", align_corners=False)
    found: npt.NDArray[np.float32] = out[0, 0].numpy()
    return found


def _framed(picture: Picture, words: str) -> Sheet:
    """Write words below a picture."""
    canvas = Image.new("RGB", (_CELL, _CELL + _STRIP), "white")
    canvas.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(canvas)
    while words and caption_font().getlength(words) > _CELL:
        half = len(words) // 2
        words = words[: half - 2] + "…" + words[half + 1 :]  # its end is a figure
    draw.text((_CELL / 2, _CELL + _STRIP / 2), words, fill=_INK, font=caption_font(), anchor="mm")
    return np.asarray(canvas)


def _label(lines: Sequence[str]) -> Picture:
    canvas = Image.new("RGB", (_LABEL_WIDTH, _CELL), "white")
    draw = ImageDraw.Draw(canvas)
    for place, line in enumerate(lines):
        draw.text(
            (4, _CELL / 2 + 18 * (place - (len(lines) - 1) / 2)), line, fill=_INK, font=caption_font(), anchor="lm"
        )
    return np.asarray(canvas)
