"""`vesalius pretrain`, `vesalius recipes` and `vesalius demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app, console
from vesalius.cli.arguments import Overrides, Stores

__all__ = ["demo", "pretrain", "recipes"]


@app.command()
def pretrain(
    data: Stores,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    recipe: Annotated[
        str | None,
        typer.Argument(help="Shipped recipe (see `vesalius recipes`) or YAML file; by default anatomy/contrast-small."),
    ] = None,
    maps: Annotated[
        list[Path] | None, typer.Option(help="Knowledge maps, one folder a store; by default each store's own.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    budget_minutes: Annotated[
        float | None, typer.Option(help="Train this long instead of the recipe's epochs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Pretrain a backbone on unlabelled images."""
    from vesalius import pipeline

    run = pipeline.pretrain(
        recipe,
        data=data,
        out=out,
        maps=list(maps or []),
        overrides=overrides,
        budget_minutes=budget_minutes,
        resume=resume,
        console=console(),
    )
    typer.echo(f"run: {run}")


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from vesalius.training.recipe import available_recipes, load_recipe

    for name in available_recipes():
        typer.echo(f"{name:28} {load_recipe(name).about}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    images: Annotated[int, typer.Option(help="Phantom radiographs to render.")] = 2000,
    minutes: Annotated[float, typer.Option(help="Training budget.")] = 4.2,
    seed: Annotated[int, typer.Option(help="Of phantom and training.")] = 0,
) -> None:
    """Run the whole main job on the built-in phantom: prepare, pretrain, evaluate, report."""
    from vesalius.demo import run_demo

    for line in run_demo(out, images=images, budget_minutes=minutes, seed=seed, console=console()):
        typer.echo(line)
