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
    template: Annotated[
        str, typer.Option(help="triangular, deformable, atlas, average, predicted, slic.")
    ] = "deformable",
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default STORE/maps/TEMPLATE.")] = None,
    exemplar: Annotated[list[Path] | None, typer.Option(help="Image to register to all; repeatable.")] = None,
    mask: Annotated[
        list[Path] | None, typer.Option(help="Its label map, in the order of the exemplars; none: places alone.")
    ] = None,
    parts: Annotated[str, typer.Option(help="Values of the label map: left_lung=1,heart=3; average: names.")] = "",
    atlas: Annotated[Path | None, typer.Option(help="Maps of another store whose atlas is to be used.")] = None,
    backend: Annotated[str, typer.Option(help="batched or elastix.")] = "batched",
    combine: Annotated[str, typer.Option(help="Of several exemplars: best or vote.")] = "best",
    train_on: Annotated[
        str | None, typer.Option(metavar="STORE[@SPLITS]", help="average: masks to learn from.")
    ] = None,
    segmenter: Annotated[str | None, typer.Option(help="deeplabv3_resnet101, _resnet50 or smp:unet:resnet18.")] = None,
    segmenter_size: Annotated[int | None, typer.Option(help="Side of its input, px; by default up to 128.")] = None,
    segmenter_epochs: Annotated[int | None, typer.Option(help="Passes over the labelled images.")] = None,
    segmenter_pretrained: Annotated[bool, typer.Option(help="Download ImageNet weights to begin with.")] = False,
    segmenter_weights: Annotated[
        Path | None, typer.Option(help="Folder of a trained one, in place of --train-on.")
    ] = None,
    map_size: Annotated[int | None, typer.Option(help="Side of the maps, pixels; 64, of slic up to 224.")] = None,
    segments: Annotated[int | None, typer.Option(help="slic: superpixels an image; about 100.")] = None,
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
        train_on=train_on,
        segmenter_weights=segmenter_weights,
        segmenter={
            key: value
            for key, value in {
                "architecture": segmenter,
                "size": segmenter_size,
                "epochs": segmenter_epochs,
                "pretrained": segmenter_pretrained or None,
            }.items()
            if value is not None
        },
        map_size=map_size,
        segments=segments,
        workers=workers,
        engine=engine,
        device=device,
        resume=resume,
    )
    console().print(summary_table(made))
    typer.echo(f"maps: {made.path}")
