"""Scores of all runs, brought into one block a label: words, forest plot, label-efficiency curves, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vesalius.evaluation.amounts import labels_words
from vesalius.records.result import Result, Score
from vesalius.report.forest import Scale, shared_scale, strip
from vesalius.report.label_efficiency import ARM_STYLES, efficiency_curves
from vesalius.report.reliability import reliability_plot
from vesalius.report.run_folder import Run
from vesalius.report.standing import Measured, Standing, measured
from vesalius.report.wording import ARMS, METRICS, figure, joined, plain_name, task_name, task_title, variant

__all__ = ["ForestRow", "LabelBlock", "ScoreTable", "Verdict", "label_blocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One run's standing on one task, in words: for the overview and under the label's heading.

    `short` is the task without its settings, where these need not tell it from another.
    """

    run: str
    task: str
    name: str
    settings: str
    short: str
    value: str
    interval: str
    untrained: Standing
    pixels: Standing
    words: str
    pixels_words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One line of the forest plot."""

    name: str
    arm: str
    text: str
    picture: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Arms x metrics, a group of rows a task; a cell is (value, interval) or None where it was not measured."""

    metrics: tuple[str, ...]
    groups: tuple[tuple[str, tuple[tuple[str, tuple[tuple[str, str] | None, ...]], ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBlock:
    """Everything about one label of one store."""

    label: str
    anchor: str
    store: str
    metric: str
    about: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    forest: tuple[tuple[str, tuple[ForestRow, ...]], ...]
    scale: Scale
    curves: tuple[tuple[str, Markup], ...]
    reliability: tuple[tuple[str, Markup, str], ...]
    table: ScoreTable


_Entry = tuple[str, Result]  # run name, what it scored
_Tasks = Mapping[str, Sequence[tuple[str, Result, Measured]]]  # by title


def label_blocks(runs: Sequence[Run]) -> tuple[LabelBlock, ...]:
    """Gather the evaluations of all runs by label, store and headline metric, so that what is alike stands together."""
    grouped: dict[tuple[str, str, str], list[_Entry]] = {}
    for run in runs:
        for evaluation in run.evaluations:
            key = (evaluation.result.label, evaluation.fingerprint, measured(evaluation.result).metric)
            grouped.setdefault(key, []).append((run.name, evaluation.result))
    several = len(runs) > 1
    named = [(label, store) for label, store, _ in grouped]
    return tuple(
        _block(
            plain_name(label) + (f", {METRICS.get(metric, metric)}" if named.count((label, store)) > 1 else ""),
            store,
            entries,
            f"label-{index + 1}",
            several=several,
        )
        for index, ((label, store, metric), entries) in enumerate(grouped.items())
    )


def _block(label: str, store: str, entries: Sequence[_Entry], anchor: str, *, several: bool) -> LabelBlock:
    by_task: dict[str, list[tuple[str, Result, Measured]]] = {}
    for run, result in entries:
        by_task.setdefault(task_title(result), []).append((run, result, measured(result)))
    brief = _brief(by_task)
    heads = [head for group in by_task.values() for _, _, head in group]
    scale = shared_scale([score for head in heads for score in head.scores.values()])
    return LabelBlock(
        label=label,
        anchor=anchor,
        store=store,
        metric=METRICS.get(heads[0].metric, heads[0].metric),
        about=_about(entries, several=several),
        verdicts=tuple(
            _verdict(run, result, head, short=brief[task])
            for task, group in by_task.items()
            for run, result, head in group
        ),
        forest=tuple(
            (brief[task], _forest([(r, h) for r, _, h in group], scale, several=several))
            for task, group in by_task.items()
        ),
        scale=scale,
        curves=tuple(curve for group in by_task.values() for curve in efficiency_curves(group, several=several)),
        reliability=tuple(
            (name, *found)
            for task, group in by_task.items()
            for run, result, _ in group
            for name in [f"{brief[task]} · {run}" if several else brief[task]]
            if (found := reliability_plot(result, f"{label}, {store}, {name}", ARM_STYLES)) is not None
        ),
        table=_table(by_task, brief, several=several),
    )


def _about(entries: Sequence[_Entry], *, several: bool) -> tuple[str, ...]:
    """Say what was learned and scored on, and what of it the pretraining had; once where it is the same for all."""
    said: dict[str, list[str]] = {}
    for run, result in entries:
        who = f"{task_title(result)}, {run}" if several else task_title(result)
        said.setdefault(f"{_sides(result)} {result.seen_in_words()}", []).append(who)
    if len(said) == 1:
        return tuple(said)
    return tuple(f"{joined(list(dict.fromkeys(who)))}: {words}" for words, who in said.items())


def _sides(result: Result) -> str:
    if result.protocol == "masks":
        return (
            f"Where the network looks, on {result.test_images:,} images of {result.test_patients:,} patients, compared "
            "with their masks; no layer was fitted to masks for it."
        )
    if result.protocol == "folds":
        return (
            f"{result.test_images:,} labelled images of {result.test_patients:,} patients, in folds by patient: what "
            "scores a patient's images has learned from the labels of other patients only."
        )
    if result.protocol == "images":
        return (
            f"{result.train_images:,} labelled images to learn from, scored on {result.test_images:,}. Patients are "
            "not known: intervals are over images, and one patient may be on both sides."
        )
    return (
        f"Learned on {result.train_images:,} labelled images of {result.train_patients:,} patients, scored on "
        f"{result.test_images:,} images of {result.test_patients:,} patients."
    )


def _brief(by_task: _Tasks) -> dict[str, str]:
    """Return each task's title without its settings, where no other task of the label has the same name."""
    names = {title: task_name(group[0][1]) for title, group in by_task.items()}
    return {title: name if list(names.values()).count(name) == 1 else title for title, name in names.items()}


def _verdict(run: str, result: Result, head: Measured, *, short: str) -> Verdict:
    score = head.scores.get("pretrained")
    return Verdict(
        run=run,
        task=task_title(result),
        name=task_name(result),
        settings=variant(result),
        short=short,
        value=figure(score.value) if score else "not measured",
        interval=f"{figure(score.low)} to {figure(score.high)}" if score else "",
        untrained=head.against("random_init"),
        pixels=head.against("pixels"),
        words=result.verdict,
        pixels_words=head.pixels_sentence(),
    )


def _arm_rows(heads: Sequence[tuple[str, Measured]], *, several: bool) -> list[tuple[str, str, Score]]:
    """Name, arm and score of each row; an arm that all runs share (pixels, chance) is named once."""
    rows = []
    for arm, words in ARMS.items():
        found = [(run, head.scores[arm]) for run, head in heads if arm in head.scores]
        # Pixels and chance know no network; an untrained network is another one for each backbone.
        equal = len({(score.value, score.low, score.high) for _, score in found}) == 1
        shared = not several or (equal and arm in ("pixels", "chance"))
        rows += [(words if shared else f"{words} · {run}", arm, score) for run, score in found[: 1 if shared else None]]
    return rows


def _forest(heads: Sequence[tuple[str, Measured]], scale: Scale, *, several: bool) -> tuple[ForestRow, ...]:
    chance = next((head.scores["chance"].value for _, head in heads if "chance" in head.scores), None)
    return tuple(
        ForestRow(name=name, arm=arm, text=_with_interval(score), picture=strip(score, scale, chance=chance))
        for name, arm, score in _arm_rows(heads, several=several)
        if arm != "chance"  # it is the dotted line
    )


def _with_interval(score: Score) -> str:
    return figure(score.value) + (f" ({figure(score.low)}–{figure(score.high)})" if score.high > score.low else "")


def _table(by_task: _Tasks, brief: Mapping[str, str], *, several: bool) -> ScoreTable:
    everything = [result for group in by_task.values() for _, result, _ in group]
    metrics = tuple(dict.fromkeys(score.metric for result in everything for score in result.scores))
    groups = []
    for task, group in by_task.items():
        rows = []
        for name, arm, anchor in _arm_rows([(run, head) for run, _, head in group], several=several):
            owner = next(result for _, result, head in group if head.scores.get(arm) is anchor)
            of_arm = {s.metric: s for s in owner.scores if (s.arm, s.fraction) == (arm, anchor.fraction)}
            rows.append((name, tuple(_cell(of_arm.get(metric)) for metric in metrics)))
        learned = "" if group[0][1].protocol == "masks" else f", {labels_words(group[0][2].fraction)}"
        groups.append((f"{brief[task]}{learned}", tuple(rows)))
    return ScoreTable(metrics=tuple(METRICS.get(each, plain_name(each)) for each in metrics), groups=tuple(groups))


def _cell(score: Score | None) -> tuple[str, str] | None:
    if score is None:
        return None
    return figure(score.value), f"{figure(score.low)}–{figure(score.high)}" if score.high > score.low else ""
