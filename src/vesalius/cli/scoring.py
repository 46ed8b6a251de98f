"""`vesalius evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesalius.cli.app import app, console
from vesalius.cli.arguments import read_shares

__all__ = ["evaluate"]


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Option(help="Labelled store.")],
    label: Annotated[
        str,
        typer.Option(help="Label to predict; several binary ones, or parts of the masks, as a,b,c."),
    ] = "",
    task: Annotated[str, typer.Option(help="knn, linear, finetune, segment, attention, coordinates, regions.")] = "knn",
    maps: Annotated[Path | None, typer.Option(help="Knowledge maps of the store, scored beside the attention.")] = None,
    upsampling: Annotated[str, typer.Option(help="Of attention maps: bilinear or nearest.")] = "bilinear",
    test_data: Annotated[
        Path | None, typer.Option(help="Score on this store instead of the other's test side.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="auto, split or folds (by patient).")] = "auto",
    folds: Annotated[int, typer.Option(help="How many folds.")] = 5,
    k: Annotated[int, typer.Option(help="Neighbours.")] = 20,
    fractions: Annotated[
        str, typer.Option(help="Shares of the training labels, by commas; 0.01,0.05,0.1,1, for finetune 1.")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Draws of the labels at each fraction.")] = 3,
    random_inits: Annotated[int, typer.Option(help="Untrained twins to compare with, at least 1.")] = 2,
    features: Annotated[str, typer.Option(help="auto, or of cls, mean, heads, grid joined by +.")] = "auto",
    solver: Annotated[str, typer.Option(help="Linear probe: lbfgs (L2, chosen inside) or sgd (100 epochs).")] = "lbfgs",
    search: Annotated[str, typer.Option(help="finetune: lr tries a grid of learning rates.")] = "",
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="finetune: an option of it; repeatable.")
    ] = [],  # noqa: B006 (typer copies it)
    clusters: Annotated[int, typer.Option(help="regions: how many an image.")] = 8,
    prior: Annotated[str, typer.Option(help="regions: the store's maps whose regions are joined.")] = "slic",
    image_size: Annotated[int | None, typer.Option(help="Side of the input; by default the weights' own.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    bootstrap: Annotated[int, typer.Option(help="Resamples of the patients.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of label draws, folds, twins and resamples.")] = 0,
) -> None:
    """Score the backbone, frozen or fine-tuned, beside random init, raw pixels and chance."""
    from vesalius import pipeline
    from vesalius.evaluation.score_table import score_table

    if task in ("segment", "attention", "coordinates", "regions"):
        parts = [part for part in label.split(",") if part]
        how: dict[str, Any] = {"image_size": image_size, "precision": precision, "bootstrap": bootstrap, "seed": seed}
        how |= {"data": data, "parts": parts, "device": device}
        if task == "attention":
            results = pipeline.evaluate_attention(run, upsampling=upsampling, maps=maps, **how)
        elif task == "coordinates":
            results = pipeline.evaluate_coordinates(run, maps=maps, **how)
        elif task == "segment":
            draws: dict[str, Any] = {"seeds": seeds, "random_inits": random_inits, "folds": folds}
            draws |= {"protocol": protocol, "fractions": read_shares(fractions)}
            results = pipeline.evaluate_segment(run, **draws, **how)
        else:
            results = pipeline.evaluate_regions(run, clusters=clusters, prior=prior, **how)
        for one in results:
            console().print(score_table(one))
            typer.echo(one.verdict)
        return
    if not label:
        raise typer.BadParameter(f"--task {task} needs the --label to predict")
    result = pipeline.evaluate(
        run,
        data=data,
        task=task,
        label=label,
        test_data=test_data,
        protocol=protocol,
        folds=folds,
        k=k,
        fractions=read_shares(fractions),
        seeds=seeds,
        random_inits=random_inits,
        features=features,
        solver=solver,
        image_size=image_size,
        batch_size=batch_size,
        device=device,
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
        search=search,
        overrides=overrides,
    )
    console().print(score_table(result))
    typer.echo(result.verdict)
