"""Drawing masks that a set tells by corners or run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vesalius.errors import UnreadableImageError
from vesalius.records.sample import RunLengths

__all__ = ["draw_outlines"]


def draw_outlines(
    outlines: Sequence[tuple[str, Sequence[float] | RunLengths]], parts: Sequence[str], shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Return the values of the parts `[height, width]`, 0 where there is none; the later lie over the earlier.

    Args:
        outlines: Part, and corners x0, y0, x1, y1, ... in pixels or run lengths.
        parts: What the values mean.
        shape: (height, width) of the image.

    Raises:
        UnreadableImageError: Run lengths that are damaged or of another size than the image.
    """
    canvas = Image.new("L", (shape[1], shape[0]))
    pen = ImageDraw.Draw(canvas)
    for name, outline in outlines:
        if isinstance(outline, RunLengths):
            canvas.paste(parts.index(name), mask=Image.fromarray(_inside(name, outline, shape)))
        else:
            pen.polygon(list(outline), fill=parts.index(name))
    return np.asarray(canvas, dtype=np.uint8)


def _inside(name: str, runs: RunLengths, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    if (runs.height, runs.width) != shape:
        raise UnreadableImageError(
            Path(name),
            f"run lengths of {runs.width} x {runs.height}, the image is {shape[1]} x {shape[0]}",
            "Copy the image again",
        )
    if not isinstance(runs.counts, str):
        inside = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
        return np.asarray(inside.reshape(runs.width, runs.height).T)
    from pycocotools import mask

    try:
        packed = {"size": [runs.height, runs.width], "counts": runs.counts}
        return np.asarray(mask.decode(packed), dtype=np.bool_)
    except ValueError as error:
        raise UnreadableImageError(Path(name), f"damaged run lengths ({error})", "Copy the table again") from error
