"""The command line: one command a verb, in the order of `vesalius --help`."""

from vesalius.cli import stores, knowledge, pretraining, scoring, studies, pages, exploring  # noqa: F401, I001 (they add their commands, in this order)
from vesalius.cli.app import app, main

__all__ = ["app", "main"]
