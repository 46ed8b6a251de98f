"""How far every head of every block looks, over many images: a table and the figure of Matsoukas (2022, figure 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vesalius.atomic import replacing
from vesalius.backbones.block_attention import block_attentions
from vesalius.backbones.normalise import to_input
from vesalius.data.pixel_size import pixel_size
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.interpret.attention_distance import attention_distance
from vesalius.interpret.explain import ExplainOptions, run_plan
from vesalius.interpret.explained_run import ExplainedRun
from vesalius.interpret.explanation_record import already_made, write_record

__all__ = ["NAME", "Distances", "draw_distances", "measure_distances"]

NAME = "distance"

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Of runs (Okabe and Ito 2008), told apart without colour vision."""

_BYTES = 256 * 2**20
"""Of attention that is held at once, by all blocks of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """How far the heads of one run look.

    Attributes:
        blocks: Names of the attention modules, first to last.
        patch_px: Side of a patch of each block, in pixels of the input.
        pixels: By block `[images, heads]`, in pixels of the input.
        mm: The same in millimetres; None where an image does not tell its spacing.
    """

    blocks: tuple[str, ...]
    patch_px: tuple[int, ...]
    pixels: tuple[Float[np.ndarray, "images _"], ...]
    mm: tuple[Float[np.ndarray, "images _"], ...] | None

    def table(self, run: str) -> pd.DataFrame:
        """Return a row a head: means over the images, and how much the images differ (standard deviation)."""
        rows: list[dict[str, Any]] = []
        for place, (name, patch) in enumerate(zip(self.blocks, self.patch_px, strict=True)):
            mean, spread = self.pixels[place].mean(0), self.pixels[place].std(0)
            for head in range(len(mean)):
                row = {"run": run, "block": place, "attention": name, "head": head, "images": len(self.pixels[place])}
                row |= {"pixels": mean[head], "pixels_sd": spread[head], "patches": mean[head] / patch}
                row["mm"] = float("nan") if self.mm is None else self.mm[place].mean(0)[head]
                rows.append(row)
        return pd.DataFrame(rows)


def measure_distances(
    run: ExplainedRun,
    store: Store,
    rows: Int[np.ndarray, " images"],
    *,
    image_size: int | None = None,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> Distances:
    """Measure how far the heads look in these images of a store (`attention_distance`).

    Args:
        run: Whose backbone.
        store: Where the images are.
        rows: Which.
        image_size: Side of the input in pixels; by default the weights' own.
        device: `auto`, `cpu`, `cuda` or `mps`.
        advance: Told how many images are done.

    Raises:
        BackboneError: The backbone has no attention, or does not take this size.
    """
    where = choose_device(device)
    backbone = run.backbone.to(where)
    size = backbone.preprocessing.image_size if image_size is None else (image_size, image_size)
    pixel, unit = pixel_size(store, rows)
    pixel_mm = torch.from_numpy(pixel * store.size / np.array(size)) if unit == "mm" else None  # of the input
    names: dict[str, int] = {}
    in_pixels: list[list[torch.Tensor]] = []
    in_mm: list[list[torch.Tensor]] = []
    start, batch = 0, 1  # the first image tells how much memory one takes
    while start < len(rows):
        images = store.images[rows[start : start + batch]]
        blocks = block_attentions(backbone, to_input(images, backbone, where, size))
        names = {one.name: one.patch_px for one in blocks}
        in_pixels.append([attention_distance(one).cpu() for one in blocks])
        if pixel_mm is not None:
            own = pixel_mm[start : start + batch]
            in_mm.append([attention_distance(one, pixel_mm=own).cpu() for one in blocks])
        advance(len(images))
        start += len(images)
        held = sum(one.weights.numel() * one.weights.element_size() for one in blocks)
        batch = max(1, _BYTES * len(images) // held)
    return Distances(
        blocks=tuple(names),
        patch_px=tuple(names.values()),
        pixels=_by_block(in_pixels),
        mm=None if pixel_mm is None else _by_block(in_mm),
    )


def _by_block(found: Sequence[Sequence[torch.Tensor]]) -> tuple[Float[np.ndarray, "images _"], ...]:
    return tuple(torch.cat(parts).double().numpy() for parts in zip(*found, strict=True))


def draw_distances(
    runs: Sequence[ExplainedRun],
    store: Store,
    out: Path,
    *,
    images: int,
    options: ExplainOptions,
    advance: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write `figure_distance.png`, `figure_distance.csv` and their record.

    Args:
        runs: The run, then those it is compared with.
        store: Whose images are looked at.
        out: Folder to write.
        images: How many, drawn once for all runs; all where there are fewer.
        options: What else shapes it.
        advance: Told how many images are done, over all runs.

    Returns:
        The picture.

    Raises:
        BackboneError: See `measure_distances`.
        RunError: The folder holds the same figure of other runs or images.
    """
    record, path = out / f"figure_{NAME}.json", out / f"figure_{NAME}.png"
    drawn = np.sort(np.random.default_rng(0).permutation(len(store))[:images])
    how = ("upsampling", "mass")  # these shape no distance
    looks = [{key: one for key, one in run_plan(run, options).items() if key not in how} for run in runs]
    plan: dict[str, Any] = {"figure": NAME, "runs": looks, "images": len(drawn)}
    plan["store"] = {"name": store.path.name, "fingerprint": store.fingerprint}
    if already_made(record, plan, overwrite=options.overwrite):
        return path
    given: dict[str, Any] = {"image_size": options.image_size, "device": options.device, "advance": advance}
    found = [measure_distances(run, store, drawn, **given) for run in runs]
    table = pd.concat([one.table(run.name) for run, one in zip(runs, found, strict=True)], ignore_index=True)
    with replacing(path.with_suffix(".csv")) as partial:
        table.to_csv(partial, index=False, float_format="%.5g")
    with replacing(path) as partial:
        _figure([run.name for run in runs], found, len(drawn)).savefig(partial, format="png", dpi=150)
    write_record(record, plan, pictures=[path.name, path.with_suffix(".csv").name])
    return path


def _figure(names: Sequence[str], found: Sequence[Distances], images: int) -> Figure:
    """Draw a panel a run: a dot a head, over the depth of its block, and their mean."""
    figure = Figure(figsize=(1.2 + 4.2 * len(found), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, name, one, colour in zip(panels, names, found, cycle(_COLOURS)):
        depths = range(1, len(one.blocks) + 1)
        for depth, values in zip(depths, one.pixels, strict=True):
            axes.scatter([depth] * values.shape[1], values.mean(0), s=22, color=colour, alpha=0.75, linewidths=0)
        axes.plot(depths, [values.mean() for values in one.pixels], color=colour, linewidth=1)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("block")
        axes.set_xticks(range(1, len(one.blocks) + 1, max(1, len(one.blocks) // 12)))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean attended distance, input pixels")
    panels[0].set_ylim(bottom=0)
    figure.supxlabel(f"a dot a head, the line their mean; {images:,} images", fontsize=8)
    return figure
