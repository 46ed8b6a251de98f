"""Reporting checklists: what the runs tell is filled in, all else stays visibly blank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

import yaml

from vesalius.report import checklist_data, checklist_scores, checklist_training
from vesalius.report.cases import CaseGallery
from vesalius.report.data_sheet import DataSheet
from vesalius.report.redaction import without_folders
from vesalius.report.run_folder import Run
from vesalius.report.score_rows import score_rows
from vesalius.report.stores import Stores
from vesalius.report.told import Told

__all__ = ["Checklist", "Item", "checklists"]

_LISTS = ("claim_2024", "tripod_ai_2024")
_ANSWERS = (checklist_data, checklist_training, checklist_scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item.

    Attributes:
        number: As published.
        section: Under which it stands.
        item: What it asks for, in our words.
        answer: Sentences taken from the runs; empty where it is left blank.
        whole: Whether these answer the item, or a part of it.
    """

    number: str
    section: str
    item: str
    answer: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """One published checklist."""

    name: str
    source: str
    items: tuple[Item, ...]

    @property
    def answered(self) -> int:
        """How many items are answered."""
        return sum(bool(item.answer) and item.whole for item in self.items)

    @property
    def in_part(self) -> int:
        """How many are answered in part; the rest is the authors' to add."""
        return sum(bool(item.answer) and not item.whole for item in self.items)

    @property
    def blank(self) -> int:
        """How many are left blank."""
        return sum(not item.answer for item in self.items)

    @property
    def sections(self) -> list[tuple[str, list[Item]]]:
        """The items by section."""
        return [(name, list(group)) for name, group in groupby(self.items, key=lambda item: item.section)]


def checklists(
    runs: Sequence[Run], stores: Stores, sheets: Sequence[DataSheet], cases: Sequence[CaseGallery]
) -> tuple[Checklist, ...]:
    """Fill in CLAIM and TRIPOD+AI as far as the runs and their stores tell."""
    told = Told(runs=runs, stores=stores, sheets=sheets, rows=score_rows(runs, stores), cases=cases)
    return tuple(
        Checklist(
            name=about["name"],
            source=about["source"],
            items=tuple(_item(told, **each) for each in about["items"]),
        )
        for about in map(_published, _LISTS)
    )


def _item(told: Told, *, number: str, section: str, item: str, answer: str = "", whole: bool = False) -> Item:
    said = tuple(without_folders(words) for words in _function(answer)(told)) if answer else ()
    return Item(number=number, section=section, item=item, answer=said, whole=whole)


def _function(name: str) -> Any:
    return next(getattr(module, name) for module in _ANSWERS if name in module.__all__)


@cache
def _published(name: str) -> dict[str, Any]:
    text = files("vesalius.report").joinpath("checklists", f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
