"""Three sentences in plain words: what was trained, how it stands to no training, how it stands to raw pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vesalius.report.run_folder import Run
from vesalius.report.standing import Measured, Standing, measured
from vesalius.report.wording import count, duration, joined, learns_on, plain_name, spelled

__all__ = ["summarise"]

_STATES = {
    "done": "the training finished",
    "running": "the training is recorded as still running, so every figure here is provisional,",
    "interrupted": "the training was interrupted",
}


def summarise(runs: Sequence[Run]) -> tuple[str, str, str]:
    """Return the three sentences that open the page."""
    measurements = [
        (plain_name(evaluation.result.label), measured(evaluation.result))
        for run in runs
        for evaluation in run.evaluations
    ]
    learned = {learns_on(evaluation.result) for run in runs for evaluation in run.evaluations}
    return _what_was_done(runs), _against_untrained(measurements, learned), _against_pixels(measurements)


def _what_was_done(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        run = runs[0]
        state = _STATES.get(run.status, "the training's state is not recorded")
        after = f" after {duration(float(run.about['seconds']))}" if "seconds" in run.about else ""
        who = f"A network ({run.architecture})" if run.architecture else "A network"
        if run.about.get("steps") == 0:
            return f"{who} was taken as it is initialised by {_recipe(run)}, and not pretrained here."
        return f"{who} was pretrained by {_recipe(run)}{_images(run)}, {_labels(run)}; {state}{after}."
    parts = [f"{run.name} ({_recipe(run)}{_images(run)}, {_labels(run)}{_state(run)})" for run in runs]
    return f"{spelled(len(runs)).capitalize()} pretrainings are compared: {joined(parts)}."


def _labels(run: Run) -> str:
    """Tell whose labels the training had: none, an exemplar's mask, or those of a segmenter behind its maps."""
    data = run.about.get("data") or {}
    labelled = [data[kind].get("labelled") or {} for kind in ("maps", "regions") if isinstance(data.get(kind), Mapping)]
    images = {image for one in labelled for image in one.get("images", ())}
    guides = [f"the {'mask' if len(images) == 1 else 'masks'} of {count(len(images), 'image')}"] if images else []
    if any(one.get("stores") for one in labelled):
        guides.append("a segmenter that had learned from masks")
    return f"guided by {joined(guides)} and by no other label" if guides else "without seeing a single label"


def _recipe(run: Run) -> str:
    return f"the recipe {run.about['recipe']}" if run.about.get("recipe") else "an unnamed recipe"


def _state(run: Run) -> str:
    return "" if run.status == "done" else f", {run.status}"


def _images(run: Run) -> str:
    data = run.about.get("data") or {}
    images, patients = data.get("images"), data.get("patients")
    if images is None:
        return ""
    return f" on {count(int(images), 'image')}" + (f" of {count(int(patients), 'patient')}" if patients else "")


def _against_untrained(measurements: Sequence[tuple[str, Measured]], learned: set[bool]) -> str:
    """Tell how the networks stand to untrained ones; some of them, or all, went on learning with the labels."""
    if not measurements:
        return "Nothing was scored yet, so this page shows how the training went and not what was learned."
    stands = [each.against("random_init") for _, each in measurements]
    total = len(stands)
    how = "Read out without further training" if True not in learned else "Fine-tuned"
    how += " or read out without further training" if len(learned) > 1 else ""
    text = (
        f"{how}, the pretrained features score clearly above the same network untrained "
        f"in {stands.count(Standing.ABOVE)} of {count(total, 'measurement')} (95 % intervals apart)"
    )
    rest = [
        f"{number} {words}"
        for number, words in (
            (stands.count(Standing.JUST_ABOVE), "above it only in the paired comparison"),
            (stands.count(Standing.WITHIN), "not told apart from it"),
            (stands.count(Standing.JUST_BELOW) + stands.count(Standing.BELOW), "below it"),
            (stands.count(Standing.UNKNOWN), "without that comparison"),
        )
        if number
    ]
    return f"{text}, with {joined(rest)}." if rest else f"{text}."


def _against_pixels(measurements: Sequence[tuple[str, Measured]]) -> str:
    if not measurements:
        return "Run `vesalius evaluate` to score it beside an untrained network and raw pixels."
    # Plain pixels of dense transfer are another baseline; their words stand under their own label.
    stands = [(label, each.against("pixels")) for label, each in measurements if each.task != "segment"]
    known = [(label, stand) for label, stand in stands if stand is not Standing.UNKNOWN]
    if not known:
        dense = any("pixels" in each.scores for _, each in measurements if each.task == "segment")
        beside = "; how dense transfer stands to plain pixels is told under each part" if dense else ""
        return (
            "No label was scored beside raw pixels, so it stays open how much of this the framing of the images gives "
            f"by itself{beside}."
        )
    not_passed = list(dict.fromkeys(label for label, stand in known if not stand.better))
    passed = sum(stand.better for _, stand in known)
    text = f"They pass raw pixels (the image shrunk to 32 × 32, with no network) in {passed} of {len(known)}"
    if not not_passed:
        return f"{text}, so the scores are more than what framing and brightness give away."
    return (
        f"{text}; for {joined(not_passed)} at least one score is no better than what pixels alone give, "
        "and must not be read as anatomy learned."
    )
