"""`vesalius evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesalius.cli.app import app, console
from vesalius.cli.arguments import options_given, read_shares

__all__ = ["evaluate"]

_ALL = ("image_size", "batch_size", "device", "precision", "bootstrap", "seed")
_DRAWS = ("protocol", "folds", "fractions", "seeds", "random_inits")
_OF_LABELS = {
    "knn": (*_ALL, *_DRAWS, "test_data", "features", "k"),
    "linear": (*_ALL, *_DRAWS, "test_data", "features", "solver"),
    "finetune": (*_ALL, *_DRAWS, "test_data", "search", "overrides", "keep_networks"),
}
_OF_MASKS = {
    "segment": (*_ALL, *_DRAWS, "decoder", "search", "overrides", "keep_networks"),
    "detect": ("device", "precision", "bootstrap", "seed", "fractions", "seeds", "overrides"),
    "attention": (*_ALL, "maps", "upsampling"),
    "coordinates": (*_ALL, "maps"),
    "regions": (*_ALL, "clusters", "prior", "stage"),
}


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Option(help="Labelled store; for detect a folder in COCO's format.")],
    label: Annotated[
        str,
        typer.Option(help="Label to predict; several binary ones, or parts of the masks, as a,b,c."),
    ] = "",
    task: Annotated[
        str, typer.Option(help="knn, linear, finetune, segment, detect, attention, coordinates, regions.")
    ] = "knn",
    maps: Annotated[Path | None, typer.Option(help="Knowledge maps of the store, scored beside the attention.")] = None,
    upsampling: Annotated[str, typer.Option(help="Of attention maps: bilinear or nearest.")] = "bilinear",
    test_data: Annotated[
        Path | None, typer.Option(help="Score on this store instead of the other's test side.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="auto, split or folds (by patient).")] = "auto",
    folds: Annotated[int, typer.Option(help="How many folds.")] = 5,
    k: Annotated[int, typer.Option(help="Neighbours.")] = 20,
    fractions: Annotated[
        str,
        typer.Option(help="Amounts of training labels by commas: shares of the patients up to 1, or counts of images."),
    ] = "",
    seeds: Annotated[
        int | None, typer.Option(help="Draws of the labels at each amount; by default 3, for detect 1.")
    ] = None,
    random_inits: Annotated[
        int | None, typer.Option(help="Untrained twins to compare with; by default 2, for segment 1.")
    ] = None,
    features: Annotated[str, typer.Option(help="auto, or of cls, mean, heads, grid joined by +.")] = "auto",
    solver: Annotated[str, typer.Option(help="Linear probe: lbfgs (L2, chosen inside) or sgd (100 epochs).")] = "lbfgs",
    decoder: Annotated[
        str, typer.Option(help="segment: linear (frozen), or fpn, unet, deeplabv3, fcn, trained with the backbone.")
    ] = "linear",
    search: Annotated[str, typer.Option(help="finetune, segment: lr tries a grid of learning rates.")] = "",
    overrides: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="finetune, segment, detect: an option of it; repeatable."),
    ] = [],  # noqa: B006 (typer copies it)
    keep_networks: Annotated[
        bool, typer.Option("--keep-networks", help="finetune, segment: leave the trained networks in the run.")
    ] = False,
    clusters: Annotated[int, typer.Option(help="regions: how many an image.")] = 8,
    prior: Annotated[str, typer.Option(help="regions: the store's maps whose regions are joined.")] = "slic",
    stage: Annotated[int, typer.Option(help="regions: of the backbone, whose features join them.")] = -2,
    image_size: Annotated[int | None, typer.Option(help="Side of the input; by default the weights' own.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images at a time; by default the task's own.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    bootstrap: Annotated[
        int | None, typer.Option(help="Resamples of the patients, 1000; of detect of the images, 200.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of label draws, folds, twins and resamples.")] = 0,
) -> None:
    """Score the backbone, frozen or fine-tuned, beside random init, raw pixels and chance."""
    given = _given(task, locals())
    from vesalius import pipeline
    from vesalius.evaluation.score_table import score_table

    if "fractions" in given:
        given["fractions"] = read_shares(fractions)
    if task == "detect":
        if label:
            raise typer.BadParameter("--task detect takes all classes of the tables: leave --label out")
        results = (pipeline.evaluate_detect(run, data=data, **given),)
    elif task in _OF_MASKS:
        parts = [part for part in label.split(",") if part]
        results = getattr(pipeline, f"evaluate_{task}")(run, data=data, parts=parts, **given)
    else:
        if not label:
            raise typer.BadParameter(f"--task {task} needs the --label to predict")
        results = (pipeline.evaluate(run, data=data, task=task, label=label, **given),)
    for one in results:
        console().print(score_table(one))
        typer.echo(one.verdict)


def _given(task: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are not as by default; one that the task does not know is refused, not left out."""
    tasks = _OF_LABELS | _OF_MASKS
    if task not in tasks:
        raise typer.BadParameter(f"no task '{task}'; use {', '.join(tasks)}")
    aside = ("run", "data", "label", "task")
    given = options_given(
        evaluate, values, known=(*aside, *tasks[task]), of=f"--task {task}", flags={"overrides": "set"}
    )
    return {name: value for name, value in given.items() if name not in aside}
