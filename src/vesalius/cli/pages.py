"""`vesalius explain` and `vesalius report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app
from vesalius.cli.arguments import read_window

__all__ = ["explain", "report"]


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Images: any files that `prepare` reads.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write into; by default RUN/explanations.")] = None,
    store: Annotated[Path | None, typer.Option(help="Store whose geometry, window, masks and maps are used.")] = None,
    maps: Annotated[
        list[str] | None, typer.Option(help="Knowledge maps of the store to show; by default the run's own.")
    ] = None,
    head: Annotated[list[int] | None, typer.Option(help="Only this head, from 0 as in the recipe; repeatable.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Only the head of this part; repeatable.")] = None,
    figure: Annotated[
        str | None,
        typer.Option(help="One picture: templates, parts or heads of these images; distance, of many of the store."),
    ] = None,
    compare: Annotated[list[Path] | None, typer.Option(help="Another run beside, in a figure; repeatable.")] = None,
    average: Annotated[bool, typer.Option("--average", help="Also the average of all heads.")] = False,
    rollout: Annotated[
        bool, typer.Option("--rollout", help="Also the attention rolled out through all blocks.")
    ] = False,
    mass: Annotated[
        float | None, typer.Option(help="Show the most attended patches that hold this share, such as 0.5.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images of the store in the figure distance.")] = 512,
    image_size: Annotated[int | None, typer.Option(help="Side of the input; by default the weights' own.")] = None,
    upsampling: Annotated[str, typer.Option(help="Of attention maps: bilinear or nearest.")] = "bilinear",
    fit: Annotated[str, typer.Option(help="Without --store, images not square: pad, crop[:SHARE] or squash.")] = "pad",
    window: Annotated[str, typer.Option(help="Without --store, as in `prepare`.")] = "auto",
    frame: Annotated[int | None, typer.Option(help="Frame or slice; by default the middle one.")] = None,
    axis: Annotated[str, typer.Option(help="Of NIfTI volumes: axial, coronal, sagittal, 0, 1 or 2.")] = "axial",
    volume: Annotated[int, typer.Option(help="Of 4-D NIfTI files.")] = 0,
    key: Annotated[str | None, typer.Option(help="Array to read in HDF5 and NPZ files.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an explanation made otherwise.")] = False,
) -> None:
    """Show where every head of a run looks in single images, at the resolution of their files."""
    from vesalius import pipeline

    written = pipeline.explain(
        run,
        images or [],
        out=out,
        store=store,
        maps=list(maps or []),
        heads=list(head or []),
        parts=list(part or []),
        figure=figure,
        compare=list(compare or []),
        average=average,
        rollout=rollout,
        mass=mass,
        count=count,
        image_size=image_size,
        upsampling=upsampling,
        fit=fit,
        window=read_window(window),
        frame=frame,
        axis=axis,
        volume=volume,
        key=key,
        device=device,
        overwrite=overwrite,
    )
    for path in written:
        typer.echo(f"explanation: {path}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    data: Annotated[list[Path] | None, typer.Option(help="Stores the pictures come from, if they moved.")] = None,
) -> None:
    """Write one self-contained page about one or several runs."""
    from vesalius import pipeline

    typer.echo(f"report: {pipeline.report(list(runs), out, data=list(data or []))}")
