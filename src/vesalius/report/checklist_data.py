"""Answers of checklists about data, labels and patients, a function each."""

from __future__ import annotations

import numpy as np

from vesalius.data.manifest import label_column
from vesalius.data.store import Store
from vesalius.evaluation.targets import KINDS, is_soft
from vesalius.report.run_folder import Run
from vesalius.report.told import Answer, Told, a_run, scored_stores
from vesalius.report.wording import count, joined, plain_name

__all__ = [
    "acquisition",
    "analyses",
    "characteristics",
    "class_balance",
    "data_licences",
    "data_sources",
    "deidentification",
    "disjoint",
    "exclusions",
    "included",
    "label_definitions",
    "missing_labels",
    "partitions",
    "predictors",
    "preprocessing",
    "subsets",
    "training_and_evaluation",
]

_SIDES = {
    "masks": "all images, no layer was fitted to masks",
    "patients": "sides of the folder, apart by patient",
    "images": "sides as given; patients are not known",
    "other_store": "learned on another store",
}
_DEMOGRAPHIC = ("age", "sex", "view")
_FOLDER = "name of the sub-folder"


def data_sources(told: Told) -> Answer:
    """Every store with its counts and its source."""
    said = []
    for sheet in told.found:
        facts = dict(sheet.facts)
        source = f"; {facts['Please cite']}" if "Please cite" in facts else ""
        said.append(
            f"{sheet.name} (fingerprint {sheet.fingerprint}): {facts['Images']} images, patients: {facts['Patients']}; "
            f"used for {sheet.roles}{source}."
        )
    return tuple(said)


def exclusions(told: Told) -> Answer:
    """What the program refused, by reason; why a patient was looked at is not known to it."""
    said = []
    for sheet in told.found:
        reasons = "; ".join(f"{reason}: {number:,}" for reason, number in sheet.refused)
        facts = dict(sheet.facts)
        files = f"files refused: {facts['Refused']}{f' ({reasons})' if reasons else ''}"
        said.append(f"{sheet.name}: {files}, duplicates left out: {facts['Duplicates left out']}.")
    return tuple(said)


def preprocessing(told: Told) -> Answer:
    """How files became images of a store, and these the input of a network."""
    stored = [
        f"{sheet.name}: stored as {facts['Stored as']}; window taken from {facts['Window taken from']}; polarity "
        f"inverted: {facts['Polarity inverted']}."
        for sheet in told.found
        for facts in [dict(sheet.facts)]
    ]
    inputs = a_run(told, lambda run: f"Input {run.input_size[0]} × {run.input_size[1]} px." if run.input_size else "")
    return (*stored, *inputs) if stored else ()


def subsets(told: Told) -> Answer:
    """Which splits were trained on."""

    def say(run: Run) -> str:
        data = run.about.get("data") or {}
        names, splits = str(data.get("store", "")).split(" + "), data.get("split") or ()
        if isinstance(splits, str) or len(names) != len(splits):
            return ""
        taken = joined([f"{split} of {name.rsplit('/', 1)[-1]}" for name, split in zip(names, splits, strict=True)])
        return f"Pretrained on {taken}: {int(data['images']):,} images." if "images" in data else ""

    return a_run(told, say)


def deidentification(told: Told) -> Answer:
    """What of a patient is in the stores and results."""
    names = joined([sheet.name for sheet in told.found])
    if not names:
        return ()
    return (
        f"Patients, studies and images of {names} bear salted hashes in results and on this page; the manifest "
        "of a store also holds the paths of its files. Text that is burnt into pixels was not looked for.",
    )


def missing_labels(told: Told) -> Answer:
    """Where labels that were scored are not known or soft: those images are left out of that label."""
    scored = [(each, label) for each in scored_stores(told) for label in each.labels]
    said, softs = [], 0
    for each, label in scored:
        values = each.store.manifest[label_column(label)]
        missing, soft = int(values.isna().sum()), _soft(each.store, label)
        softs += soft
        if missing:
            said.append(f"{plain_name(label)} is not known for {count(missing, 'image')} of {each.title}.")
        if soft:
            said.append(f"{plain_name(label)} is between two classes for {count(soft, 'image')} of {each.title}.")
    if not said:
        return ("No scored label is missing.",) if scored else ()
    where = "not known, or between two classes" if softs else "not known"
    return (*said, f"Images are left out of the scores of a label where it is {where}.")


def _soft(store: Store, label: str) -> int:
    if store.labels[label]["kind"] not in KINDS:
        return 0
    values = store.manifest[label_column(label)].to_numpy(dtype=np.float64, na_value=np.nan)
    return int(is_soft(values).sum())


def acquisition(told: Told) -> Answer:
    """What the files tell of how images were taken."""
    return tuple(
        f"{sheet.name}: width {facts['Original width']}, height {facts['Original height']}, bits "
        f"{facts['Bits in the source']}; pixel spacing known for {facts['Pixel spacing known']}."
        for sheet in told.found
        for facts in [dict(sheet.facts)]
    )


