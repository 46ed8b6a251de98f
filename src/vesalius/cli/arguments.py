"""Arguments that several commands share, and how their words are read."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["Overrides", "Stores", "read_options", "read_parts", "read_shares", "read_window"]

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
