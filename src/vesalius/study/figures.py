"""A study's tables as pictures: figures with intervals, or curves over the amount of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vesalius.atomic import replacing
from vesalius.evaluation.amounts import amount_words, in_order, is_count
from vesalius.report.wording import METRICS, plain_name
from vesalius.study.cells import Cell
from vesalius.study.tables import FilledTable

__all__ = ["draw_table"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8A6F00")
"""Okabe and Ito (2008), told apart without colour vision; grey is for baselines."""

_GREY = "#707070"
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("--", ":", "-.", (0, (1, 3)))


def draw_table(filled: FilledTable, path: Path) -> None:
    """Draw a panel a label, and write it as PNG; nothing where the table has no figure yet.

    Args:
        filled: The table.
        path: Where to.
    """
    cells = [one for one in filled.cells if not math.isnan(one.value)]
    panels = list(dict.fromkeys((one.data, one.label) for one in cells))
    if not panels:
        return
    curves = len({one.amount for one in cells}) > 1
    rows = len(dict.fromkeys((one.arm, one.title) for one in cells if one.role != "baseline"))
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
        (_curves if curves else _dots)(axes, own)
        axes.set_title(f"{panels[place][0]}, {plain_name(panels[place][1])}", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        name = METRICS.get(filled.table.metric, plain_name(filled.table.metric))
        (axes.set_ylabel if curves else axes.set_xlabel)(name, fontsize=8)
    # A legend of its own line below the panels, of every series in any of them.
    series: dict[str, Any] = {}
    for axes in grid.flat:
        series |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if series:
        figure.legend(series.values(), series.keys(), loc="outside lower left", fontsize=8, ncols=3, frameon=False)
    figure.suptitle(filled.table.title, fontsize=10, x=0.01, ha="left")
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=150)


def _dots(axes: Axes, cells: Sequence[Cell]) -> None:
    """Draw a row an arm with its interval, its baseline beside it in grey; baselines of all as lines down the panel."""
    arms = [one for one in cells if one.role == "arm"]
    for row, one in enumerate(arms):
        _interval(axes, one, float(row), _COLOURS[row % len(_COLOURS)])
        for twin in (other for other in cells if other.role == "beside" and other.arm == one.arm):
            _interval(axes, twin, row + 0.25, _GREY, label=twin.title if row == 0 else None)
    for number, one in enumerate(other for other in cells if other.role == "baseline"):
        axes.axvline(one.value, color=_GREY, linewidth=1, linestyle=_LINES[number % len(_LINES)], label=one.title)
    axes.set_yticks(range(len(arms)), [one.title for one in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _interval(axes: Axes, one: Cell, y: float, colour: str, label: str | None = None) -> None:
    if not math.isnan(one.low):
        axes.plot([one.low, one.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([one.value], [y], marker="o", markersize=5, color=colour, linestyle="none", label=label)


def _curves(axes: Axes, cells: Sequence[Cell]) -> None:
    """Draw figures over the amount of labels, a line an arm, with the interval as a band."""
    counted = any(is_count(one.amount) for one in cells)
    own = [one for one in cells if one.role == "arm"]
    series = list(dict.fromkeys((one.role, one.arm, one.title) for one in cells))
    for key in (one for one in series if one[0] != "beside" or one == _first_beside(series)):
        role, _, title = key
        line = [one for one in cells if (one.role, one.title) == (role, title) and (role != "arm" or one.arm == key[1])]
        if role == "beside":  # of the first arm: arms of one backbone share it
            line = [one for one in line if one.arm == key[1]]
        points = sorted(((x, one) for one in line if (x := _across(one, own, counted=counted)) is not None), key=_first)
        number = [one for one in series if one[0] == "arm"].index(key) if role == "arm" else 0
        colour = _COLOURS[number % len(_COLOURS)] if role == "arm" else _GREY
        dash: Any = "-" if role == "arm" else _LINES[[one for one in series if one[0] != "arm"].index(key) % 4]
        mark = _MARKS[number % len(_MARKS)] if role == "arm" else None
        xs = [x for x, _ in points]
        axes.plot(xs, [one.value for _, one in points], dash, color=colour, marker=mark, markersize=4, label=title)
        if not any(math.isnan(one.low) for _, one in points):
            lows, highs = [one.low for _, one in points], [one.high for _, one in points]
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    amounts = in_order(one.amount for one in own)
    ticks = {_across(one, own, counted=counted): amount_words(one.amount) for one in own}
    told = {x: text for x, text in ticks.items() if x is not None}
    axes.set_xticks(list(told), list(told.values()))
    axes.minorticks_off()
    axes.set_xlabel("labelled images" if counted else f"labels, of {amount_words(amounts[-1])}", fontsize=8)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _first(point: tuple[float, Cell]) -> float:
    return point[0]


def _first_beside(series: Sequence[tuple[str, str, str]]) -> tuple[str, str, str] | None:
    return next((one for one in series if one[0] == "beside"), None)


def _across(one: Cell, arms: Sequence[Cell], *, counted: bool) -> float | None:
    """Return where a figure stands: at its share, or at the images learned from where any amount counts them."""
    if not counted or is_count(one.amount):
        return one.amount
    return max((arm.images for arm in arms if arm.amount == one.amount), default=0.0) or None
