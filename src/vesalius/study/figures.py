"""A study's tables as pictures: figures with intervals, or curves over the amount of labels."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vesalius.atomic import replacing
from vesalius.evaluation.amounts import amount_words, is_count, place_of
from vesalius.report.wording import METRICS, plain_name
from vesalius.study.cells import Cell
from vesalius.study.tables import FilledTable

__all__ = ["draw_table", "figure_of"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8A6F00")
"""Okabe and Ito (2008), told apart without colour vision; grey is for baselines."""

_GREY = "#707070"
_TITLE_WIDTH = 58
"""Letters above one panel."""

_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES: tuple[Any, ...] = ("--", ":", "-.", (0, (1, 3)), (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)))

_Series = tuple[str, str, str]
"""Role, arm and title: what has one look in every panel."""


def draw_table(filled: FilledTable, path: Path) -> None:
    """Write the picture of a table as PNG; nothing where it has no figure yet.

    Args:
        filled: The table.
        path: Where to.
    """
    if all(math.isnan(one.value) for one in filled.cells):
        return
    figure = figure_of(filled)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=150)


def figure_of(filled: FilledTable) -> Figure:
    """Draw a panel a store and label."""
    cells = [one for one in filled.cells if not math.isnan(one.value)]
    panels = list(dict.fromkeys((one.data, one.label) for one in cells))
    curves = len({one.amount for one in cells}) > 1
    series = list(dict.fromkeys(_series_of(one) for one in filled.cells if not math.isnan(one.value)))
    rows = sum(role != "baseline" for role, *_ in series)
    height = 3.4 if curves else 1.2 + 0.3 * rows
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(1.2 + 3.6 * columns, 0.6 + height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=not curves)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        own = [one for one in cells if (one.data, one.label) == panels[place]]
        (_curves if curves else _dots)(axes, own, series)
        axes.set_title(f"{panels[place][0]}, {plain_name(panels[place][1])}", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        name = METRICS.get(filled.table.metric, plain_name(filled.table.metric))
        (axes.set_ylabel if curves else axes.set_xlabel)(name, fontsize=8)
    # A legend of its own line below the panels, of every series in any of them.
    told: dict[str, Any] = {}
    for axes in grid.flat:
        told |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if told:
        figure.legend(
            told.values(), told.keys(), loc="outside lower left", fontsize=8, ncols=min(3, columns + 1), frameon=False
        )
    title = textwrap.fill(filled.table.title, _TITLE_WIDTH * columns)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _series_of(one: Cell) -> _Series:
    return one.role, one.arm, one.title


def _numbers(series: Sequence[_Series], role: str) -> dict[_Series, int]:
    """Number the arms, or the baselines: rows, colours and lines of every panel go by it."""
    return {one: number for number, one in enumerate(other for other in series if other[0] == role)}


def _dots(axes: Axes, cells: Sequence[Cell], series: Sequence[_Series]) -> None:
    """Draw a row an arm with its interval, its baseline beside it in grey; baselines of all as lines down the panel."""
    arms, baselines = _numbers(series, "arm"), _numbers(series, "baseline")
    rows = {arm: row for (_, arm, _), row in arms.items()}
    for one in cells:
        if one.role == "arm":
            _interval(axes, one, float(rows[one.arm]), _COLOURS[rows[one.arm] % len(_COLOURS)])
        elif one.role == "beside":
            _interval(axes, one, rows[one.arm] + 0.25, _GREY, label=one.title)
        else:
            line = _LINES[baselines[_series_of(one)] % len(_LINES)]
            axes.axvline(one.value, color=_GREY, linewidth=1, linestyle=line, label=one.title)
    axes.set_yticks(range(len(arms)), [title for _, _, title in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _interval(axes: Axes, one: Cell, y: float, colour: str, label: str | None = None) -> None:
    if not math.isnan(one.low):
        axes.plot([one.low, one.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([one.value], [y], marker="o", markersize=5, color=colour, linestyle="none", label=label)


def _curves(axes: Axes, cells: Sequence[Cell], series: Sequence[_Series]) -> None:
    """Draw figures over the amount of labels, a line an arm, with the interval as a band.

    What stands beside an arm is drawn for the first one alone, and names it where others have another.
    """
    arms, others = _numbers(series, "arm"), _numbers(series, "baseline")
    beside = next((one for one in series if one[0] == "beside"), None)
    others |= {} if beside is None else {beside: len(others)}
    own = [one for one in cells if one.role == "arm"]
    counted = any(is_count(one.amount) for one in cells)
    for key in (*arms, *others):
        line = [one for one in cells if _series_of(one) == key]
        points = sorted(((x, one) for one in line if (x := _across(one, own, counted=counted)) is not None), key=_first)
        xs = [x for x, _ in points]
        look: dict[str, Any] = {"color": _GREY, "linestyle": _LINES[others.get(key, 0) % len(_LINES)]}
        if key in arms:
            look = {"color": _COLOURS[arms[key] % len(_COLOURS)], "marker": _MARKS[arms[key] % len(_MARKS)]}
        alike = {(one.amount, one.value) for one in cells if one.role == "beside"} <= {
            (i.amount, i.value) for i in line
        }
        title = f"{key[2]}, {own[0].title}" if key[0] == "beside" and not alike else key[2]
        axes.plot(xs, [one.value for _, one in points], markersize=4, label=title, **look)
        if points and not any(math.isnan(one.low) for _, one in points):
            lows, highs = [one.low for _, one in points], [one.high for _, one in points]
            axes.fill_between(xs, lows, highs, color=look["color"], alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    ticks = {_across(one, own, counted=counted): amount_words(one.amount) for one in own}
    told = {x: text for x, text in ticks.items() if x is not None}
    axes.set_xticks(list(told), list(told.values()))
    axes.minorticks_off()
    axes.set_xlabel("labelled images" if counted else "share of the labels", fontsize=8)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _first(point: tuple[float, Cell]) -> float:
    return point[0]


def _across(one: Cell, arms: Sequence[Cell], *, counted: bool) -> float | None:
    """Return where a figure stands, see `place_of`; baselines stand where the arms do."""
    images = max((arm.images for arm in arms if arm.amount == one.amount), default=0.0)
    return place_of(one.amount, images, counted=counted)
