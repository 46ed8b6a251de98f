"""A study's tables as Markdown, LaTeX and CSV: our figures with intervals, the published ones, trivial baselines."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd

from vesalius.evaluation.amounts import ALL, amount_words
from vesalius.study.cells import ALIKE, Cell, table_cells
from vesalius.study.definition import StudyTable
from vesalius.study.differences import Difference, corrected, difference_words, paired_differences
from vesalius.study.run_study import StudyRun

__all__ = ["FilledTable", "fill_tables", "join_tables", "study_tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledTable:
    """A table and what stands in it.

    Attributes:
        name: In the study.
        table: Its definition.
        cells: Its figures.
        differences: Pairs of arms.
    """

    name: str
    table: StudyTable
    cells: tuple[Cell, ...]
    differences: tuple[Difference, ...]

    def as_csv(self) -> str:
        """Return a row a figure."""
        about = {"table": self.name, "task": self.table.task, "metric": self.table.metric, "note": self.table.note}
        return str(pd.DataFrame([about | asdict(one) for one in self.cells]).to_csv(index=False))

    def differences_as_csv(self) -> str:
        """Return a row a comparison."""
        rows = [asdict(one) | {"word": one.word} for one in self.differences]
        return str(pd.DataFrame(rows).to_csv(index=False))

    def as_latex(self) -> str:
        """Return a `tabular` of booktabs, as a paper takes it, and the note below it."""
        head, body = self._grid(" ")
        table = str(pd.DataFrame(body, columns=head).to_latex(index=False, escape=True))
        note = f"\n\\smallskip\n{{\\footnotesize {_escaped(self.table.note)}\\par}}\n"
        return table + note if self.table.note else table

    def as_markdown(self) -> list[str]:
        """Return the lines of the table, its note and its differences."""
        head, body = self._grid("<br>")
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in body), ""]
        lines += [self.table.note, ""] if self.table.note else []
        if self.differences:
            told = [f"- {difference_words(one, len(self.differences))}" for one in self.differences]
            lines += ["Differences (95 %, paired over patients; p by Holm for all of them):", "", *told, ""]
        return lines

    def _grid(self, apart: str) -> tuple[list[str], list[list[str]]]:
        """Lay out the cells, a row a place or a row an arm."""
        places = list(dict.fromkeys(one.place for one in self.cells))
        by_place = {place: _columns([one for one in self.cells if one.place == place], apart) for place in places}
        # Stores may have been given other arms: all in the table's order, the baselines behind them.
        order = {name: number for number, name in enumerate(self.table.arms)}
        shown = sorted(
            (one for one in self.cells if one.role != "beside"), key=lambda one: order.get(one.arm, len(order))
        )
        titles = list(dict.fromkeys(one.title for one in shown))
        several = len({amount for *_, amount in places}) > 1
        if self.table.rows == "arms":
            words = [_place_words(place, several=several) for place in places]
            return ["arm", *words], [
                [title, *(by_place[place].get(title, "-") for place in places)] for title in titles
            ]
        head = ["data", "label", *(["labels"] if several else []), *titles]
        return head, [
            [data, label, *([amount_words(amount)] if several else [])]
            + [by_place[data, label, amount].get(title, "-") for title in titles]
            for data, label, amount in places
        ]


def fill_tables(run: StudyRun) -> list[FilledTable]:
    """Fill every table of which something was asked for; arms that are not scored yet have a dash."""
    filled = []
    for name, table in run.study.tables.items():
        tasks = [task for task in run.tasks if task.is_of(table)]
        if tasks:
            cells = table_cells(run, table, tasks)
            differences = paired_differences(run, table, tasks)
            filled.append(FilledTable(name=name, table=table, cells=tuple(cells), differences=tuple(differences)))
    return filled


def join_tables(studies: Sequence[Sequence[FilledTable]]) -> list[FilledTable]:
    """Join the tables of one name of several studies: figures of all, comparisons corrected for all together."""
    by_name: dict[str, list[FilledTable]] = {}
    for one in itertools.chain.from_iterable(studies):
        by_name.setdefault(one.name, []).append(one)
    joined = []
    for tables in by_name.values():
        cells = tuple(itertools.chain.from_iterable(one.cells for one in tables))
        differences = corrected([each for one in tables for each in one.differences])
        joined.append(replace(tables[0], cells=cells, differences=tuple(differences)))
    return joined


def study_tables(about: str, filled: Sequence[FilledTable], failures: Mapping[str, str]) -> str:
    """Return all tables as Markdown.

    Args:
        about: Above them.
        filled: Which.
        failures: Trainings that failed, in whole or in some tasks, and why.
    """
    parts = [f"# {about}", ""]
    if failures:
        parts += ["These trainings failed, in whole or in the tasks named; those figures are missing:", ""]
        parts += [*(f"- {name}: {reason}" for name, reason in failures.items()), ""]
    for one in filled:
        parts += [f"## {one.table.title}", "", *one.as_markdown()]
    return "\n".join(parts)


def _columns(cells: Sequence[Cell], apart: str) -> dict[str, str]:
    """Return the text of every arm and baseline of one place, by title."""
    beside = {one.arm: one for one in cells if one.role == "beside"}
    found = {}
    for one in cells:
        if one.role == "beside":
            continue
        text = _with_published(one, apart)
        twin = beside.get(one.arm)
        if twin is not None and not text.startswith("-"):
            text += f"{apart}{twin.title} {_with_published(twin, ', ')}"
        found[one.title] = text
    return found


def _with_published(one: Cell, apart: str) -> str:
    text = _figure(one)
    return text if math.isnan(one.published) else f"{text}{apart}published {one.published:.3f}"


def _figure(one: Cell) -> str:
    """Lay out a figure with its interval, and what several trainings spread over."""
    if math.isnan(one.value):
        return "-"
    text = f"{one.value:.3f}" if math.isnan(one.low) else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
    if one.spread > ALIKE:  # an untrained network or plain pixels are the same for all trainings
        over = f"{one.draws} draws" if one.draws else f"{one.trainings} seeds"
        text += f" (median {one.median:.3f} ± {one.spread:.3f}, {over})"
    return text


def _escaped(text: str) -> str:
    """Return text as LaTeX takes it."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def _place_words(place: tuple[str, str, float], *, several: bool) -> str:
    data, label, amount = place
    few = f", {'all' if amount == ALL else amount_words(amount)}" if several else ""
    return f"{data}, {label}{few}"
