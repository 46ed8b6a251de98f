"""A store as one run sees it, on disk: features, attention and a place on a map of every image, for the explorer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.atomic import replace_text, replacing
from vesalius.errors import RunError

__all__ = ["Answers", "SeenImages", "open_answers", "open_seen", "write_answers", "write_seen"]

SCHEMA = 1
"""Version of the layout; folders of another one are made anew."""

_ABOUT = "seen.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenImages:
    """What one run makes of every image of a store, row i of row i.

    Attributes:
        about: Fingerprints of store and weights, `heads` by their captions, `image_size`, `whose_row`, `map`.
        features: `[images, dim]` float16, of length 1.
        attention: `[images, heads, rows, columns]` uint8, each head's map by its highest value; None without attention.
        places: `[images, 2]` float32, on a map where near images look alike to the run.
    """

    about: Mapping[str, Any]
    features: npt.NDArray[np.float16]
    attention: npt.NDArray[np.uint8] | None
    places: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the networks that an evaluation kept answer, each about images that it has never seen.

    Attributes:
        about: `evaluation`, `task`, `label`, `names` of the parts or classes, and `explained`: whose maps `activation`
            holds.
        rows: `[answered]` int64, of the store.
        predicted: `[answered, height, width]` uint8: 0, or 1 + the part; None of a classifier.
        activation: `[answered, explained, height, width]` uint8, class activation maps by their highest value; None
            where none were made.
    """

    about: Mapping[str, Any]
    rows: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.uint8] | None
    activation: npt.NDArray[np.uint8] | None


def write_seen(
    folder: Path, about: Mapping[str, Any], places: npt.NDArray[np.float32], *, parts: Sequence[Path] = ()
) -> None:
    """Write it; `seen.json` comes last, so that a folder with one is complete.

    Args:
        folder: Where.
        about: See `SeenImages`; the map's places stand in a file of its name, so that several maps are kept.
        places: On that map.
        parts: NPZ files with `features` and maybe `attention` of some images each, in the order of the rows; none
            where they stand in the folder already.
    """
    _assemble(folder, parts)
    _save(folder / f"places-{about['map']}.npy", places)
    replace_text(folder / _ABOUT, json.dumps({"schema": SCHEMA, **about}, indent=2) + "\n")


def open_seen(folder: Path, *, images: int) -> SeenImages | None:
    """Open what `write_seen` wrote, memory-mapped; None where there is none, or one of another layout.

    Raises:
        RunError: It is damaged, or not of as many images.
    """
    about = _about(folder)
    if about is None:
        return None
    places = f"places-{about.get('map')}"
    found = _arrays(folder, ("features", places), ("attention",), images=images)
    return SeenImages(about=about, features=found["features"], attention=found["attention"], places=found[places])


def write_answers(folder: Path, about: Mapping[str, Any], *, parts: Sequence[Path]) -> None:
    """Write it, as `write_seen`: NPZ files with `rows` and maybe `predicted` and `activation` of some images each."""
    _assemble(folder, parts)
    replace_text(folder / _ABOUT, json.dumps({"schema": SCHEMA, **about}, indent=2) + "\n")


def open_answers(folder: Path) -> Answers | None:
    """Open what `write_answers` wrote, memory-mapped; None where there is none, or one of another layout.

    Raises:
        RunError: It is damaged.
    """
    about = _about(folder)
    if about is None:
        return None
    return Answers(about=about, **_arrays(folder, ("rows",), ("predicted", "activation")))


def _assemble(folder: Path, parts: Sequence[Path]) -> None:
    """Lay the arrays of the parts one after another, part by part: the whole need not fit into memory."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    kinds: dict[str, np.dtype[Any]] = {}
    for part in parts:
        with np.load(part, allow_pickle=False) as arrays:
            for name in arrays.files:
                shapes.setdefault(name, []).append(arrays[name].shape)
                kinds[name] = arrays[name].dtype
    for name, found in shapes.items():
        whole = (sum(shape[0] for shape in found), *found[0][1:])
        with replacing(folder / f"{name}.npy") as partial:
            target = np.lib.format.open_memmap(partial, mode="w+", dtype=kinds[name], shape=whole)
            place = 0
            for part in parts:
                with np.load(part, allow_pickle=False) as arrays:
                    target[place : place + len(arrays[name])] = arrays[name]
                    place += len(arrays[name])
            target.flush()
            del target


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with replacing(path) as partial, partial.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def _about(folder: Path) -> Mapping[str, Any] | None:
    file = folder / _ABOUT
    if not file.is_file():
        return None
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: not readable ({error}); delete the folder, it is made again") from error
    return about if isinstance(about, dict) and about.get("schema") == SCHEMA else None


def _arrays(folder: Path, needed: Sequence[str], more: Sequence[str], *, images: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (*needed, *more):
        path = folder / f"{name}.npy"
        if name in more and not path.is_file():
            found[name] = None
            continue
        try:
            found[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: not readable ({error}); delete the folder, it is made again") from error
    lengths = {len(array) for array in found.values() if array is not None}
    if len(lengths) > 1 or (images is not None and lengths != {images}):
        raise RunError(f"{folder}: holds arrays of {sorted(lengths)} images, expected {images or 'the same number'}")
    return found
