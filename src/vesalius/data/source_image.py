"""One file by itself: its pixels as they are in the file, and the square that a store would hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8

from vesalius.data.fit import Placement
from vesalius.data.prepare_job import READER_DEFAULTS
from vesalius.data.prepare_worker import DecodeOptions, decode_chunk
from vesalius.data.read import read_image
from vesalius.data.store import Store
from vesalius.data.windows import apply_window
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import Sample, Window

__all__ = ["SourceImage", "decode_options", "read_source", "reader_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """An image in the geometry of its file and in that of a store.

    Attributes:
        name: The file's name, without its folder.
        sha256: Of the file.
        frame: Which frame or slice of it.
        pixels: `[rows, columns, 3]` as the file has them, windowed to 8 bits; gray in three equal channels.
        square: `[size, size]` or `[size, size, 3]`, uint8 or uint16: what a store would hold.
        placement: Where the square lies in the file's pixels.
        window: The intensities that became black and white, and where they come from.
    """

    name: str
    sha256: str
    frame: int
    pixels: UInt8[np.ndarray, "rows columns 3"]
    square: npt.NDArray[Any]
    placement: Placement
    window: Window

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the file's image."""
        return self.pixels.shape[0], self.pixels.shape[1]


def decode_options(store: Store) -> DecodeOptions:
    """Return how a store's images were decoded, so that a further file can be decoded alike."""
    made: Mapping[str, Any] = store.info["options"]
    window = made["window"] if isinstance(made["window"], str) else (made["window"][0], made["window"][1])
    return DecodeOptions(
        size=store.size,
        bits=8 * store.dtype.itemsize,
        fit=str(made["fit"]),
        channels=store.channels,
        window=window,
        frames="first" if made.get("frames") == "first" else "middle",
    )


def reader_options(store: Store) -> dict[str, Any]:
    """Return the axis, volume and key that a store's files were read by."""
    return {name: store.info["options"].get(name, default) for name, default in READER_DEFAULTS.items()}


def read_source(
    path: Path, options: DecodeOptions, *, reader: Mapping[str, Any] = READER_DEFAULTS, frame: int | None = None
) -> SourceImage:
    """Read one file as `prepare` reads it, and keep its own pixels, too.

    Args:
        path: Any file that `prepare` reads.
        options: The geometry, window, bits and channels of the square.
        reader: `axis`, `volume` and `key`, see `vesalius.data.read.read_image`.
        frame: Frame, slice or index; by default the one that `options.frames` says, the middle one as a rule.

    Raises:
        UnreadableImageError: What is wrong with the file, named.
        ConfigError: An option that no file could satisfy.
    """
    path = Path(path)
    if frame is not None:
        options = replace(options, frames="given")
    sample = Sample(path=path, source=path.name, frame=frame or 0, reader=dict(reader))
    decoded = decode_chunk(0, [sample], options)
    if decoded.refused:
        why = decoded.refused[0]
        raise UnreadableImageError(path, why["reason"], why["advice"])
    about = decoded.records[0]
    whole = read_image(path, frame=about["frame"], window=options.window, **sample.reader)
    shown = apply_window(whole.pixels, whole.window, bits=8)
    return SourceImage(
        name=path.name,
        sha256=about["sha256"],
        frame=about["frame"],
        pixels=shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2),
        square=decoded.images[0],
        placement=Placement(**{name: about[name] for name in ("scale_x", "scale_y", "offset_x", "offset_y")}),
        window=whole.window,
    )
