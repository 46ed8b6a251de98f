"""`vesalius guide`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app, console
from vesalius.cli.arguments import read_parts

__all__ = ["guide"]


@app.command()
def guide(
    store: Annotated[Path, typer.Argument(help="Store whose images get knowledge maps.")],
    template: Annotated[str, typer.Option(help="triangular, deformable or atlas.")] = "deformable",
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default STORE/maps/TEMPLATE.")] = None,
    exemplar: Annotated[list[Path] | None, typer.Option(help="Labelled image; repeatable.")] = None,
    mask: Annotated[list[Path] | None, typer.Option(help="Its label map, in the order of the exemplars.")] = None,
    parts: Annotated[str, typer.Option(help="Values of the label map: left_lung=1,right_lung=2,heart=3.")] = "",
    atlas: Annotated[Path | None, typer.Option(help="Maps of another store whose atlas is to be used.")] = None,
    backend: Annotated[str, typer.Option(help="batched or elastix.")] = "batched",
    combine: Annotated[str, typer.Option(help="Of several exemplars: best or vote.")] = "best",
    map_size: Annotated[int, typer.Option(help="Side of the maps, pixels.")] = 64,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one a core.")] = None,
    engine: Annotated[str, typer.Option(help="local, ray, or dask://host:port.")] = "local",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; the batched backend's.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Go on with what an interrupted run left.")] = True,
) -> None:
    """Make knowledge maps: where the parts of the anatomy are in every image of a store."""
    from vesalius import pipeline
    from vesalius.guidance.summary import summary_table

    made = pipeline.guide(
        store,
        template=template,
        out=out,
        exemplars=list(exemplar or []),
        masks=list(mask or []),
        parts=read_parts(parts),
        atlas=atlas,
        backend=backend,
        combine=combine,
        map_size=map_size,
        workers=workers,
        engine=engine,
        device=device,
        resume=resume,
    )
    console().print(summary_table(made))
    typer.echo(f"maps: {made.path}")
