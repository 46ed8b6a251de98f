"""Which arms of a study a table can tell apart: paired differences over patients, and over trainings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from vesalius.evaluation.amounts import labels_words
from vesalius.evaluation.intervals import percentile_interval
from vesalius.study.definition import StudyTable
from vesalius.study.run_study import StudyRun
from vesalius.study.scored import Scored
from vesalius.study.scores import labels_of, results_of
from vesalius.study.trainings import Draws, Training, Trainings, over_label_draws

__all__ = ["Difference", "corrected", "difference_of", "difference_words", "holm", "paired_differences"]

_LEVEL = 0.95
_DISTANCES = ("hd95", "error")  # the smaller the better


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How an arm differs from another, or from a baseline.

    Attributes:
        about: Store, label and amount, and who is compared.
        value: Mean of the trainings that both have.
        low: Of the paired bootstrap over patients, 95 %.
        high: Likewise.
        p: Two-sided, of the mean over the bootstrap's standard deviation: of these trainings on other patients.
        adjusted: The same by Holm (1979) for all comparisons of the table.
        by_seed: Differences of the trainings, seed by seed.
        half: Half of the 95 % interval over trainings, by Student's t; infinite for one, or for several alike.
        metric: Which figure.
        delong_p: Of ROC-AUCs of a binary label, DeLong's test of the first training and draw of each; else NaN.
    """

    about: str
    value: float
    low: float
    high: float
    p: float
    adjusted: float
    by_seed: tuple[float, ...]
    half: float
    metric: str
    delong_p: float = float("nan")

    @property
    def word(self) -> str:
        """`better`, `worse` or `not told apart`, before any correction."""
        larger, smaller = ("worse", "better") if self.metric.startswith(_DISTANCES) else ("better", "worse")
        word = larger if self.low > 0 else smaller if self.high < 0 else "not told apart"
        alone = word != "not told apart" and len(self.by_seed) > 1 and abs(self.value) <= self.half
        return f"{word} in these trainings" if alone else word


def paired_differences(run: StudyRun, table: StudyTable, tasks: Sequence[Scored]) -> list[Difference]:
    """Compare pairs of arms.

    The interval is the paired bootstrap's over patients, 95 %, of the mean over trainings (seeds) and draws of labels,
    which are drawn anew with the patients. What other trainings would give is told by the differences seed by seed,
    with Student's t: patients and trainings must both be apart from 0 for `better`; where the patients alone are, it is
    `better in these trainings`. One training tells nothing of others.

    Pairs are every arm against each of `table.against`, or, where that is empty, neighbours in the table's order.
    """
    found = []
    for task in tasks:
        for label in labels_of(run, table, task):
            trainings = Trainings(run, table, task, label)
            there = [arm for arm in table.arms if results_of(run, arm, task, label)]
            if table.against:
                every = [(other, arm) for other in table.against for arm in there if arm != other]
                pairs = [pair for place, pair in enumerate(every) if pair[::-1] not in every[:place]]
            else:
                pairs = list(itertools.pairwise(there))
            few = f", {labels_words(task.fraction)}" if len(table.amounts) > 1 else ""
            for other, arm in pairs:
                one = _compared(run, table, trainings, arm, other)
                if one is not None:
                    found.append(replace(one, about=f"{task.store.name}, {label}{few}: {one.about}"))
    return corrected(found)


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """Return comparisons with their p-values adjusted for all of them together."""
    adjusted = holm([one.p for one in found])
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def difference_words(one: Difference, comparisons: int) -> str:
    """Say a difference in one line.

    Args:
        one: Which.
        comparisons: How many the table makes, which `adjusted` is corrected for.
    """
    told = f"{one.about} {one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    if len(one.by_seed) > 1 and np.isinf(one.half):
        told += f", the same in {len(one.by_seed)} trainings"
    elif len(one.by_seed) > 1:
        listed = ", ".join(f"{each:+.3f}" for each in one.by_seed)
        told += f", over trainings [{one.value - one.half:+.3f}, {one.value + one.half:+.3f}] of {listed}"
    word = one.word
    if comparisons > 1 and word != "not told apart" and one.adjusted > 1 - _LEVEL:
        word += f", by itself and not among {comparisons}"
    if np.isnan(one.p):
        return f"{told}: {word}"
    p = f"p {_p_words(one.p)}" + (f", {_p_words(one.adjusted)} among {comparisons}" if comparisons > 1 else "")
    p += "" if np.isnan(one.delong_p) else f"; DeLong {_p_words(one.delong_p)}"
    return f"{told}: {word} ({p})"


def difference_of(ours: Mapping[int, Training], theirs: Mapping[int, Training], metric: str = "") -> Difference:
    """Return the difference of two arms by the seeds that both have."""
    seeds = sorted(ours.keys() & theirs.keys())
    each = np.array([ours[seed].value - theirs[seed].value for seed in seeds])
    drawn = over_label_draws(_mean(ours, seeds)) - over_label_draws(_mean(theirs, seeds))
    low, high = percentile_interval(drawn, level=_LEVEL)
    half = float("inf")
    # Trainings that are the same (weights from elsewhere, tried once) tell nothing of others.
    if len(seeds) > 1 and np.ptp(each) != 0:
        half = float(stats.t.ppf(0.5 + _LEVEL / 2, len(seeds) - 1) * each.std(ddof=1) / np.sqrt(len(seeds)))
    known = drawn[~np.isnan(drawn)]
    p = _two_sided(float(each.mean()), float(known.std()) if len(known) else float("nan"))
    by_seed = tuple(float(one) for one in each)
    value = float(each.mean())
    return Difference(
        about="", value=value, low=low, high=high, p=p, adjusted=p, by_seed=by_seed, half=half, metric=metric
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values of several tests so that the chance of any false finding stays below the level (Holm 1979).

    What is not defined (NaN) is no test and stays so.
    """
    known = np.flatnonzero(~np.isnan(np.asarray(ps, dtype=float)))
    order = known[np.argsort(np.asarray(ps, dtype=float)[known], kind="stable")]
    factors = len(known) - np.arange(len(known))
    adjusted = np.full(len(ps), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(ps, dtype=float)[order] * factors))
    return [float(one) for one in adjusted]


def _compared(run: StudyRun, table: StudyTable, trainings: Trainings, arm: str, other: str) -> Difference | None:
    """Compare an arm with another or a baseline; nothing where the other was not scored."""
    arms = run.study.arms
    if other in arms and not trainings.of(other):
        return None
    # A baseline has no training of its own: it stands in the results of the arm that it is compared with.
    beside = (other, "") if other in arms else (arm, other)
    shared = trainings.shared(arm, beside[0])
    ours, theirs = trainings.of(arm, "", shared), trainings.of(*beside, shared)
    if not ours.keys() & theirs.keys():
        return None
    title = arms[other].title if other in arms else other.replace("_", " ")
    delong_p = trainings.delong_p(arm, beside)
    return replace(difference_of(ours, theirs, table.metric), about=f"{arms[arm].title} - {title}", delong_p=delong_p)


def _p_words(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _two_sided(mean: float, deviation: float) -> float:
    """Return NaN where it is not defined: no figure, or none that differs from resample to resample."""
    if deviation > 0:
        return float(2 * stats.norm.sf(abs(mean) / deviation))
    return 1.0 if mean == 0 else float("nan")


def _mean(trainings: Mapping[int, Training], seeds: Sequence[int]) -> Draws:
    """Average (label draws, resamples) over the trainings."""
    mean: Draws = np.mean([np.stack(trainings[seed].draws) for seed in seeds], axis=0)
    return mean
