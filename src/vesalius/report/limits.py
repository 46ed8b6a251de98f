"""What the figures of some runs do not show, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.evaluation.amounts import ALL
from vesalius.report.pretraining_store import of_pretraining
from vesalius.report.reader_choice import repeats
from vesalius.report.run_folder import Run
from vesalius.report.stores import Stores
from vesalius.report.wording import count, joined, plain_name

__all__ = ["limits"]

_NO_PATIENT = (
    "Whether any of this helps a patient. These are scores of features on labels, not of a diagnostic device; nothing "
    "here is cleared for clinical use."
)
_NO_ANATOMY = (
    "That a high score comes from anatomy. View, framing, age and exposure go together with many labels; raw pixels "
    "show how far that alone carries."
)
_NO_REASON = (
    "Why the network decides. Attention, explained cases and neighbours are examples, a few of very many; they "
    "illustrate and do not prove."
)
_NOTHING = "How good it is. Nothing was scored yet."
_WHOSE = "whether that is another hospital, scanner or population is not known to the program"


def limits(runs: Sequence[Run], stores: Stores) -> tuple[str, ...]:
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
    if not any(run.evaluations for run in runs):
        return (*said, _NO_PATIENT, _NOTHING, _NO_REASON)
    return (*said, _NO_PATIENT, _elsewhere(runs, stores), _NO_ANATOMY, _luck(runs), _NO_REASON)


def _elsewhere(runs: Sequence[Run], stores: Stores) -> str:
    """Say on what sides of a store labels were learned and scored, and whether the pretraining had that store."""
    scored = [(run, each) for run in runs for each in run.evaluations]
    learned = [each.result for _, each in scored if each.result.protocol != "masks"]
    apart = dict.fromkeys(plain_name(each.label) for each in learned if each.protocol == "other_store")
    together = any(each.protocol != "other_store" for each in learned)
    said = []
    if apart and together:
        said.append(f"Of {joined(list(apart))} there are scores on another store than was learned on; {_WHOSE}.")
        said.append("All other training and test images share their source.")
    elif apart:
        said.append(f"All labels were scored on another store than was learned on; {_WHOSE}.")
    elif together:
        said.append("Training and test images share their source; no other was tried.")
    owned = [of_pretraining(run, each, stores) for run, each in scored]
    if False in owned:
        some = "Some" if True in owned or None in owned else "All"
        said.append(f"{some} scored images are of another store than the pretraining's; {_WHOSE}.")
    if True in owned:
        some = "some" if False in owned or None in owned else "all"
        said.append(f"The pretraining had learned from the store of {some} scored images.")
    return " ".join(["How it does elsewhere.", *(said or ["Nothing is known of where else it was tried."])])


def _luck(runs: Sequence[Run]) -> str:
    """Say what was trained more than once; intervals are over patients in any case."""
    seeds: dict[tuple[str, ...], set[str]] = {}
    for run in runs:
        data = run.about.get("data") or {}
        what = (str(run.about.get("recipe")), run.architecture, str(data.get("fingerprint")))
        seeds.setdefault(what, set()).add(str(run.about.get("seed")))
    most = max(map(len, seeds.values()), default=1)
    trainings = max((repeats(each.result).trainings for run in runs for each in run.evaluations), default=1)
    said = ["How much luck was in the training. The intervals are over the test patients."]
    if most > 1:
        rest = ", others once" if min(map(len, seeds.values())) == 1 else ""
        said.append(f"The same pretraining is shown with up to {count(most, 'seed')}{rest}; no interval is over them.")
    else:
        said.append("Each network was pretrained once, and another seed may give another figure.")
    if trainings > 1:
        said.append(f"On all labels of a set up to {count(trainings, 'training')} of a network were taken.")
    return " ".join(said)
