"""What the trainings on labels of a study take, counted and timed before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from vesalius.backbones.create_backbone import create_backbone
from vesalius.backbones.interface import Backbone
from vesalius.config import apply_overrides, build
from vesalius.data.store import open_store
from vesalius.evaluation.detect import detect_cost
from vesalius.evaluation.detection_options import DetectOptions, DetectTraining
from vesalius.evaluation.evaluate_run import finetune_cost
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.options import EvaluationOptions
from vesalius.evaluation.segment_networks import segment_cost
from vesalius.evaluation.segment_options import SegmentOptions, SegmentTraining
from vesalius.study.definition import Study, StudyArm
from vesalius.study.label_trainings import LabelTraining
from vesalius.study.scored import Scored
from vesalius.training.recipe import load_recipe

__all__ = ["label_training"]

_SECONDS: dict[tuple[str, ...], float] = {}


def label_training(study: Study, arm: StudyArm, overrides: Sequence[str], task: Scored) -> LabelTraining | None:
    """Count and time one network's trainings on the labels of a task; None of tasks on frozen features.

    The architecture alone matters: it has random weights here, nothing is downloaded, and nothing is kept.
    """
    if not (task.task in ("finetune", "detect") or (task.task == "segment" and task.decoder != "linear")):
        return None
    config = load_recipe(arm.recipe, overrides=[*arm.set, *overrides]).backbone
    with torch.random.fork_rng(devices=[]):
        backbone = create_backbone(config.model_copy(update={"pretrained": False, "weights": None}))
    steps, timer = _cost(study, backbone, task)
    network = config.model_copy(update={"pretrained": False, "weights": None}).model_dump_json()
    # Labels of one store are as fast as each other; few of them make small batches, and stores are read as they are.
    amount = "" if task.task == "detect" else f"{task.fraction:g}"  # its batches are as large of few images
    what = (str(task.store), amount, task.task, task.decoder, *task.parts, str(task.input_size(study)))
    kind = (network, *what, *study.finetune, *study.segment, *study.detect)
    if kind not in _SECONDS:
        _SECONDS[kind] = timer()
    return LabelTraining(steps=steps, step_seconds=_SECONDS[kind], network=network)


def _cost(study: Study, backbone: Backbone, task: Scored) -> tuple[int, Callable[[], float]]:
    if task.task == "detect":
        training = build(DetectTraining, apply_overrides({}, study.detect), source="detect")
        options = DetectOptions(training=training, fractions=(task.fraction,), seeds=task.draws)
        return detect_cost(backbone, Path(task.store), options=options)
    store = open_store(task.store)
    shared: dict[str, Any] = {"protocol": task.protocol, "folds": task.folds, "seeds": task.draws}
    shared |= {"fractions": (task.fraction,), "image_size": task.input_size(study)}
    if task.task == "finetune":
        tuning = build(FinetuneOptions, apply_overrides({}, study.finetune), source="finetune")
        return finetune_cost(backbone, store, label=task.label, options=EvaluationOptions(finetune=tuning, **shared))
    networks = build(SegmentTraining, apply_overrides({}, study.segment), source="segment")
    learning = SegmentOptions(decoder=task.decoder, training=networks, **shared)
    return segment_cost(backbone, store, parts=task.parts, options=learning)
