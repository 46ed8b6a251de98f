"""What was typed, or would be typed, to make the figures of a page again."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesalius.evaluation.options import EvaluationOptions
from vesalius.records.result import Result
from vesalius.report.redaction import command_without_folders
from vesalius.report.run_folder import Evaluation, Run
from vesalius.report.stores import Stores

__all__ = ["commands"]


def commands(runs: Sequence[Run], stores: Stores) -> list[str]:
    """Return one line a training, an evaluation and the page; folders as their last component only."""
    lines = [
        command_without_folders(str(run.about["command"]), recipe=str(run.about.get("recipe", "")))
        for run in runs
        if run.about.get("command")
    ]
    lines += dict.fromkeys(_evaluation(run, each, stores) for run in runs for each in run.evaluations)
    lines.append(shlex.join(["vesalius", "report", *(run.path.name for run in runs), "--out", "report.html"]))
    return lines


def _evaluation(run: Run, evaluation: Evaluation, stores: Stores) -> str:
    result = evaluation.result
    learned_on, scored_on = _store_names(evaluation, stores)
    line = ["vesalius", "evaluate", run.path.name, "--data", learned_on]
    if scored_on is not None:
        line += ["--test-data", scored_on]
    changed = _changed(result)
    label = result.label
    if result.task == "segment":  # all parts are told apart together
        label = ",".join(changed.pop("parts", ()))
    elif (result.task, label) in (("regions", "mean"), ("coordinates", "places"), ("detect", "objects")):  # all at once
        label = ""
    line += ["--task", result.task, *(["--label", label] if label else [])]
    if changed.pop("maps", None):  # a digest, which tells results apart
        line += ["--maps", str(result.settings.get("maps", "MAPS"))]
    tuning = changed.pop("finetune", {}) or changed.pop("training", {})
    line += ["--search", tuning.pop("search")] if "search" in tuning else []
    line += [word for name, value in tuning.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    for name, value in changed.items():
        shown = ",".join(f"{each:g}" for each in value) if isinstance(value, list | tuple) else str(value)
        line += [f"--{name.replace('_', '-')}", shown]
    return shlex.join(line)


def _store_names(evaluation: Evaluation, stores: Stores) -> tuple[str, str | None]:
    """The store learned on, and the one scored on where it is another."""
    told = evaluation.result.settings.get("stores")
    if told:
        return str(told[0]["name"]), str(told[-1]["name"]) if len(told) > 1 else None
    scored = stores.of(evaluation.fingerprint)
    name = scored.path.name if scored else "STORE"
    learned = Path(str((evaluation.neighbours or {}).get("store") or name)).name
    return learned, name if learned != name else None


def _changed(result: Result) -> dict[str, Any]:
    """What differs from the defaults; of a result that does not say, as far as its settings tell."""
    settings = result.settings
    if "changed" in settings:
        return copy.deepcopy(dict(settings["changed"]))
    names = ("k", "fractions", "seeds", "random_inits", "solver", "precision", "bootstrap", "seed")
    told = {name: settings[name] for name in names if settings.get(name)}
    if result.protocol in ("split", "folds") and str(settings.get("sides", "")).endswith("as asked"):
        told |= {"protocol": result.protocol} | ({"folds": settings["pairs"]} if result.protocol == "folds" else {})
    return EvaluationOptions(**told).changed(result.task)
