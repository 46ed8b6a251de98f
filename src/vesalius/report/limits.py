"""What the figures of some runs do not show, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.evaluation.amounts import ALL
from vesalius.report.run_folder import Run

__all__ = ["limits"]

_ALWAYS = (
    "Whether any of this helps a patient. These are scores of features on labels, not of a diagnostic device; nothing "
    "here is cleared for clinical use.",
    "How it does elsewhere. Training and test images share their source; another hospital, scanner or population was "
    "not tried unless its store is named above.",
    "That a high score comes from anatomy. View, framing, age and exposure go together with many labels; raw pixels "
    "show how far that alone carries.",
    "How much luck was in the training. The intervals are over the test patients; each network was trained once, and "
    "another seed may give another figure.",
    "Why the network decides. Attention, explained cases and neighbours are examples, a few of very many; they "
    "illustrate and do not prove.",
)


def limits(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the limits that hold for these runs, then those that always hold."""
    said = []
    if any(run.status != "done" for run in runs):
        said.append("A training that has not finished: figures of an unfinished run say little about the finished one.")
    if any(run.about.get("alarms") for run in runs):
        said.append("A healthy training throughout: at least one alarm was raised, see Training.")
    scores = [
        score for run in runs for each in run.evaluations for score in each.result.scores if score.arm != "chance"
    ]
    if any(score.fraction != ALL and score.seeds < 2 for score in scores):
        said.append("How much the choice of labels matters: at least one score with few labels was drawn only once.")
    return (*said, *_ALWAYS)
