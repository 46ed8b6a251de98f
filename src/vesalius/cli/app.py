"""The command line itself; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer

from vesalius.errors import VesaliusError
from vesalius.version import __version__

__all__ = ["app", "console", "main"]

app = typer.Typer(
    help="Self-supervised pretraining for medical images: prepare, pretrain, evaluate, report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; a user's error is one message on standard error and exit status 2."""
    try:
        app()
    except (VesaliusError, OSError) as error:
        _refuse(str(error))
    except (RuntimeError, MemoryError) as error:
        from vesalius.devices import out_of_memory

        if not out_of_memory(error):
            raise
        first, _, _ = str(error).partition("\n")
        advice = "lower --batch-size or --image-size (of detect: --set batch_size=..., --set size=...)"
        _refuse(f"out of memory ({first}): {advice}")
    except KeyboardInterrupt:
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"vesalius {__version__}")
        raise typer.Exit


def console(*, stderr: bool = False) -> Any:
    """Return where to speak."""
    from rich.console import Console

    return Console(stderr=stderr)


def _refuse(message: str) -> NoReturn:
    """Say what is wrong, whatever rich would read as markup in it, and leave."""
    from rich.markup import escape

    console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(2)
