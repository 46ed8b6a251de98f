"""`vesalius report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app

__all__ = ["report"]


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    data: Annotated[list[Path] | None, typer.Option(help="Stores the pictures come from, if they moved.")] = None,
) -> None:
    """Write one self-contained page about one or several runs."""
    from vesalius import pipeline

    typer.echo(f"report: {pipeline.report(list(runs), out, data=list(data or []))}")
