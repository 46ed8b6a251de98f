"""What the networks that an evaluation kept answer about images that each has never seen, and what speaks for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from vesalius.data.seen_images import SCHEMA, Answers, open_answers, write_answers
from vesalius.data.store import Store
from vesalius.evaluation.explain_one import Activation, explain_one
from vesalius.evaluation.explained_subject import ClassSubject, PartSubject, Subject
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.evaluation.networks_of_run import RunNetworks
from vesalius.interpret.localisation import enlarge

__all__ = ["answers_work", "see_answers"]

_AT_A_TIME = 32  # images a file that is kept until all are done
_SIDE = 56
"""Of a class activation map as it is kept; the last maps of a backbone are no finer at 224 px, and 4 px patches."""


def see_answers(
    run: Path,
    evaluation: str,
    models: RunNetworks,
    store: Store,
    *,
    activations: bool = True,
    advance: Callable[[int], None] = lambda _: None,
) -> Answers:
    """Compute predicted masks and class activation maps, or open what was computed before; resumable.

    Args:
        run: The run folder; written into its `explorer/`.
        evaluation: Whose networks they are.
        models: The networks.
        store: Whose images.
        activations: Also class activation maps: of every part, or of the predicted class, see `Activation`.
        advance: Told the images that are done, of `answers_work`.

    Raises:
        RunError: What was kept is damaged.
    """
    subjects = _subjects(models, store) if activations else []
    about = {
        "evaluation": evaluation,
        "task": models.about.task,
        "label": models.about.label,
        "names": list(models.about.names),
        "explained": [one.name for one in subjects],
        "networks": list(models.files),
    }
    what = ["answers", SCHEMA, store.fingerprint, store.mask_fingerprint, sorted(about.items())]
    folder = run / "explorer" / digest_of(what)[:16]
    there = open_answers(folder)
    if there is not None:
        advance(answers_work(models))
        return there
    parts = []
    for number, network in enumerate(models.networks):
        rows = network.rows.numpy()
        for start in range(0, len(rows), _AT_A_TIME):
            some = rows[start : start + _AT_A_TIME]
            kept = folder / "parts" / f"{number}-{start}.npz"
            kept_arrays(kept, lambda some=some: _answer(models, subjects, store, some))  # type: ignore[misc]
            parts.append(kept)
            advance(len(some))
    write_answers(folder, about, parts=parts)
    shutil.rmtree(folder / "parts", ignore_errors=True)
    found = open_answers(folder)
    assert found is not None  # noqa: S101 (written above)
    return found


def answers_work(models: RunNetworks) -> int:
    """Return how many images are answered about, for a progress bar."""
    return len(models.rows)


def _subjects(models: RunNetworks, store: Store) -> Sequence[Subject]:
    about = models.about
    if about.task == "segment":
        return [PartSubject(name, store.size) for name in about.names]
    return [ClassSubject(about.label, one) for one in (about.names if about.kind == "multilabel" else ("",))]


def _answer(
    models: RunNetworks, subjects: Sequence[Subject], store: Store, rows: Int[np.ndarray, " rows"]
) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {"rows": rows}
    network = models.never_saw(int(rows[0]))
    if models.about.task == "segment":
        logits = models.logits(network, models.pixels(network, store, rows))
        found["predicted"] = enlarge(logits, (store.size, store.size)).argmax(1).to(torch.uint8).numpy()
    if subjects:
        maps = [[_kept_map(models, one, store, int(row)) for one in subjects] for row in rows]
        found["activation"] = np.array(maps, dtype=np.uint8)
    return found


def _kept_map(models: RunNetworks, subject: Subject, store: Store, row: int) -> UInt8[np.ndarray, "side side"]:
    """Return a map as it is kept; an empty one where the network shows nothing of the subject."""
    explained = explain_one(models, subject, store, row, Activation())
    if explained is None:
        return np.zeros((_SIDE, _SIDE), dtype=np.uint8)
    small: Float[Tensor, "1 1 side side"] = functional.adaptive_avg_pool2d(explained.saliency[None, None], _SIDE)
    return np.asarray((small[0, 0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
