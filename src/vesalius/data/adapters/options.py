"""Bringing an adapter's options, which come as text from a command line, to the types its `collect` declares."""

from __future__ import annotations

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from vesalius.errors import DatasetError, nearest

__all__ = ["converted"]

_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


def converted(name: str, value: Any, hint: Any) -> Any:
    """Return an option's value as its annotation wants it.

    Args:
        name: The option, for the message.
        value: What arrived: text, or what YAML makes of it.
        hint: A Literal, `Path`, `str`, `bool`, `int`, `float`, `Sequence[str]`, or one of these or None.

    Raises:
        DatasetError: Naming the option, what arrived and what would do.
    """
    choices = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        return converted(name, value, next(one for one in choices if one is not type(None)))
    if get_origin(hint) is Literal:
        named = {str(one): one for one in choices}
        if str(value) in named:  # YAML makes a number of 2 where the choice is "2"
            return named[str(value)]
        listed = ", ".join(map(str, choices))
        raise DatasetError(f"{name}={value!r}{nearest(str(value), map(str, choices))}; expected one of {listed}")
    if get_origin(hint) is not None and issubclass(get_origin(hint), Sequence):
        names = value.split(",") if isinstance(value, str) else value
        if isinstance(names, Sequence) and all(isinstance(one, (str, int, float)) for one in names):
            return [str(one).strip() for one in names]
        raise DatasetError(f"{name}={value!r}: expected names, by commas")
    plain = _plain(value, hint)
    if plain is None:
        raise DatasetError(f"{name}={value!r}: expected {_WORDS[hint]}")
    return plain


_WORDS = {
    Path: "a path",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def _plain(value: Any, hint: Any) -> Any:
    """Return the value as a Path, str, bool, int or float; None where it cannot be one."""
    if hint is bool:
        return value if isinstance(value, bool) else _TRUTHS.get(str(value).lower())
    if isinstance(value, bool) or value is None or value == "":
        return None
    if hint is Path:
        return Path(value) if isinstance(value, (str, Path)) else None
    if hint is str:
        return str(value) if isinstance(value, (str, int, float)) else None
    try:
        number = hint(value)
    except (TypeError, ValueError):
        return None
    return number if not isinstance(value, float) or number == value else None
