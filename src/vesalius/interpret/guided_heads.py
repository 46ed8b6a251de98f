"""The heads of a run's last block, by their number and by the part that each was guided to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vesalius.errors import ConfigError, nearest

__all__ = ["Head", "Joined", "choose_heads", "name_heads"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One head of the last block.

    Attributes:
        number: As in the recipe's `guidance.attention.heads`, from 0.
        part: The part it was guided to, or None.
    """

    number: int
    part: str | None = None

    @property
    def caption(self) -> str:
        """Name it in a picture: `heart (head 2)`, or `head 3` where it is free."""
        return f"head {self.number}" if self.part is None else f"{self.part.replace('_', ' ')} (head {self.number})"

    @property
    def file_stem(self) -> str:
        """Name its files: `heart_head_2`, or `head_3` where it is free."""
        part = re.sub(r"\W+", "_", self.part or "")
        return f"{part}_head_{self.number}" if part else f"head_{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """All heads in one map.

    Attributes:
        how: `average` of the last block's heads, or `rollout` through all blocks.
    """

    how: Literal["average", "rollout"]

    @property
    def caption(self) -> str:
        """Name it in a picture."""
        return "average of the heads" if self.how == "average" else "rollout"

    @property
    def file_stem(self) -> str:
        """Name its files."""
        return self.how


def name_heads(guided: Mapping[str, int], count: int) -> tuple[Head, ...]:
    """Name all `count` heads, given part to head as a recipe has it."""
    part_of = {head: part for part, head in guided.items()}
    return tuple(Head(number=number, part=part_of.get(number)) for number in range(count))


def choose_heads(heads: Sequence[Head], *, numbers: Sequence[int] = (), parts: Sequence[str] = ()) -> tuple[Head, ...]:
    """Keep the heads of these numbers and parts, in the order of the heads; all where none is named.

    Example:
        >>> [head.caption for head in choose_heads(name_heads({"heart": 2}, 4), numbers=[0], parts=["heart"])]
        ['head 0', 'heart (head 2)']

    Raises:
        ConfigError: A head or a part that is not there; the nearest is named.
    """
    there = {head.part: head.number for head in heads if head.part is not None}
    last = len(heads) - 1
    for number in numbers:
        if not 0 <= number <= last:
            closest = min(max(number, 0), last)
            raise ConfigError(f"no head {number}: the last block has heads 0 to {last}; did you mean {closest}?")
    for part in parts:
        if not there:
            raise ConfigError(f"no head is guided to '{part}': the run guides none; name heads 0 to {last} by number")
        if part not in there:
            raise ConfigError(f"no head is guided to '{part}'; guided: {', '.join(there)}{nearest(part, there)}")
    wanted = {*numbers, *(there[part] for part in parts)}
    return tuple(head for head in heads if not wanted or head.number in wanted)
