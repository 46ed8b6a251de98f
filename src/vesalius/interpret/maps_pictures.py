"""What knowledge maps look like on their images: the parts outlined, and the template bent to fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch.nn import functional

from vesalius.data.gray import gray_pixels
from vesalius.data.knowledge_maps import TEMPLATE_FILE, KnowledgeMaps
from vesalius.data.store import Store
from vesalius.interpret.pictures import PART_COLOURS, Picture, Sheet, outline, picture_grid, save_png
from vesalius.registration.deformation import warp

__all__ = ["bordered", "draw_maps", "maps_picture"]

_ROWS = 8

_POPULATION = 512
"""Images, evenly over the store, that its mean is drawn of."""


def draw_maps(store: Store, maps: KnowledgeMaps) -> None:
    """Draw, into the folder of the maps, images from the best to the worst match, and the worst left unguided.

    `population.png` has the mean of the store's images with the mean of its maps outlined: what all images share.

    Args:
        store: The images.
        maps: Theirs.

    Raises:
        OSError: The folder cannot be written.
    """
    quality = maps.quality
    order = quality["similarity"] if "similarity" in quality else quality.index.to_series()
    guided = order[quality["guided"]].sort_values(ascending=False).index.to_numpy()
    chosen = guided[np.linspace(0, len(guided) - 1, min(_ROWS, len(guided))).astype(np.int64)]
    save_png(maps_picture(store, maps, chosen), maps.path / "examples.png")
    left = order[~quality["guided"]].sort_values().index.to_numpy()[:_ROWS]
    if len(left):
        save_png(maps_picture(store, maps, left), maps.path / "unguided.png")
    if maps.names.names:
        save_png(_population_picture(store, maps, guided), maps.path / "population.png")


def maps_picture(
    store: Store, maps: KnowledgeMaps, rows: Int[np.ndarray, " rows"] | Sequence[int], *, cell: int = 192
) -> Sheet:
    """Draw a row an image: the image, its parts outlined where they are likely, the template bent to it."""
    rows = np.asarray(rows, dtype=np.int64)
    pixels = _gray(store, rows, cell)
    columns = {"image": [np.repeat(image[..., None], 3, axis=2) for image in pixels]}
    if maps.names.names:
        columns["parts"] = [
            _outlined(image, parts, cell) for image, parts in zip(columns["image"], maps.parts[rows], strict=True)
        ]
    if maps.has_regions:
        columns["regions"] = [
            bordered(image, regions[0], cell)
            for image, regions in zip(columns["image"], maps.regions[rows], strict=True)
        ]
    template = maps.path / TEMPLATE_FILE
    if maps.has_coordinates and template.is_file():
        columns["the template here"] = _bent(np.load(template, allow_pickle=False), maps.coordinates[rows], cell)
    return picture_grid(list(zip(*columns.values(), strict=True)), list(columns), cell)


def bordered(image: Picture, regions: npt.NDArray[Any], cell: int) -> Picture:
    """Draw the borders between regions `[rows, columns]` into an image of `cell` pixels."""
    places = ((np.arange(cell) + 0.5) * len(regions) / cell).astype(np.int64)
    large = regions[np.ix_(places, places)]
    borders = np.zeros(large.shape, dtype=bool)
    borders[1:] |= large[1:] != large[:-1]
    borders[:, 1:] |= large[:, 1:] != large[:, :-1]
    return np.where(borders[..., None], np.array([255, 204, 26], dtype=np.uint8), image)


def _population_picture(store: Store, maps: KnowledgeMaps, guided: npt.NDArray[np.int64], *, cell: int = 384) -> Sheet:
    rows = np.sort(guided)[np.linspace(0, len(guided) - 1, min(_POPULATION, len(guided))).astype(np.int64)]
    mean = gray_pixels(store.images[rows]).mean(0, keepdim=True)
    low, high = mean.amin(), mean.amax()
    stretched = (mean - low) / (high - low).clamp_min(1e-6)
    shown = functional.interpolate(stretched, size=(cell, cell), mode="bilinear")[0, 0]
    image = np.repeat((255 * shown).round().to(torch.uint8).numpy()[..., None], 3, axis=2)
    parts = maps.parts[rows].astype(np.float32).mean(0).round().astype(np.uint8)
    return picture_grid([(image, _outlined(image, parts, cell))], [f"mean of {len(rows)} images", "mean parts"], cell)


def _gray(store: Store, rows: npt.NDArray[np.int64], cell: int) -> npt.NDArray[np.uint8]:
    shown = 255 * gray_pixels(store.images[rows])
    small = functional.interpolate(shown, size=(cell, cell), mode="bilinear", antialias=True)
    return small[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()


def _outlined(image: Picture, parts: npt.NDArray[np.uint8], cell: int) -> Picture:
    large = functional.interpolate(torch.from_numpy(parts)[None].float(), size=(cell, cell), mode="bilinear")[0]
    for number, inside in enumerate(large.numpy() > 127):
        image = outline(image, inside, PART_COLOURS[number % len(PART_COLOURS)])
    return image


def _bent(
    template: npt.NDArray[np.uint16], coordinates: npt.NDArray[np.float16], cell: int
) -> list[npt.NDArray[np.uint8]]:
    places = functional.interpolate(torch.from_numpy(coordinates).float(), size=(cell, cell), mode="bilinear")
    moved = warp(torch.from_numpy(template.astype(np.float32) / 65535)[None, None], places)[:, 0]
    shown = (moved * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return [np.repeat(image[..., None], 3, axis=2) for image in shown]
