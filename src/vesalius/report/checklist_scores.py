"""Answers of checklists about scores, explanations and limits, a function each."""

from __future__ import annotations

from collections.abc import Mapping

from vesalius.evaluation.amounts import amount_words, in_order
from vesalius.records.result import Result
from vesalius.report.limits import limits
from vesalius.report.pretraining_store import of_pretraining
from vesalius.report.reader_choice import repeats
from vesalius.report.score_rows import ScoreRow
from vesalius.report.told import Answer, Told
from vesalius.report.wording import METRICS, count, figure, joined, plain_name, plain_value, share, task_name

__all__ = [
    "diagnostic",
    "explanations",
    "external",
    "failures",
    "internal",
    "limitations",
    "metrics",
    "output",
    "performance",
    "predictions",
    "sensitivity",
    "uncertainty",
]

_PRETRAINED = {
    True: ", of whose images the pretraining had some",
    False: ", which the pretraining did not have",
    None: "",
}
_CLASSIFIED = frozenset({"binary", "multiclass", "ordinal", "multilabel"})


def metrics(told: Told) -> Answer:
    """Every metric, and which plots there are."""
    names = dict.fromkeys(METRICS.get(s.metric, plain_name(s.metric)) for r in told.results for s in r.scores)
    if not names:
        return ()
    drawn = sum(bool(result.settings.get("calibration")) for result in told.results)
    plots = f" Reliability of {count(drawn, 'classifier')} with its expected calibration error." if drawn else ""
    return (f"{joined(list(names))}.{plots}",)


def uncertainty(told: Told) -> Answer:
    """How intervals and comparisons were made."""
    how = dict.fromkeys(str(r.settings["interval"]) for r in told.results if r.settings.get("interval"))
    resamples = sorted({int(r.settings["bootstrap"]) for r in told.results if r.settings.get("bootstrap")})
    compared = [each for result in told.results for each in result.settings.get("comparisons") or ()]
    said = [f"Intervals: {words}." for words in how]
    if resamples:
        said.append(f"Bootstrap: {joined([f'{number:,}' for number in resamples])} resamples.")
    if compared:
        tested = sum(each.get("delong_p") is not None for each in compared)
        test = f", {tested} of them with DeLong's test" if tested else ""
        said.append(f"{count(len(compared), 'paired comparison')} with a baseline on the same patients{test}.")
    return tuple(said)


def sensitivity(told: Told) -> Answer:
    """What was varied: amounts of labels, their draws, untrained networks."""
    said: dict[str, None] = {}
    for result in told.results:
        amounts = in_order({score.fraction for score in result.scores})
        over = repeats(result).in_words()
        if len(amounts) > 1 or over:
            words = joined([amount_words(one) for one in amounts])
            what = f"labels {words}; {over}" if over else f"labels {words}"
            said[f"{plain_name(result.label)}, {task_name(result)}: {what}."] = None
    return tuple(said)


def explanations(told: Told) -> Answer:
    """Pictures of attention, its score against masks, cases with how far their maps can be trusted."""
    said = []
    shown = [run.name for run in told.runs if "attention" in run.pictures]
    if shown:
        said.append(f"Attention of the last block is drawn for {joined(shown)}.")
    scored = [row for row, result in zip(told.rows, told.results, strict=True) if result.task == "attention"]
    said += [
        f"Attention against masks, {row.label}: {row.metric} {row.pretrained}; {_beside(row.baselines)}."
        for row in scored
    ]
    said += [
        f"{case.picture.heading}, {case.run}: {joined([f'{n} {kind}' for kind, n in case.kinds.items()])}; the maps "
        f"were measured by {count(len(case.trust), 'figure')} beside their baselines."
        for case in told.cases
        if case.kinds
    ]
    return tuple(said)


def _beside(baselines: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in baselines.items())


def internal(told: Told) -> Answer:
    """What was learned and scored on one store, and whether the pretraining had that store as well."""
    return _scored_by(told, {"split", "folds", "patients", "images"}, "Learned and scored on one source")


