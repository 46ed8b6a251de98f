"""How the training went: facts, alarms and small multiples of what was logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from vesalius.report.charts import COLOURS, DASHES, Series, line_chart
from vesalius.report.redaction import without_folders
from vesalius.report.run_folder import Run
from vesalius.report.wording import count, duration, plain_name

__all__ = ["Curve", "Legend", "RunFacts", "curve_numbers", "curves", "legend", "logged_note", "run_facts"]

_MOST_POINTS = 240

_STATUS = {
    "done": "finished",
    "running": "still running, or stopped without notice: figures are provisional",
    "interrupted": "interrupted: continue it with `vesalius pretrain ... --resume`",
}
_STOPPED_EARLY = (
    "finished: stopped early, when the validation loss fell no further; the backbone is that of its best look"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One small picture with its heading and how to read it."""

    heading: str
    reading: str
    picture: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """A run's line: colour and dash."""

    name: str
    colour: str
    dash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run in short lines, its alarms and its notes."""

    name: str
    facts: tuple[tuple[str, str], ...]
    alarms: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


# metric name, heading, how to read it
_SINGLE = (
    (
        "loss",
        "Loss",
        "What the training lowers. Flat at the logarithm of the number of prototypes means it learns nothing.",
    ),
    (
        "feature_rank",
        "Feature rank",
        "How many independent directions the features use. Falling towards 1 is a collapse.",
    ),
    ("lr", "Learning rate", "The step size: it rises during warm-up, then falls."),
)
_FOLDED = (
    ("dino_loss", "DINO loss", "The method's own part of the loss; the mean entropy means that it learns nothing."),
    ("contrast_loss", "Contrast loss", "How hard an image's two views are to find in a batch; chance is ln(2 B - 1)."),
    ("koleo_loss", "KoLeo loss", "Falls as the images of a batch move apart."),
    ("weight_decay", "Weight decay", "The pull of the weights towards zero."),
    ("teacher_momentum", "Teacher momentum", "How slowly the teacher follows the student; 1 is not at all."),
    ("images_per_second", "Images per second", "Speed of the training."),
)


def run_facts(run: Run) -> RunFacts:
    """Gather one run's facts from `run.json`; what it does not say is left out."""
    about = run.about
    early = bool(about.get("stopped_early"))
    state = _STOPPED_EARLY if early else _STATUS.get(run.status, f"not recorded ({run.status})")
    lines: list[tuple[str, str]] = [("State", state)]
    plain: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
        ("Recipe", "recipe", str),
        ("Parameters", "parameters", lambda value: f"{int(value):,}"),
        ("Time", "seconds", lambda value: duration(float(value))),
        ("Passes over the images", "epochs", lambda value: f"{float(value):,.4g}"),
        ("Steps", "steps_taken" if early else "steps", lambda value: f"{int(value):,}"),
        ("Images seen", "images_seen", lambda value: f"{int(value):,}"),
        ("Best validation loss", "best_validation", _best),
        ("Device", "device", str),
        ("Precision", "precision", str),
        ("Seed", "seed", str),
        ("Started", "started", str),
    )
    lines += [(name, text(about[key])) for name, key, text in plain if about.get(key) not in (None, "")]
    if run.architecture:
        lines.insert(1, ("Backbone", run.architecture))
    return RunFacts(
        name=run.name,
        facts=tuple(lines),
        alarms=tuple(without_folders(str(each)) for each in about.get("alarms") or ()),
        notes=tuple(without_folders(str(each)) for each in about.get("notes") or ()),
        problems=tuple(without_folders(each) for each in run.problems),
    )


def legend(runs: Sequence[Run]) -> tuple[Legend, ...]:
    """Return the line of each run."""
    return tuple(
        Legend(name=run.name, colour=COLOURS[index % len(COLOURS)], dash=DASHES[index % len(DASHES)])
        for index, run in enumerate(runs)
    )


def curves(runs: Sequence[Run], *, folded: bool = False) -> tuple[Curve, ...]:
    """Draw what was logged, all runs in each picture; what no run logged is not drawn.

    Args:
        runs: In the order of their lines.
        folded: The second-rank figures (schedules, speed) in place of the first-rank ones.
    """
    if folded:
        return tuple(c for name, heading, words in _FOLDED if (c := _single(runs, name, heading, words)))
    found = [_loss(runs), _entropy(runs), _single(runs, *_SINGLE[1]), *_knn(runs), *_guided(runs)]
    found.append(_single(runs, *_SINGLE[2]))
    return tuple(curve for curve in found if curve)


def curve_numbers(runs: Sequence[Run]) -> tuple[tuple[str, str, str, str, str, str], ...]:
    """Return the curves in figures: run, name, first, smallest, largest, last."""
    rows = []
    for run in runs:
        for name, table in run.metrics.groupby("name", sort=True):
            values = table["value"].dropna().to_numpy()
            if len(values):
                ends = (values[0], values.min(), values.max(), values[-1])
                first, low, high, last = (f"{value:.4g}" for value in ends)
                rows.append((run.name, plain_name(str(name)), first, low, high, last))
    return tuple(rows)


def _logged(run: Run, name: str) -> pd.DataFrame:
    return run.metrics[run.metrics["name"] == name]


