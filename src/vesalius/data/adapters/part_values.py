"""Which value of a label map is which part, as a user writes it: `heart=1`, `lung=2`."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.errors import DatasetError

__all__ = ["read_part_values"]

_MOST = 65535


def read_part_values(written: Sequence[str]) -> dict[int, str]:
    """Return value to part name; several values may be of one part, and `void` is of which nothing is known.

    Raises:
        DatasetError: What is not NAME=VALUE, a value out of range or given twice, or the background, which is 0.
    """
    parts: dict[int, str] = {}
    for one in written:
        name, _, text = (piece.strip() for piece in one.partition("="))
        value = int(text) if text.isascii() and text.isdigit() else 0
        if not name or name == "background" or not 1 <= value <= _MOST:
            raise DatasetError(
                f"parts={one!r}: expected NAME=VALUE by commas, for example heart=1,lung=2, with values from 1 to "
                f"{_MOST}; 0 is the background"
            )
        if value in parts:
            raise DatasetError(f"parts: the value {value} is given to {parts[value]} and to {name}; give it to one")
        parts[value] = name
    return parts
