"""Answers of checklists about the model and its training, a function each."""

from __future__ import annotations

from typing import Any

from vesalius.report.reader_choice import reader_choice, repeats
from vesalius.report.run_folder import Run
from vesalius.report.told import Answer, Told, a_run, recipe_of
from vesalius.report.wording import count, duration, joined, plain_name, plain_value, task_name
from vesalius.version import __version__

__all__ = [
    "availability",
    "ensembles",
    "initialisation",
    "model",
    "model_choice",
    "protocol",
    "software",
    "technology",
    "training_details",
]


def _part(run: Run, name: str) -> dict[str, Any]:
    found = recipe_of(run).get(name)
    return found if isinstance(found, dict) else {}


def _settings(values: dict[str, Any], names: tuple[str, ...]) -> str:
    there = [f"{plain_name(name)} {plain_value(values[name])}" for name in names if values.get(name) is not None]
    return ", ".join(there)


def technology(told: Told) -> Answer:
    """The kind of learning, by the recipe's method."""

    def say(run: Run) -> str:
        method, guidance = _part(run, "method").get("name"), _part(run, "guidance")
        guided = ", guided by maps of the anatomy" if guidance else ""
        return f"Deep learning: self-supervised pretraining ({method}){guided}." if method else ""

    return a_run(told, say)


def model(told: Told) -> Answer:
    """Architecture, size and input of the backbone, and the method's own settings."""

    def say(run: Run) -> str:
        if not run.architecture:
            return ""
        weights = f", {int(run.about['parameters']):,} parameters" if run.about.get("parameters") else ""
        size = f", input {run.input_size[0]} × {run.input_size[1]} px" if run.input_size else ""
        method = _part(run, "method")
        settings = "; ".join(
            f"{plain_name(str(name))} {plain_value(value)}" for name, value in method.items() if value is not None
        )
        return f"Backbone {run.architecture}{weights}{size}." + (f" Method: {settings}." if settings else "")

    return a_run(told, say)


def software(told: Told) -> Answer:
    """Packages with their versions."""

    def say(run: Run) -> str:
        versions = run.about.get("versions") or {}
        return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) + "." if versions else ""

    return a_run(told, say)


def initialisation(told: Told) -> Answer:
    """Where the first weights came from."""

    def say(run: Run) -> str:
        backbone = _part(run, "backbone")
        if backbone.get("weights"):
            first = f"weights of {backbone['weights']}"
        elif backbone.get("pretrained"):
            first = f"timm's published weights of {backbone.get('name')}"
        elif "pretrained" in backbone:
            first = f"random ({backbone.get('init') or 'as timm does'})"
        else:
            return ""
        return f"First weights: {first}; seed {run.about.get('seed', 'not recorded')}."

    return a_run(told, say)


def training_details(told: Told) -> Answer:
    """Optimizer, schedule, views and what the training took."""

    def say(run: Run) -> str:
        optimizer, views = _part(run, "optimizer"), _part(run, "views")
        if not optimizer:
            return ""
        plain = _settings(optimizer, ("name", "lr", "warmup_epochs", "min_lr", "weight_decay", "weight_decay_end"))
        batch = _settings(_part(run, "training"), ("batch_size",))
        about = run.about
        took = [f"{int(about['steps']):,} steps"] if about.get("steps") is not None else []
        took += [f"{float(about['epochs']):,.4g} passes"] if about.get("epochs") is not None else []
        took += [duration(float(about["seconds"]))] if about.get("seconds") is not None else []
        where = f"{about.get('device', 'device not recorded')}, {about.get('precision', 'precision not recorded')}"
        shown = f" Views: {views['plan']} ({plain_value(views.get('options') or {})})." if views.get("plan") else ""
        return f"Optimizer: {plain}; {batch}. Took {joined(took) or 'a time not recorded'} on {where}.{shown}"

    return a_run(told, say)


def model_choice(told: Told) -> Answer:
    """What the pretraining took, the last step or the best look at patients held out, and how readers were chosen."""

    def say(run: Run) -> str:
        best = run.about.get("best_validation")
        if best and _part(run, "validation").get("patience"):
            return f"Pretraining: the weights of the best look at patients held out (loss {float(best['loss']):.4g})."
        if run.status != "done":
            return ""
        if run.about.get("steps") == 0:
            return "The weights as they were initialised, not pretrained."
        return "Pretraining: the weights after the last step, none chosen by a score."

    readers = dict.fromkeys(words for result in told.results if (words := reader_choice(result)))
    return (*a_run(told, say), *readers)


def ensembles(told: Told) -> Answer:
    """None are made; scores of several draws are averaged, answers are not."""
    if not told.results:
        return ()
    over: dict[str, dict[str, None]] = {}
    for result in told.results:
        if words := repeats(result).in_words():
            over.setdefault(words, {})[task_name(result)] = None
    means = (f"Scores are means over {words} ({joined(list(tasks))})." for words, tasks in over.items())
    return ("None: answers of networks are not joined.", *means)


def protocol(told: Told) -> Answer:
    """Where the recipe and the command lines are."""
    recipes = sum(bool(recipe_of(run)) for run in told.runs)
    if not recipes:
        return ()
    return (f"{count(recipes, 'complete recipe')} and all command lines stand under How to reproduce.",)


def availability(told: Told) -> Answer:
    """The program, and what of the run can be handed on."""
    recorded = {str((run.about.get("versions") or {}).get("vesalius", "")) for run in told.runs} - {""}
    if not recorded:
        return ()
    weights = joined([f"{run.name} ({run.architecture})" for run in told.runs if run.architecture])
    kept = f" Weights as safetensors: {weights}." if weights else ""
    return (f"Trained with vesalius {joined(sorted(recorded))} (Apache-2.0), reported by {__version__}.{kept}",)