def _thinned(table: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Average neighbouring steps, so that a long training stays light on the page."""
    steps, values = table["step"].to_numpy(dtype=np.float64), table["value"].to_numpy(dtype=np.float64)
    bins = min(len(steps), _MOST_POINTS)

    def means(of: npt.NDArray[np.float64]) -> list[float]:
        return [float(part.mean()) for part in np.array_split(of, bins)]

    return means(steps), means(values)


def _series(runs: Sequence[Run], name: str) -> list[Series]:
    lines = []
    for index, run in enumerate(runs):
        table = _logged(run, name)
        if np.isfinite(table["value"].to_numpy(dtype=np.float64)).any():
            steps, values = _thinned(table)
            lines.append(Series(name=run.name, x=steps, y=values, style=index, dash=index, points=len(steps) <= 24))
    return lines


def _described(lines: Sequence[Series]) -> str:
    parts = []
    for line in lines:
        finite = [value for value in line.y if np.isfinite(value)]
        if finite:
            parts.append(f"{line.name} goes from {finite[0]:.3g} to {finite[-1]:.3g}")
    return "; ".join(parts) + "."


def _single(runs: Sequence[Run], name: str, heading: str, reading: str) -> Curve | None:
    lines = _series(runs, name)
    if not any(np.isfinite(line.y).any() for line in lines):
        return None
    chart = line_chart(lines, title=heading, description=_described(lines), x_label="training step")
    return Curve(heading=heading, reading=reading, picture=chart)


def _loss(runs: Sequence[Run]) -> Curve | None:
    """Draw the loss, and beside it that of patients held out, where a run logged it."""
    name, heading, reading = _SINGLE[0]
    held_out = [
        replace(line, name=f"validation, {line.name}", dash=5, points=True) for line in _series(runs, "validation_loss")
    ]
    if not held_out:
        return _single(runs, name, heading, reading)
    lines = [*_series(runs, name), *held_out]
    chart = line_chart(lines, title=heading, description=_described(lines), x_label="training step")
    reading += (
        " Dotted, with points: the validation loss, of patients held out, in the network's evaluation mode. Where it "
        "rises while the loss falls, the training begins to know its images by heart."
    )
    return Curve(heading=heading, reading=reading, picture=chart)


def _best(value: Mapping[str, Any]) -> str:
    return f"{float(value['loss']):.4g}, at epoch {float(value['epoch']):.4g}"


def _entropy(runs: Sequence[Run]) -> Curve | None:
    lines = _series(runs, "teacher_entropy")
    if not any(np.isfinite(line.y).any() for line in lines):
        return None
    ceilings, ceiling_words = [], []
    for index, run in enumerate(runs):
        limits = _logged(run, "teacher_entropy_max")["value"].dropna()
        steps = _logged(run, "teacher_entropy")["step"]
        if len(limits) and len(steps):
            top = float(limits.iloc[-1])
            ends = [float(steps.min()), float(steps.max())]
            ceilings.append(Series(name=f"ln K, {run.name}", x=ends, y=[top, top], style=index, dash=2))
            ceiling_words.append(f"{run.name} cannot exceed {top:.3g}")
    top = max([value for line in (*lines, *ceilings) for value in line.y if np.isfinite(value)])
    chart = line_chart(
        [*ceilings, *lines],
        title="Teacher entropy against its largest possible value",
        description=" ".join([_described(lines), "; ".join(ceiling_words)]).strip(),
        x_label="training step",
        y_range=(0.0, top * 1.08 or 1.0),
    )
    return Curve(
        heading="Teacher entropy",
        reading=(
            "How undecided the teacher is. Healthy lies between the floor and the dotted line (ln K): at the line it "
            "decides nothing, at the floor it may give every image the same answer."
        ),
        picture=chart,
    )


def _knn(runs: Sequence[Run]) -> list[Curve | None]:
    names = sorted({str(name) for run in runs for name in run.metrics["name"] if str(name).startswith("knn_")})
    found = []
    for name in names:
        label, _, metric = name.removeprefix("knn_").rpartition("_")
        shown = {"auc": "AUC"}.get(metric, metric)
        reading = "Score of the frozen features by nearest neighbours, while training. It should rise."
        found.append(_single(runs, name, f"k-NN {shown}: {plain_name(label or metric)}", reading))
    return found


def _guided(runs: Sequence[Run]) -> list[Curve | None]:
    """Draw what guidance reached: the share of each head's attention in its part, and how far predicted places are."""
    first = "attention_inside/"
    parts = sorted({str(name) for run in runs for name in run.metrics["name"] if str(name).startswith(first)})
    inside = "Share of the head's attention that lies in its part of the anatomy. It should rise."
    found = [_single(runs, one, f"Attention in: {plain_name(one.removeprefix(first))}", inside) for one in parts]
    error = "How far each patch's predicted place in the template is from the registration's. It should fall."
    return [*found, _single(runs, "coordinate_error_px", "Error of the predicted places, pixels", error)]


def logged_note(runs: Sequence[Run]) -> str:
    """Say which runs logged nothing, and which no k-NN; empty where all did."""
    silent = [run.name for run in runs if run.metrics.empty]
    blind = [run.name for run in runs if not run.metrics.empty and not run.metrics["name"].str.startswith("knn_").any()]
    words = []
    if silent:
        words.append(f"No figures were logged yet by {', '.join(silent)}.")
    if blind:
        words.append(
            f"No k-NN score was logged during the training of {', '.join(blind)}: "
            f"{count(len(blind), 'recipe names', plural='recipes name')} no labelled store to watch."
        )
    return " ".join(words)
