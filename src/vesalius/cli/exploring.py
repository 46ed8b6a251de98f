"""`vesalius explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app

__all__ = ["explore"]


@app.command()
def explore(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    data: Annotated[Path, typer.Option(help="Store whose images are shown.")],
    host: Annotated[str, typer.Option(help="Where to listen; by default only this machine reaches it.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="By default any that is free.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VESALIUS_EXPLORE_TOKEN",
            help="Secret in the address; by default a new one. Others on this machine can read a command line: rather "
            "set the variable.",
        ),
    ] = None,
    embedding: Annotated[str, typer.Option("--map", help="Of all images: umap or pca.")] = "umap",
    activations: Annotated[
        bool, typer.Option(help="Also class activation maps of networks that evaluations kept.")
    ] = True,
    text_labels: Annotated[
        bool, typer.Option("--text-labels", help="Also show labels that may name patients: text, numbers of one's own.")
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Side of the input; by default the weights' own.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    opening: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """Show a store and its runs in the browser: a grid, one image large, a map; stop it by Ctrl-C."""
    from vesalius import pipeline
    from vesalius.explorer.open_privately import open_privately

    def begun(address: str) -> None:
        typer.echo(f"explorer: {address}")
        typer.echo("stop it by Ctrl-C", err=True)
        if opening:
            open_privately(address)

    pipeline.explore(
        runs,
        data,
        host=host,
        port=port,
        token=token,
        embedding=embedding,
        activations=activations,
        text_labels=text_labels,
        image_size=image_size,
        device=device,
        begun=begun,
    )
