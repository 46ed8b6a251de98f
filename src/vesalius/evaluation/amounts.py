"""Amounts of labels to learn from: a share of the patients, or a count of images; light enough for a report."""

from __future__ import annotations

from collections.abc import Iterable

from vesalius.errors import ConfigError

__all__ = ["ALL", "amount_words", "in_order", "is_count", "labels_words", "largest_of", "place_of"]

ALL = 1.0
"""The share that takes every label; its training differs between seeds in the initialisation alone."""


def is_count(amount: float) -> bool:
    """Say whether an amount counts images; else it is a share of the patients."""
    return amount > ALL


def in_order(amounts: Iterable[float]) -> tuple[float, ...]:
    """Return amounts once each, from few labels to many: shares, then counts, and all of them last.

    Raises:
        ConfigError: Neither a share in (0, 1] nor a whole number of images from 2 on.
    """
    found = {float(one) for one in amounts}
    for one in found:
        if not (0.0 < one <= ALL or (one >= 2 and one.is_integer())):
            raise ConfigError(
                f"an amount of labels is a fraction of the patients (of detection: images) that lies in (0, 1], or a "
                f"whole number of images from 2 on; got {one:g}. 5 % is written 0.05"
            )
    return tuple(sorted(found, key=_size))


def largest_of(amounts: Iterable[float]) -> float:
    """Return the amount of the most labels; of none, `ALL`."""
    return max(amounts, key=_size, default=ALL)


def amount_words(amount: float) -> str:
    """Say an amount in words: `5 %` or `150 images`."""
    return f"{amount:,.0f} images" if is_count(amount) else f"{amount * 100:.3g} %"


def labels_words(amount: float) -> str:
    """Say what is learned from: `5 % of the labels` or `150 labelled images`."""
    return f"{amount:,.0f} labelled images" if is_count(amount) else f"{amount_words(amount)} of the labels"


def place_of(amount: float, images: float, *, counted: bool) -> float | None:
    """Return where an amount stands on an axis; None where it is a share among counts, of images that are not known.

    Args:
        amount: Which.
        images: Learned from, 0 where that is not known.
        counted: Whether any amount on the axis counts images; then all stand at the images learned from.
    """
    return amount if not counted or is_count(amount) else images or None


def _size(amount: float) -> tuple[bool, bool, float]:
    return amount == ALL, is_count(amount), amount
