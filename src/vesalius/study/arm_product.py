"""Arms of a study that are the product of several choices, spelled out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from string import Template
from typing import Any

from vesalius.errors import ConfigError, nearest

__all__ = ["spelled_out"]

_Words = dict[str, str]
_Choices = dict[str, list[_Words]]


class _Text(Template):
    """`$backbone` or `${backbone.title}`; `$$` is a dollar."""

    braceidpattern = r"(?a:[_a-zA-Z][._a-zA-Z0-9]*)"


def spelled_out(content: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return what a study's file says, an arm with `for` replaced by one arm a combination of its choices.

    A choice is a list of words, or a mapping of each word to further texts about it. `$backbone` in the arm's name and
    values is the word, `${backbone.title}` the text `title` about it. Where a table or comparison lists arms,
    `dino_$backbone` stands for all of this pattern.

    Args:
        content: As read from YAML; what is malformed otherwise is left to whoever builds the study of it.
        source: The file, for messages.

    Raises:
        ConfigError: A choice that is none, a `$word` that no choice gives, or two arms of one name.
    """
    arms, tables = content.get("arms"), content.get("tables")
    if not isinstance(arms, Mapping):
        return dict(content)
    found: dict[str, Any] = {}
    known: _Choices = {}
    for name, arm in arms.items():
        several = isinstance(arm, Mapping) and "for" in arm
        where = f"{source}: arms.{name}"
        for one, spelled in _combinations(str(name), arm, known, where) if several else [(name, arm)]:
            if one in found:
                raise ConfigError(f"{where}: two arms are named '{one}'; let the name hold every choice ($word)")
            found[one] = spelled
    if isinstance(tables, Mapping):
        tables = {name: _listed(table, found, known, f"{source}: tables.{name}") for name, table in tables.items()}
    return {**content, "arms": found, **({} if tables is None else {"tables": tables})}


def _combinations(name: str, arm: Mapping[str, Any], known: _Choices, where: str) -> list[tuple[str, Any]]:
    """Return the arms of all combinations, and note the choices."""
    choices = _choices(arm["for"], where)
    for choice, several in choices.items():
        known.setdefault(choice, []).extend(one for one in several if one not in known[choice])
    rest = {key: value for key, value in arm.items() if key != "for"}
    return [
        (_filled(name, words, where), {key: _filled(value, words, f"{where}.{key}") for key, value in rest.items()})
        for words in _all_of(choices)
    ]


def _all_of(choices: _Choices) -> Iterator[_Words]:
    """Go through every combination, the last choice running fastest."""
    for picked in product(*choices.values()):
        yield {key: text for one in picked for key, text in one.items()}


def _choices(given: Any, where: str) -> _Choices:
    """Return the words of every choice, each with the texts about it as `choice.text`."""
    expected = "expected choices, as for: {backbone: [resnet18, resnet50]}"
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{where}.for: {expected}")
    found: _Choices = {}
    for choice, words in given.items():
        about = {str(word): {} for word in words} if isinstance(words, list) else words
        if not isinstance(about, Mapping) or not about or not all(isinstance(one, Mapping) for one in about.values()):
            raise ConfigError(f"{where}.for.{choice}: {expected}, or {{resnet18: {{title: ResNet-18}}}}")
        found[str(choice)] = [
            {str(choice): str(word)} | {f"{choice}.{key}": str(text) for key, text in texts.items()}
            for word, texts in about.items()
        ]
    return found


def _filled(value: Any, words: _Words, where: str) -> Any:
    """Put words into a text, or into each text of a list."""
    if isinstance(value, list):
        return [_filled(one, words, where) for one in value]
    if not isinstance(value, str):
        return value
    try:
        return _Text(value).substitute(words)
    except KeyError as error:
        missing = str(error.args[0])
        raise ConfigError(f"{where}: {value!r}: no choice gives ${{{missing}}}{nearest(missing, words)}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: {value!r}: {error}; write $$ for a dollar") from error


def _listed(table: Any, arms: Mapping[str, Any], known: _Choices, where: str) -> Any:
    """Return a table whose lists of arms name every arm of a pattern."""
    if not isinstance(table, Mapping):
        return table
    lists = {key: table[key] for key in ("arms", "against") if isinstance(table.get(key), list)}
    return {**table, **{key: _named(names, arms, known, f"{where}.{key}") for key, names in lists.items()}}


def _named(names: list[Any], arms: Mapping[str, Any], known: _Choices, where: str) -> list[Any]:
    found: list[Any] = []
    for name in names:
        if not isinstance(name, str) or "$" not in name:
            found.append(name)
            continue
        choices = {one: known[one] for one in _Text(name).get_identifiers() if one in known}
        fitting = [one for one in (_filled(name, words, where) for words in _all_of(choices)) if one in arms]
        if not fitting:
            raise ConfigError(f"{where}: no arm is named as {name!r}")
        found += fitting
    return found
