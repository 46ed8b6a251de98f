"""Knowledge maps for a whole store: chunk by chunk, by several workers, resumable, with a verdict on every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from vesalius.data.array_writer import ArrayLayout, saying_disk_errors, write_durably
from vesalius.data.chunk_writer import ChunkWriter, put_in_place, sync
from vesalius.data.engines import run_in_order
from vesalius.data.gray import gray_pixels, unit_pixels
from vesalius.data.knowledge_maps import MAPS_SCHEMA, PARTS_FILE, TEMPLATE_FILE, KnowledgeMaps, open_maps
from vesalius.data.store import Store, open_store
from vesalius.errors import KnowledgeError, RegistrationError
from vesalius.guidance.templates import Template, TemplateMaps
from vesalius.version import __version__

__all__ = ["guide"]

_LAYOUT = 2  # of what is made by a template that tells the same: bars have no place, ventricles are no pair

CHUNK = 64
"""Images a chunk: registered together by the batched backend, and what a kill costs at most."""

WORST_FOLDING, LEAST_OVERLAP, DEVIATIONS, SMALLEST_PART = 0.03, 0.2, 4.0, 0.25
"""An image is left unguided beyond these: folded share of its pixels, Dice of the moved parts with where the template
has them, robust standard deviations of the similarity below the store's median, and the area of a predicted part as a
share of the least in any labelled image."""

Chunk = tuple[dict[str, npt.NDArray[Any]], list[dict[str, float]]]


def guide(
    store: Store,
    template: Template,
    out: Path,
    *,
    workers: int = 1,
    engine: str = "local",
    device: str = "cpu",
    resume: bool = True,
    advance: Callable[[int], None] = lambda _: None,
) -> KnowledgeMaps:
    """Make the maps of every image of a store.

    Args:
        store: The images.
        template: What knows the parts.
        out: Folder to write; complete maps made by the same template are returned as they are.
        workers: Chunks at a time; each worker has one thread.
        engine: `local`, `ray` or `dask`, see `vesalius.data.engines`.
        device: Where one worker computes.
        resume: Go on with what an interrupted run left.
        advance: Told how many images are done, also those of the interrupted run.

    Raises:
        KnowledgeError: `out` holds other maps, or no image could be guided.
        RegistrationError: A backend failed.
        StoreError: The disk is full, or another process writes there.
    """
    plan = {**template.description(), "layout": _LAYOUT, "store": store.fingerprint, "images": len(store)}
    if (out / "maps.json").is_file():
        return _already_there(out, plan)
    size, parts = template.map_size, len(template.parts.names)
    layouts = [ArrayLayout(name="known", row_shape=(1, size, size), dtype="uint8")]
    if parts:
        layouts.append(ArrayLayout(name="parts", row_shape=(parts, size, size), dtype="uint8"))
    if template.has_regions:
        layouts.append(ArrayLayout(name="regions", row_shape=(1, size, size), dtype="uint8"))
    if template.has_coordinates:
        layouts.append(ArrayLayout(name="coordinates", row_shape=(2, size, size), dtype="float16"))
    with _MapsWriter(out, plan=plan, layouts=layouts, resume=resume) as writer:
        advance(writer.rows)
        starts = range(writer.rows, len(store), CHUNK)
        calls = ((template, str(store.path), first, device) for first in starts)
        for arrays, records in run_in_order(_make_chunk, calls, workers=workers, engine=engine):
            left = len(store) - writer.rows
            writer.commit(arrays, {"quality": records}, needed_bytes=left * sum(one.row_bytes for one in layouts))
            advance(len(records))
        return writer.finish(store, template, plan)


class _MapsWriter(ChunkWriter):
    def finish(self, store: Store, template: Template, plan: dict[str, Any]) -> KnowledgeMaps:
        """Judge every image and write tables and `maps.json`."""
        rows = [record for chunk in self.records for record in chunk["records"]["quality"]]
        quality = _judge(pd.DataFrame(rows, index=range(len(rows))))
        quality.insert(0, "source", store.manifest["source"].to_numpy())
        if not quality["guided"].any():
            raise KnowledgeError(
                f"{self.out}: no image of {store.path} matches the template ({quality['reason'].iloc[0]}); is it "
                "of the same anatomy and view?"
            )
        with saying_disk_errors(self.partial):
            arrays = self._finish_arrays()
            quality.to_parquet(self.partial / "quality.parquet", index=False)
            quality[~quality["guided"]].to_csv(self.partial / "unguided.csv", index=False)
            still, picture = template.still(), template.picture()
            if still is not None:
                np.save(self.partial / PARTS_FILE, (still * 255).round().to(torch.uint8).cpu().numpy())
            if picture is not None:
                np.save(self.partial / TEMPLATE_FILE, (picture[0, 0] * 65535).round().cpu().numpy().astype(np.uint16))
            for name in ("quality.parquet", "unguided.csv"):
                sync(self.partial / name)
            about = {
                "schema": MAPS_SCHEMA,
                "vesalius": __version__,
                "template": template.name,
                "parts": list(template.parts.names),
                "pairs": [list(pair) for pair in template.parts.pairs],
                "plan": plan,
                "store": {"name": store.path.name, "fingerprint": store.fingerprint, "images": len(store)},
                "arrays": arrays,
                "counts": {"images": len(store), "guided": int(quality["guided"].sum())},
            }
            write_durably(self.partial / "maps.json", about)
            self.close()
            put_in_place(self.partial, self.out)
        return open_maps(self.out)


def _already_there(out: Path, plan: dict[str, Any]) -> KnowledgeMaps:
    maps = open_maps(out)
    if maps.info["plan"] != plan:
        differing = sorted(key for key in {*plan, *maps.info["plan"]} if plan.get(key) != maps.info["plan"].get(key))
        raise KnowledgeError(
            f"{out}: holds maps made otherwise (different: {', '.join(differing)}); choose another --out, or remove it"
        )
    return maps


def _make_chunk(template: Template, store: str, first: int, device: str) -> Chunk:
    """Make the maps of up to `CHUNK` images; runs in a worker."""
    opened = open_store(store)
    rows = slice(first, first + CHUNK)
    read = opened.images[rows]
    pixels = unit_pixels(read) if template.in_colour else gray_pixels(read)
    try:
        made = template.maps(pixels.to(device))
    except RegistrationError as error:
        sources = opened.manifest["source"].iloc[rows]
        raise RegistrationError(
            f"{opened.path}: {error} (one of the images {sources.iloc[0]} to {sources.iloc[-1]})"
        ) from error
    within = torch.from_numpy(_within_source(opened.manifest.iloc[rows], opened.size, template.map_size))
    made = replace(made, known=made.known * within[:, None].to(made.known))
    return _arrays(made), _records(made, len(pixels))


def _within_source(rows: pd.DataFrame, size: int, map_size: int) -> npt.NDArray[np.bool_]:
    """Say of every cell of every map whether it shows the source image rather than the bars that make it a square."""
    edges = np.arange(map_size + 1) * (size / map_size)

    def along(axis: str, length: str) -> npt.NDArray[np.bool_]:
        offset, scale = (rows[f"{what}_{axis}"].to_numpy()[:, None] for what in ("offset", "scale"))
        at = offset + scale * edges
        slack = 0.5 * scale  # of a pixel of the store: bars begin at whole ones
        inside = (at >= -slack) & (at <= rows[length].to_numpy()[:, None] + slack)
        return np.asarray(inside[:, 1:] & inside[:, :-1])

    return along("y", "original_height")[:, :, None] & along("x", "original_width")[:, None, :]


def _arrays(made: TemplateMaps) -> dict[str, npt.NDArray[Any]]:
    def bytes_of(maps: torch.Tensor) -> npt.NDArray[np.uint8]:
        return (maps.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()

    arrays: dict[str, npt.NDArray[Any]] = {"known": bytes_of(made.known)}
    if made.parts.shape[1]:
        arrays["parts"] = bytes_of(made.parts)
    if made.regions is not None:
        arrays["regions"] = made.regions.cpu().numpy()
    if made.coordinates is not None:
        arrays["coordinates"] = made.coordinates.cpu().numpy().astype(np.float16)
    return arrays


def _records(made: TemplateMaps, count: int) -> list[dict[str, float]]:
    columns = {name: values.tolist() for name, values in made.quality.items()}
    return [{name: float(values[row]) for name, values in columns.items()} for row in range(count)]


def _judge(quality: pd.DataFrame) -> pd.DataFrame:
    """Say for every image whether it is guided and, where not, why."""
    reasons = pd.Series("", index=quality.index)
    for told, why in _faults(quality):
        reasons = reasons.where(~told | (reasons != ""), why)
    return quality.assign(guided=reasons == "", reason=reasons)


def _faults(quality: pd.DataFrame) -> Iterator[tuple[pd.Series, str]]:
    if "similarity" in quality:
        value = quality["similarity"]
        middle = value.median()
        spread = 1.4826 * (value - middle).abs().median()
        least = middle - DEVIATIONS * spread
        yield value < least - 1e-9, f"similarity below {least:.3f}: unlike the template"
    if "folding" in quality:
        yield quality["folding"] > WORST_FOLDING, f"more than {WORST_FOLDING:.0%} of its pixels fold"
    if "overlap" in quality:
        yield quality["overlap"] < LEAST_OVERLAP, f"the moved parts overlap the template's by less than {LEAST_OVERLAP}"
    if "smallest_part" in quality:
        smaller = f"a part is predicted at less than {SMALLEST_PART:g} of its least area in the labelled images"
        yield quality["smallest_part"] < SMALLEST_PART, smaller