def label_definitions(told: Told) -> Answer:
    """The labels that were scored, as their stores describe them, and what is known against them.

    Where a label was found says nothing of how it was obtained, so that such a description is none.
    """
    said, known = [], []
    warnings = {sheet.fingerprint: sheet.warnings for sheet in told.found}
    for each in scored_stores(told):
        described = [(label, _description(each.store, label)) for label in each.labels]
        mine = [f"{plain_name(label)} ({each.title}): {words}." for label, words in described if words]
        said += mine
        known += [f"{each.title}: {one}." for one in warnings.get(each.store.fingerprint[:8], ()) if mine]
    return (*said, *known)


def _description(store: Store, label: str) -> str:
    """Return how a label is described, unless `vesalius prepare` put the name of its column or folder there."""
    words = str(store.labels[label].get("description") or "").strip()
    found = words in (f"column {label}", _FOLDER) or words.startswith(f"column {label} of ")
    return "" if found else words


def partitions(told: Told) -> Answer:
    """Counts of the splits, and how the sides of every evaluation were made."""
    said = []
    for sheet in told.found:
        whose = [f" of {count(patients, 'patient')}" if not sheet.unknown else "" for _, _, patients in sheet.splits]
        parts = [
            f"{split} {count(images, 'image')}{of}" for (split, images, _), of in zip(sheet.splits, whose, strict=True)
        ]
        said.append(f"{sheet.name}: {sheet.dealt}; {joined(parts)}.")
    unknown = {sheet.fingerprint for sheet in told.found if sheet.unknown}
    sides: dict[str, list[str]] = {}
    for each in told.evaluations:
        result = each.result
        words = str(result.settings.get("sides") or _SIDES.get(result.protocol, result.protocol))
        if each.fingerprint in unknown and result.protocol in ("split", "folds"):
            words += "; each file of an unknown patient counts as a patient of its own"
        sides.setdefault(words, []).append(plain_name(result.label))
    return (*said, *(f"Scored on {joined(list(dict.fromkeys(labels)))}: {words}." for words, labels in sides.items()))


def disjoint(told: Told) -> Answer:
    """The outcome of the check that no patient is on two sides."""
    return tuple(f"{sheet.name}: {sheet.overlap}" for sheet in told.found if sheet.overlap)


def included(told: Told) -> Answer:
    """Images and patients that are in, files that are not."""
    said = []
    for sheet in told.found:
        facts = dict(sheet.facts)
        said.append(
            f"{sheet.name}: {facts['Images']} images included, patients: {facts['Patients']}; files refused: "
            f"{facts['Refused']}, duplicates left out: {facts['Duplicates left out']}."
        )
    return tuple(said)


def characteristics(told: Told) -> Answer:
    """Age, sex and view as far as stores know them, in train, val and test."""
    return tuple(
        f"{sheet.name}, {label} {words}: {' / '.join(f'{number:,}' for number in numbers)} (train / val / test)."
        for sheet in told.found
        for label, words, numbers in sheet.labels
        if label in _DEMOGRAPHIC and any(numbers)
    )


def class_balance(told: Told) -> Answer:
    """Images of every class of the labels that were scored, in the stores that they were scored in."""
    scored = {each.store.fingerprint[:8]: {plain_name(label) for label in each.labels} for each in scored_stores(told)}
    counts: dict[str, list[str]] = {}
    for sheet in told.found:
        for label, words, numbers in sheet.labels:
            if label in scored.get(sheet.fingerprint, ()):
                counts.setdefault(f"{label} ({sheet.name})", []).append(f"{words} {sum(numbers):,}")
    return tuple(f"{label}: {', '.join(numbers)} images." for label, numbers in counts.items())


def analyses(told: Told) -> Answer:
    """Images and patients of every evaluation, and the events in the stores."""
    said: dict[str, None] = {}
    for result in told.results:
        scored = f"scored on {result.test_images:,} images of {result.test_patients:,} patients"
        learned = f"learned on {result.train_images:,} images of {result.train_patients:,} patients"
        how = {"masks": scored, "folds": f"{scored}, in folds"}.get(result.protocol, f"{learned}, {scored}")
        said[f"{plain_name(result.label)}: {how}."] = None
    return (*said, *class_balance(told)) if said else ()


def predictors(told: Told) -> Answer:
    """The pixels of one image, and nothing else."""
    channels = {dict(sheet.facts)["Stored as"] for sheet in told.found}
    sizes = {run.input_size for run in told.runs}
    if not channels or None in sizes:
        return ()
    return (f"The pixels of one image and no other variable; images are stored as {joined(sorted(channels))}.",)


def training_and_evaluation(told: Told) -> Answer:
    """What of the scored images the pretraining had seen."""
    return tuple(dict.fromkeys(f"{plain_name(result.label)}: {result.seen_in_words()}" for result in told.results))


def data_licences(told: Told) -> Answer:
    """The licences that stores carry."""
    return tuple(
        f"{sheet.name}: {facts['Licence']}."
        for sheet in told.found
        for facts in [dict(sheet.facts)]
        if "Licence" in facts
    )
