"""`vesalius study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app, console
from vesalius.cli.arguments import Overrides, Stores

__all__ = ["study"]


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Shipped study (methods, medino-small) or YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder of the study; the same command goes on with it.")],
    data: Stores = [],  # noqa: B006 (typer copies it)
    masks: Annotated[list[Path] | None, typer.Option(help="Store whose masks are scored by; repeatable.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="STORE=LABEL", help="Store and label of a probe; repeatable.")
    ] = None,
    objects: Annotated[
        list[Path] | None, typer.Option(help="Folder in COCO's format for detection; repeatable.")
    ] = None,
    tasks: Annotated[str, typer.Option(help="Which of the study's tasks, by commas; all by default.")] = "",
    arms: Annotated[str, typer.Option(help="Which arms, by commas; all by default.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Trainings an arm; one by default.")] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    budget_minutes: Annotated[
        float | None, typer.Option(help="Minutes for every arm instead of the recipes' epochs.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Where arms run: local, ray, dask, dask://HOST:PORT.")] = "local",
    jobs: Annotated[int, typer.Option(help="Arms at a time, each with its share of the cores or GPUs.")] = 1,
    plan: Annotated[
        bool, typer.Option("--plan", "--dry-run", help="Count every arm's steps, say what they cost, and stop.")
    ] = False,
) -> None:
    """Train the arms of a study at equal budget, score them, and write tables beside the published figures.

    Stores, labels and seeds that are not given are those that the study's file names.
    """
    from rich.markdown import Markdown

    from vesalius import pipeline

    file = pipeline.study(
        name,
        data=data,
        out=out,
        masks=list(masks or []),
        labels=[_pair(text) for text in label or []],
        objects=list(objects or []),
        tasks=[task for task in tasks.split(",") if task],
        arms=[arm for arm in arms.split(",") if arm],
        seeds=seeds,
        overrides=overrides,
        budget_minutes=budget_minutes,
        engine=engine,
        jobs=jobs,
        plan_only=plan,
        console=console(),
    )
    if plan:
        typer.echo(f"plan: {file}")
        return
    console().print(Markdown(file.read_text(encoding="utf-8").replace("<br>", "; ")))
    typer.echo(f"tables: {file}")


def _pair(text: str) -> tuple[str, str]:
    store, equals, label = text.rpartition("=")
    if not equals or not store or not label:
        raise typer.BadParameter(f"--label {text}: expected STORE=LABEL")
    return store, label