def external(told: Told) -> Answer:
    """What was learned on one store and scored on another; that nothing was is an answer too."""
    if not told.results:
        return ()
    found = _scored_by(told, {"other_store"}, "Learned on one store and scored on another")
    masks = [row.label for row, each, own in _owned(told) if each.protocol == "masks" and own is False]
    if masks:
        words = joined(list(dict.fromkeys(masks)))
        found += (f"Scored on masks of another store than the pretraining's, no layer fitted: {words}.",)
    return found or ("None: no classifier was scored on another store than it had learned on.",)


def _scored_by(told: Told, protocols: set[str], opening: str) -> Answer:
    said: dict[bool | None, dict[str, None]] = {}
    for row, result, own in _owned(told):
        if result.protocol in protocols:
            said.setdefault(own, {})[row.label] = None
    return tuple(f"{opening}{_PRETRAINED[own]}: {joined(list(said[own]))}." for own in _PRETRAINED if own in said)


def _owned(told: Told) -> list[tuple[ScoreRow, Result, bool | None]]:
    """Return every row with its result, and whether the pretraining had the store that it was scored on."""
    scored = [(run, each) for run in told.runs for each in run.evaluations]
    return [
        (row, each.result, of_pretraining(run, each, told.stores))
        for row, (run, each) in zip(told.rows, scored, strict=True)
    ]


def performance(told: Told) -> Answer:
    """Every headline score with its interval; its baselines stand beside it under Scores."""
    said = []
    for row in told.rows:
        what = [row.label, row.task, *([row.run] if len(told.runs) > 1 else []), *([row.labels] if row.labels else [])]
        said.append(f"{', '.join(what)}: {row.metric} {row.pretrained}.")
    return tuple(said)


def diagnostic(told: Told) -> Answer:
    """How many labels were told apart, and by what; no threshold is chosen."""
    labels = dict.fromkeys(
        row.label for row, result in zip(told.rows, told.results, strict=True) if result.kind in _CLASSIFIED
    )
    if not labels:
        return ()
    return (
        f"Areas under the curves with intervals for {joined(list(labels))}, under Scores. No threshold was chosen.",
    )


def failures(told: Told) -> Answer:
    """The worst cases that are shown."""
    return tuple(
        f"{case.run}: {count(len(case.worst), 'worst case')} by {case.metric} "
        f"({', '.join(figure(one) for one in case.worst)}) under Pictures."
        for case in told.cases
        if case.worst
    )


def limitations(told: Told) -> Answer:
    """What the page says that it does not show; nothing of what was not scored."""
    if not told.results:
        return ()
    said = limits(told.runs, told.stores)
    return tuple(f"Not shown: {words.partition('. ')[0].rstrip('.')}." for words in said)


def predictions(told: Told) -> Answer:
    """How each reader made its answers."""
    names = ("k", "temperature", "solver", "features", "decoder", "pool")
    said: dict[str, None] = {}
    for result in told.results:
        there = [
            f"{plain_name(name)} {plain_value(result.settings[name])}" for name in names if result.settings.get(name)
        ]
        if there:
            said[f"{task_name(result)}: {', '.join(there)}."] = None
    return tuple(said)


def output(told: Told) -> Answer:
    """Classes with a probability each, and how often the commonest is there by chance."""
    said: dict[str, None] = {}
    for result in told.results:
        classes = [plain_name(str(one)) for one in result.settings.get("classes") or ()]
        if classes and result.kind in _CLASSIFIED:
            shares = [s.value for s in result.scores if (s.arm, s.metric) == ("chance", "accuracy")]
            if result.kind == "multilabel":
                shares = []  # of several labels chance is a mean over them, and no class's share
            often = f"; the commonest is {share(round(shares[0], 3))} of the scored images" if shares else ""
            said[f"{plain_name(result.label)}: a probability of {joined(classes)}{often}; no threshold."] = None
    return tuple(said)
