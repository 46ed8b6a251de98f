"""`vesalius explain` and `vesalius report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app
from vesalius.cli.arguments import options_given, read_numbers, read_window

__all__ = ["explain", "report"]

_BOTH = ("run", "out", "store", "part", "compare", "device", "overwrite")
_OF_CASES = (*_BOTH, "cases", "klass", "arm", "method", "layer", "region", "box", "pixel", "trust_images", "seed")
_OF_IMAGES = (
    *_BOTH, "images", "maps", "head", "figure", "average", "rollout", "mass", "to", "image_size", "upsampling",
    "fit", "window", "frame", "axis", "volume", "key",
)  # fmt: skip
_OF_DISTANCE = ("run", "images", "figure", "out", "store", "compare", "count", "image_size", "device", "overwrite")
_FLAGS = {"klass": "class"}
_PLURALS = {"to": "formats", "head": "heads", "part": "parts", "arm": "arms", "klass": "classes"}


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Images: any files that `prepare` reads.")] = None,
    cases: Annotated[
        str | None,
        typer.Option(help="In place of images: an evaluation that kept networks; its best and worst cases."),
    ] = None,
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
    average: Annotated[bool, typer.Option("--average", help="Also the average of all heads (figure: alone).")] = False,
    rollout: Annotated[
        bool,
        typer.Option("--rollout", help="Also the attention of all blocks, rolled out (figure: alone)."),
    ] = False,
    mass: Annotated[
        float | None, typer.Option(help="Show the most attended patches that hold this share, such as 0.5.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="Beside the pictures: nifti, dicom-seg, dicom-sc or geojson; repeatable.")
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
    klass: Annotated[
        list[str] | None, typer.Option("--class", help="cases: class to explain; by default the predicted one.")
    ] = None,
    arm: Annotated[list[str] | None, typer.Option(help="cases: pretrained (default), random_init; repeatable.")] = None,
    method: Annotated[
        str, typer.Option(help="cases: grad-cam, grad-cam++, layer-cam, hires-cam, ..., attention; auto: by the task.")
    ] = "auto",
    layer: Annotated[str | None, typer.Option(help="cases: of the backbone; by default its last with places.")] = None,
    region: Annotated[str, typer.Option(help="cases of a segmentation: class, box, component or pixel.")] = "class",
    box: Annotated[str | None, typer.Option(metavar="R,C,R,C", help="cases: first and last pixel of a box.")] = None,
    pixel: Annotated[str | None, typer.Option(metavar="R,C", help="cases: a pixel, or one of a component.")] = None,
    trust_images: Annotated[int, typer.Option(min=0, help="cases: images that the maps are measured on.")] = 24,
    seed: Annotated[int, typer.Option(help="cases: of their draw.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an explanation made otherwise.")] = False,
) -> None:
    """Show where a run looks in single images, or what speaks for the answers of the networks that it became."""
    from vesalius import pipeline

    if cases is not None and images:
        raise typer.BadParameter("--cases chooses its images itself: name none")
    asked = "--cases" if cases is not None else "--figure distance" if figure == "distance" else "without --cases"
    known = {"--cases": _OF_CASES, "--figure distance": _OF_DISTANCE}.get(asked, _OF_IMAGES)
    given = options_given(explain, locals(), known=known, of=f"explain {asked}", flags=_FLAGS)
    given = {_PLURALS.get(name, name): value for name, value in given.items()}
    if cases is not None:
        if store is None:
            raise typer.BadParameter("--cases needs the --store that was scored")
        for name, many in (("box", 4), ("pixel", 2)):
            if name in given:
                given[name] = read_numbers(given[name], f"--{name}", many)
        del given["run"], given["cases"]
        typer.echo(f"cases: {pipeline.explain_cases(run, cases, **given)}")
        return
    if "window" in given:
        given["window"] = read_window(window)
    for path in pipeline.explain(**given):
        typer.echo(f"explanation: {path}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    data: Annotated[list[Path] | None, typer.Option(help="Stores the pictures come from, if they moved.")] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also a PDF beside the page.")] = False,
    model_card: Annotated[
        bool, typer.Option("--model-card", help="Also a model card beside the weights: RUN/backbone/README.md.")
    ] = False,
) -> None:
    """Write one self-contained page about one or several runs."""
    from vesalius import pipeline

    page = pipeline.report(list(runs), out, data=list(data or []), pdf=pdf, model_card=model_card)
    typer.echo(f"report: {page}")
    if pdf:
        typer.echo(f"pdf: {page.with_suffix('.pdf')}")
    for run in dict.fromkeys(runs) if model_card else ():
        typer.echo(f"model card: {run / 'backbone' / 'README.md'}")
