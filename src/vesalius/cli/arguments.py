"""Arguments that several commands share, and how their words are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

import typer

__all__ = [
    "Overrides",
    "Stores",
    "options_given",
    "read_numbers",
    "read_options",
    "read_parts",
    "read_shares",
    "read_window",
]

Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe's key; repeatable.")]
Stores = Annotated[
    list[str],
    typer.Option("--data", metavar="STORE[@SPLITS]", help="Store to train on (its train split, or @all, @train+val)."),
]


def read_window(text: str) -> str | tuple[float, float]:
    """Read a window's name, or LOW,HIGH."""
    low, comma, high = text.partition(",")
    if not comma:
        return text
    try:
        return float(low), float(high)
    except ValueError:
        raise typer.BadParameter(f"--window {text}: expected two numbers LOW,HIGH") from None


def read_shares(text: str) -> tuple[float, ...]:
    """Read numbers by commas."""
    try:
        return tuple(float(one) for one in text.split(",") if one.strip())
    except ValueError:
        raise typer.BadParameter(
            f"--fractions {text}: expected shares up to 1 or counts of images, by commas"
        ) from None


def read_parts(text: str) -> dict[str, int] | tuple[str, ...]:
    """Read NAME=VALUE by commas, or names alone."""
    if "=" not in text:
        return tuple(name.strip() for name in text.split(",") if name.strip())
    try:
        return {name.strip(): int(value) for name, _, value in (one.partition("=") for one in text.split(",") if one)}
    except ValueError:
        raise typer.BadParameter(f"--parts {text}: expected NAME=VALUE by commas, for example heart=3") from None


def read_options(assignments: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE, as a recipe's keys are read."""
    from vesalius.config import apply_overrides

    return apply_overrides({}, assignments)


def read_numbers(text: str, flag: str, many: int) -> tuple[int, ...]:
    """Read this many whole numbers by commas."""
    try:
        found = tuple(int(one) for one in text.split(","))
    except ValueError:
        found = ()
    if len(found) != many:
        raise typer.BadParameter(f"{flag} {text}: expected {many} whole numbers by commas")
    return found


def options_given(
    command: Callable[..., None],
    values: Mapping[str, Any],
    *,
    known: Collection[str],
    of: str,
    flags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a command's options that are not as by default; one that is not known here is refused, not left out.

    Args:
        command: Whose.
        values: Of its parameters.
        known: Names of those that belong to what is asked for.
        of: What that is, for the error: `--task knn`.
        flags: Words of the options that are not spelled like their parameter.
    """
    parameters = inspect.signature(command).parameters
    given = {name: values[name] for name, one in parameters.items() if values[name] != one.default}
    foreign = [f"--{(flags or {}).get(name, name).replace('_', '-')}" for name in given if name not in known]
    if foreign:
        raise typer.BadParameter(f"{of} has no {', '.join(foreign)}")
    return given
