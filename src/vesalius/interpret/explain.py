"""Where a run looks in single images: overlays of every head at the file's resolution, a sheet, and a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.atomic import replacing
from vesalius.data.source_image import SourceImage
from vesalius.errors import ConfigError
from vesalius.interpret.attention_maps import mass_mask
from vesalius.interpret.explained_image import ExplainedImage, ImageReader
from vesalius.interpret.explained_run import ExplainedRun, Look, look
from vesalius.interpret.explanation_formats import Looked, write_format
from vesalius.interpret.explanation_record import already_made, write_record
from vesalius.interpret.guided_heads import Head, Joined
from vesalius.interpret.pictures import Picture, Sheet, legend, picture_grid, save_png, stacked
from vesalius.interpret.source_canvas import SourceCanvas
from vesalius.version import __version__

__all__ = ["RECORD", "ExplainOptions", "explain_images", "image_plan", "look_with", "most_attended", "run_plan"]

RECORD = "explanation.json"
ARRAYS = "attention.npz"
"""The maps themselves over the patch grid, by the names of their pictures, and `cells` (see `Look`)."""

_CELL = 256
_A_ROW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What shapes the pictures.

    Attributes:
        image_size: Side of the input in pixels; by default the weights' own.
        upsampling: `bilinear` or `nearest`, from the patch grid to pixels.
        device: `auto`, `cpu`, `cuda` or `mps`.
        overwrite: Replace what was made otherwise.
        joined: All heads in one map, too: `average`, `rollout`.
        mass: Show only the most attended patches that hold this share of a map's attention; all by default.
        formats: What is written beside the pictures, of `FORMATS`.
    """

    image_size: int | None = None
    upsampling: str = "bilinear"
    device: str = "auto"
    overwrite: bool = False
    joined: tuple[Joined, ...] = ()
    mass: float | None = None
    formats: tuple[str, ...] = ()


def explain_images(
    run: ExplainedRun,
    files: Sequence[Path],
    reader: ImageReader,
    out: Path,
    *,
    heads: Sequence[Head],
    options: ExplainOptions,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Path, ...]:
    """Write a folder an image: an overlay a head, the outlined parts of each set of maps, a sheet, a record.

    Args:
        run: Whose attention (Caron et al. 2021, arXiv 2104.14294; Miao 2022 for guided heads).
        files: The images.
        reader: How they are read.
        out: Where the folders are made; each has the name of its file.
        heads: Which are drawn.
        options: What else shapes the pictures.
        advance: Told how many images are done.

    Returns:
        The folders, in the order of the files. Folders that hold the same explanation are left as they are.

    Raises:
        ConfigError: Two files of one name.
        UnreadableImageError: A file that is no image.
        RunError: A folder holds another explanation.
    """
    folders = [out / _folder_name(file, reader.frame) for file in files]
    for file, folder in zip(files, folders, strict=True):
        if folders.count(folder) > 1:
            raise ConfigError(f"{file}: several images would be explained in {folder}; give them one by one an --out")
    for file, folder in zip(files, folders, strict=True):
        image = reader.read(file)
        plan = run_plan(run, options) | image_plan(image, reader) | {"heads": [head.number for head in heads]}
        plan |= {"joined": [one.how for one in options.joined], "formats": list(options.formats)}
        if not already_made(folder / RECORD, plan, overwrite=options.overwrite):
            shown: list[Head | Joined] = [*heads, *options.joined]
            looked = Looked(run, file, reader, image, look_with(run, image, options), tuple(shown))
            _write(folder, looked, options=options, plan=plan)
        advance(1)
    return tuple(folders)


def look_with(run: ExplainedRun, image: ExplainedImage, options: ExplainOptions) -> Look:
    """Look at an image as the options say."""
    rollout = any(one.how == "rollout" for one in options.joined)
    return look(run, image.source, rollout=rollout, image_size=options.image_size, device=options.device)


def run_plan(run: ExplainedRun, options: ExplainOptions) -> dict[str, Any]:
    """Tell for a record which run looked, and how."""
    size = run.backbone.preprocessing.image_size if options.image_size is None else (options.image_size,) * 2
    return {
        "vesalius": __version__,
        "run": {"name": run.name, "recipe": run.recipe.name, "backbone": run.backbone.name, "weights": run.weights},
        "image_size": list(size),
        "patch_size": run.backbone.patch_size if run.backbone.attention_heads else None,
        "attention_of": run.whose_row,
        "upsampling": options.upsampling,
    } | ({} if options.mass is None else {"mass": options.mass})


