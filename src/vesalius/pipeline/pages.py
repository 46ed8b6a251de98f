"""From runs to what a reader sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import ConfigError
from vesalius.pipeline.stores import open_store

if TYPE_CHECKING:
    from vesalius.data.store import Store
    from vesalius.interpret.explain import ExplainOptions
    from vesalius.interpret.explained_image import ImageReader
    from vesalius.interpret.explained_run import ExplainedRun

__all__ = ["explain", "report"]

_LEAST_SIDE = 256  # of the square that a file is brought to where no store says it, as in `prepare`


def report(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    data: Sequence[str | Path] = (),
    pdf: bool = False,
    model_card: bool = False,
) -> Path:
    """Write one self-contained page about one or several runs.

    Args:
        runs: Run folders, compared side by side.
        out: The HTML page; a folder gets `report.html` in it.
        data: Stores that are not beside the runs any more; needed for neighbours and data sheets.
        pdf: Also write the page as a PDF beside it: `report.pdf` beside `report.html`.
        model_card: Also write a model card beside the weights of every run, `RUN/backbone/README.md`.

    Returns:
        The HTML page.

    Raises:
        ConfigError: A PDF is asked for, and WeasyPrint or Pango is not installed.
        RunError: A folder is no run or has no backbone, the page cannot be written, or a card was changed by hand.
        StoreError: A folder in `data` is no store.
    """
    from vesalius.report.page import report as write_report

    folders, given = [Path(run) for run in runs], [Path(store) for store in data]
    return write_report(folders, Path(out), data=given, pdf=pdf, model_card=model_card)


def explain(
    run: str | Path,
    images: Sequence[str | Path] = (),
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    maps: Sequence[str | Path] = (),
    heads: Sequence[int] = (),
    parts: Sequence[str] = (),
    figure: str | None = None,
    compare: Sequence[str | Path] = (),
    average: bool = False,
    rollout: bool = False,
    mass: float | None = None,
    formats: Sequence[str] = (),
    count: int = 512,
    image_size: int | None = None,
    upsampling: str = "bilinear",
    fit: str = "pad",
    window: str | tuple[float, float] = "auto",
    frame: int | None = None,
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[Path, ...]:
    """Show where a run's backbone looks in single images, at the resolution of their files.

    Args:
        run: The run folder.
        images: Files that `prepare` reads; none for the figure `distance`, which draws `count` of the store.
        out: Folder to write into, a folder an image; by default `RUN/explanations`.
        store: Store whose geometry and window the files are read in; images that it holds are found by their content,
            and their masks and maps are known.
        maps: Knowledge maps of the store, by name or folder; by default those that the run was guided by, where the
            store has them.
        heads: Which heads, by number as in the recipe; by default all.
        parts: Which heads, by the part they were guided to.
        figure: `templates`, `parts` or `heads`: one picture of all images, `figure_<name>.png`, in place of folders.
            `distance`: how far every head of every block looks, over many images of the store, with a table.
        compare: Further runs for a figure, a group of columns each.
        average: Also show the average of all heads.
        rollout: Also show the attention rolled out through all blocks (ViTs).
        mass: Show only the most attended patches that hold this share of a map, such as 0.5.
        formats: Written beside the pictures: `nifti`, `dicom-seg`, `dicom-sc`, `geojson`.
        count: Images of the store in the figure `distance`.
        image_size: Side of the input in pixels; by default the weights' own. Larger inputs have finer maps.
        upsampling: `bilinear` or `nearest`, from the patch grid to pixels.
        fit: As in `prepare`; this and the next ones where no store says them.
        window: As in `prepare`.
        axis: Of NIfTI volumes.
        volume: Of 4-D NIfTI files.
        key: Array of HDF5 and NPZ files.
        frame: Frame or slice of every file; by default the middle one.
        device: `auto`, `cpu`, `cuda` or `mps`.
        overwrite: Replace an explanation made otherwise; the same one is left as it is.
        progress: Show a bar.

    Returns:
        The folders, one an image; of a figure the picture.

    Raises:
        RunError: No run, no backbone, or a folder that holds another explanation.
        BackboneError: A backbone without attention, or one whose tokens are merged and that has no rollout.
        ConfigError, EvaluationError, KnowledgeError, StoreError, UnreadableImageError: See their descriptions.
    """
    from vesalius.interpret.explain import ExplainOptions, explain_images
    from vesalius.interpret.explain_figures import draw_figure
    from vesalius.interpret.explained_run import open_run
    from vesalius.interpret.explanation_formats import check_formats
    from vesalius.interpret.guided_heads import Joined, choose_heads
    from vesalius.interpret.run_names import run_names
    from vesalius.interpret.source_canvas import check_upsampling
    from vesalius.progress import bar

    check_upsampling(upsampling)
    check_formats(formats, [Path(one) for one in images])
    if mass is not None and not 0 < mass <= 1:
        raise ConfigError(f"mass = {mass}: a share of the attention is above 0 and at most 1, such as 0.5")
    if not images and figure != "distance":
        raise ConfigError("explain needs at least one image, got none")
    if compare and figure is None:
        raise ConfigError("runs are compared in a figure; say --figure parts, heads or distance")
    if formats and figure is not None:
        raise ConfigError("formats are of single images; leave --figure out, or --to")
    paths = [Path(one) for one in (run, *compare)]
    opened, *others = (open_run(path, name=name) for path, name in zip(paths, run_names(paths), strict=True))
    files, folder = [Path(one) for one in images], opened.path / "explanations" if out is None else Path(out)
    wanted = ((average, Joined(how="average")), (rollout, Joined(how="rollout")))
    joined = tuple(one for asked, one in wanted if asked)
    looks: dict[str, Any] = {"image_size": image_size, "upsampling": upsampling, "mass": mass, "joined": joined}
    options = ExplainOptions(**looks, formats=tuple(formats), device=device, overwrite=overwrite)
    if figure == "distance":
        if store is None or files:
            raise ConfigError("figure distance draws its images from a store: name it by --store, and no image")
        return (_draw_distances([opened, *others], open_store(store), folder, count, options, progress=progress),)
    if store is None and maps:
        raise ConfigError("maps are of a store's images; name it by --store")
    if store is None:
        said: dict[str, Any] = {"axis": axis, "volume": volume, "key": key}
        reader = _reader_alone(opened, said, frame=frame, image_size=image_size, fit=fit, window=window)
    else:
        reader = _reader_of(open_store(store), opened, maps, frame=frame)
    if figure is not None:
        runs = [opened, *others]
        return (draw_figure(figure, runs, files, reader, folder, numbers=heads, parts=parts, options=options),)
    chosen = choose_heads(opened.heads, numbers=heads, parts=parts)
    with bar("images", len(files), show=progress) as advance:
        return explain_images(opened, files, reader, folder, heads=chosen, options=options, advance=advance)


def _draw_distances(
    runs: Sequence[ExplainedRun], store: Store, out: Path, count: int, options: ExplainOptions, *, progress: bool
) -> Path:
    from vesalius.interpret.distance_figure import draw_distances
    from vesalius.progress import bar

    with bar("images", len(runs) * min(count, len(store)), show=progress) as advance:
        return draw_distances(runs, store, out, images=count, options=options, advance=advance)


def _reader_alone(
    run: ExplainedRun, reader: dict[str, Any], *, frame: int | None, image_size: int | None, **how: Any
) -> ImageReader:
    """Read files as `prepare` would by its defaults."""
    from vesalius.data.prepare_worker import DecodeOptions
    from vesalius.interpret.explained_image import ImageReader

    channels, side = run.backbone.preprocessing.in_chans, max(image_size or 0, _LEAST_SIDE)
    options = DecodeOptions(size=side, bits=8, channels=channels, frames="middle", **how)
    return ImageReader(options=options, reader=reader, frame=frame)


def _reader_of(store: Store, run: ExplainedRun, maps: Sequence[str | Path], *, frame: int | None) -> ImageReader:
    """Read files as the store's images were read, and know what the store knows of them."""
    from vesalius.data.knowledge_maps import find_maps
    from vesalius.data.source_image import decode_options, reader_options
    from vesalius.interpret.explained_image import ImageReader

    found = [find_maps(store, one) for one in maps]
    guidance = run.recipe.guidance
    if not maps and guidance is not None and (store.path / "maps" / guidance.maps / "maps.json").is_file():
        found = [one for one in (find_maps(store, guidance.maps),) if one.names.names]
    return ImageReader(
        options=decode_options(store),
        reader=reader_options(store),
        frame=frame,
        store=store,
        maps=found,
        required=bool(maps),
    )
