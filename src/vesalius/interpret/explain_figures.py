"""The figures of MeDINO (Miao 2022; Gokul 2022, chapter 3) from runs: templates, guided parts, all heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vesalius.errors import ConfigError, EvaluationError, nearest
from vesalius.interpret.explain import ExplainOptions, image_plan, look_with, most_attended, run_plan
from vesalius.interpret.explained_image import ExplainedImage, ImageReader
from vesalius.interpret.explained_run import ExplainedRun, Look
from vesalius.interpret.explanation_record import already_made, write_record
from vesalius.interpret.guided_heads import Head, Joined, choose_heads
from vesalius.interpret.localisation import mass_overlap
from vesalius.interpret.pictures import Sheet, beside, legend, picture_grid, save_png, stacked, titled
from vesalius.interpret.source_canvas import SourceCanvas

__all__ = ["FIGURES", "draw_figure"]

FIGURES = ("templates", "parts", "heads")
"""`templates`: every set of maps on every image (MeDINO's figure 3). `parts`: of every run the head of each part
(figures 4 and 5). `heads`: of every run all heads (figure 6). A row is an image."""

_CELL = 160


def draw_figure(
    figure: str,
    runs: Sequence[ExplainedRun],
    files: Sequence[Path],
    reader: ImageReader,
    out: Path,
    *,
    numbers: Sequence[int] = (),
    parts: Sequence[str] = (),
    options: ExplainOptions,
) -> Path:
    """Write `figure_<name>.png` and its record: a row an image, a group of columns a run.

    Args:
        figure: One of `FIGURES`.
        runs: The run, then those it is compared with.
        files: The images.
        reader: How they are read.
        out: Folder to write.
        numbers: Which heads `heads` shows, by number; by default all.
        parts: Which parts; by default all that a run guides, or else all that are known.
        options: What else shapes the pictures.

    Returns:
        The picture.

    Raises:
        ConfigError: Unknown figure, part or head.
        EvaluationError: No maps for `templates`, or nothing to choose an unguided run's head by.
        RunError: The folder holds the same figure of other runs or images.
    """
    if figure not in FIGURES:
        raise ConfigError(f"no figure '{figure}'; figures: {', '.join(FIGURES)}{nearest(figure, FIGURES)}")
    if numbers and figure != "heads":
        raise ConfigError(f"figure {figure} shows no heads by number; use --part, or --figure heads")
    if options.joined and figure != "heads":
        raise ConfigError(f"figure {figure} shows a head a part; use --figure heads for what joins all heads")
    images = [reader.read(file) for file in files]
    canvases = [SourceCanvas(image.source, longest=_CELL) for image in images]
    names = list(dict.fromkeys(name for image in images for name in image.names))
    groups = [titled(picture_grid([[canvas.picture] for canvas in canvases], ["image"], _CELL), "")]
    shown: list[dict[str, Any]] = []
    if figure != "heads" and any(image.reference is not None for image in images):
        groups.append(_known(images, canvases, names))
    if figure == "templates":
        if len(groups) == 1:
            raise EvaluationError("figure templates: nothing is known of these images; give --store and --maps")
        runs = ()
    record, path = out / f"figure_{figure}.json", out / f"figure_{figure}.png"
    plan: dict[str, Any] = {
        "figure": figure,
        "runs": [run_plan(run, options) for run in runs],
        "images": [image_plan(image, reader) for image in images],
        "heads": list(numbers),
        "parts": list(parts),
        "joined": [one.how for one in options.joined],
    }
    if already_made(record, plan, overwrite=options.overwrite):
        return path
    wanted = _parts(runs, images, parts) if figure == "parts" else list(parts)
    for run in runs:
        looks = [look_with(run, one, options) for one in images]
        columns: Sequence[tuple[str, Head | Joined]]
        if figure == "parts":
            columns = [_head_of_part(run, part, images, looks) for part in wanted]
        else:
            columns = _columns(run, numbers, wanted, options)
        groups.append(titled(_overlays(canvases, looks, columns, options), run.name))
        shown.append({"run": run.name, "columns": [[caption, _which(one)] for caption, one in columns]})
    save_png(stacked([beside(groups), legend(names if figure != "heads" else ())]), path)
    write_record(record, plan, shown=shown, pictures=[path.name])
    return path


def _columns(
    run: ExplainedRun, numbers: Sequence[int], parts: Sequence[str], options: ExplainOptions
) -> list[tuple[str, Head | Joined]]:
    """Name what is shown of a run: the heads asked for, all where nothing is, and what joins them."""
    columns: list[Head | Joined] = [*options.joined]
    if numbers or parts or not columns:
        columns = [*choose_heads(run.heads, numbers=numbers, parts=parts), *columns]
    return [(one.caption, one) for one in columns]


def _which(shown: Head | Joined) -> int | str:
    return shown.number if isinstance(shown, Head) else shown.how


def _overlays(
    canvases: Sequence[SourceCanvas],
    looks: Sequence[Look],
    columns: Sequence[tuple[str, Head | Joined]],
    options: ExplainOptions,
) -> Sheet:
    rows = []
    for canvas, seen in zip(canvases, looks, strict=True):
        maps = [most_attended(seen.map_of(one), options.mass) for _, one in columns]
        rows.append([canvas.overlay(one, seen.cells, upsampling=options.upsampling) for one in maps])
    return picture_grid(rows, [caption for caption, _ in columns], _CELL)


def _known(images: Sequence[ExplainedImage], canvases: Sequence[SourceCanvas], names: Sequence[str]) -> Sheet:
    """Draw the outlined parts of every set of maps and of the masks; an image that has none is shown as it is."""
    captions = list(dict.fromkeys(one.caption for image in images for one in image.known))
    rows = []
    for image, canvas in zip(images, canvases, strict=True):
        known = {one.caption: one for one in image.known}
        rows.append([canvas.outline_parts(known[one], names) if one in known else canvas.picture for one in captions])
    return titled(picture_grid(rows, captions, _CELL), "parts")


def _parts(runs: Sequence[ExplainedRun], images: Sequence[ExplainedImage], wanted: Sequence[str]) -> list[str]:
    """Return the parts that are columns."""
    guided = [head.part for run in runs for head in run.heads if head.part is not None]
    known = [name for image in images if image.reference is not None for name in image.reference.names]
    there = list(dict.fromkeys([*guided, *known]))
    for part in wanted:
        if part not in there:
            raise ConfigError(f"no part '{part}'; parts: {', '.join(there) or 'none'}{nearest(part, there)}")
    if not there:
        raise EvaluationError(
            "figure parts: no run guides a head, and no parts of these images are known; give --store, and --maps "
            "unless it has masks, or show --figure heads"
        )
    return list(wanted) or list(dict.fromkeys(guided or known))


def _head_of_part(
    run: ExplainedRun, part: str, images: Sequence[ExplainedImage], looks: Sequence[Look]
) -> tuple[str, Head]:
    """Return the head guided to a part, else the one of the best mean IoU with it, as MeDINO shows unguided models."""
    guided = next((head for head in run.heads if head.part == part), None)
    if guided is not None:
        return guided.caption, guided
    overlaps = []
    for image, seen in zip(images, looks, strict=True):
        known = None if image.reference is None else image.reference.part(part)
        if known is None or not bool((known > 0.5).any()):
            continue
        heads = seen.attention
        overlaps.append(mass_overlap(heads, (known > 0.5).expand(len(heads), -1, -1)))
    if not overlaps:
        raise EvaluationError(
            f"{run.path}: no head is guided to '{part}', and where it lies in these images is not known, so that the "
            "head closest to it cannot be chosen; give --store, and --maps unless it has masks"
        )
    best = run.heads[int(torch.stack(overlaps).nanmean(0).argmax())]
    return f"{part.replace('_', ' ')} (best: head {best.number})", best