def image_plan(image: ExplainedImage, reader: ImageReader) -> dict[str, Any]:
    """Tell for a record which image was looked at, and how it was read."""
    source, store = image.source, reader.store
    place = source.placement
    return {
        "image": {
            "name": source.name,
            "sha256": source.sha256,
            "frame": source.frame,
            "rows": source.shape[0],
            "columns": source.shape[1],
        },
        "geometry": {
            "store": None if store is None else {"name": store.path.name, "fingerprint": store.fingerprint},
            "size": source.square.shape[0],
            "fit": reader.options.fit,
            "scale_x": place.scale_x,
            "scale_y": place.scale_y,
            "offset_x": place.offset_x,
            "offset_y": place.offset_y,
            "window": [source.window.low, source.window.high],
            "window_source": source.window.source,
        },
        "maps": [{"name": one.caption, "digest": one.digest, "guided": one.guided} for one in image.maps],
    }


def _folder_name(file: Path, frame: int | None) -> str:
    stem = file.name.removesuffix(".gz")
    stem = Path(stem).stem or stem
    return stem if frame is None else f"{stem}_frame_{frame}"


def _write(folder: Path, looked: Looked, *, options: ExplainOptions, plan: dict[str, Any]) -> None:
    image, seen = looked.image, looked.seen
    canvas = SourceCanvas(image.source)
    pictures, about = [], []
    for one in looked.shown:
        attention = seen.map_of(one)
        drawn = canvas.overlay(most_attended(attention, options.mass), seen.cells, upsampling=options.upsampling)
        pictures.append(f"{one.file_stem}.png")
        save_png(drawn, folder / pictures[-1])
        which = {"head": one.number, "part": one.part} if isinstance(one, Head) else {"joined": one.how}
        about.append({**which, "picture": pictures[-1], **_where(attention, seen.cells, image.source)})
    for maps in image.maps:
        pictures.append(f"maps_{maps.caption}.png")
        save_png(canvas.outline_parts(maps, image.names), folder / pictures[-1])
    pictures.append("sheet.png")
    sheet = _sheet(image, seen, looked.shown, options)
    save_png(sheet, folder / "sheet.png")
    arrays: dict[str, Any] = {one.file_stem: seen.map_of(one).numpy().astype(np.float32) for one in looked.shown}
    with replacing(folder / ARRAYS) as file, file.open("wb") as handle:
        np.savez(handle, cells=np.array(seen.cells), **arrays)
    pictures.append(ARRAYS)
    for name in options.formats:
        pictures += write_format(name, folder, looked, sheet, mass=options.mass)
    write_record(folder / RECORD, plan, attention=about, pictures=pictures)


def most_attended(attention: Float[Tensor, "rows columns"], mass: float | None) -> Float[Tensor, "rows columns"]:
    """Leave of a map the patches that hold `mass` of it (`mass_mask`), nothing elsewhere; all of it where None."""
    if mass is None:
        return attention
    return attention * mass_mask(attention.flatten(), mass=mass).reshape(attention.shape)


def _sheet(image: ExplainedImage, seen: Look, heads: Sequence[Head | Joined], options: ExplainOptions) -> Sheet:
    """Draw the image, its maps and every head, each guided head with the outline of the part it was guided to."""
    canvas = SourceCanvas(image.source, longest=_CELL)
    shown: list[tuple[str, Picture]] = [("image", canvas.picture)]
    for maps in image.maps:
        caption = f"maps: {maps.caption}" if maps.guided else f"maps: {maps.caption} (unguided)"
        shown.append((caption, canvas.outline_parts(maps, image.names)))
    for head in heads:
        attention = most_attended(seen.map_of(head), options.mass)
        drawn = canvas.overlay(attention, seen.cells, upsampling=options.upsampling)
        if isinstance(head, Head) and head.part is not None and image.maps:
            drawn = canvas.outline_part(drawn, image.maps[0], head.part, image.names)
        shown.append((head.caption, drawn))
    rows = -(-len(shown) // _A_ROW)
    across = -(-len(shown) // rows)
    parts = [shown[start : start + across] for start in range(0, len(shown), across)]
    grids = [picture_grid([[p for _, p in part]], [caption for caption, _ in part], _CELL) for part in parts]
    return stacked([*grids, legend(image.names if image.maps else ())])


def _where(attention: Float[Tensor, "rows columns"], cells: tuple[float, float], source: SourceImage) -> dict[str, Any]:
    """Tell the most attended patch, by its centre in the file's pixels, and how much falls beside the image."""
    rows, columns = attention.shape
    place, size = source.placement, source.square.shape[0]
    x = place.offset_x + place.scale_x * size * (torch.arange(columns, dtype=torch.float64) + 0.5) / cells[1]
    y = place.offset_y + place.scale_y * size * (torch.arange(rows, dtype=torch.float64) + 0.5) / cells[0]
    inside = ((y > 0) & (y < source.shape[0]))[:, None] & ((x > 0) & (x < source.shape[1]))[None, :]
    row, column = divmod(int(attention.argmax()), columns)
    return {
        "peak_x": round(float(x[column]), 2),
        "peak_y": round(float(y[row]), 2),
        "peak_share": round(float(attention.max()), 6),
        "share_beside_the_image": round(float(attention[~inside].sum()), 6),
    }
