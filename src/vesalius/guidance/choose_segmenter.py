"""From the words of `vesalius guide --template average` or `predicted` to a trained segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesalius.config import build
from vesalius.data.knowledge_maps import open_maps
from vesalius.data.store import Store
from vesalius.errors import ConfigError, KnowledgeError
from vesalius.guidance.labelled_images import LabelledImages, open_labelled
from vesalius.guidance.segmenters import check_segmenter
from vesalius.guidance.train_segmenter import STRIDE, SegmenterOptions, segmenter_plan, train_segmenter
from vesalius.guidance.trained_segmenter import TrainedSegmenter, read_segmenter
from vesalius.progress import bar

__all__ = ["choose_segmenter", "default_size"]

LARGEST_ON_CPU, LARGEST = 128, 256
"""Sides of the input, px, where none is asked for."""


def choose_segmenter(
    store: Store,
    out: Path,
    *,
    train_on: str | Path | None,
    weights: str | Path | None,
    parts: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    bf16: bool = False,
    resume: bool = True,
    show: bool = False,
) -> TrainedSegmenter:
    """Open a segmenter's folder, or train one beside the maps, in `<out>.segmenter`.

    Args:
        store: The images to be guided.
        out: Where the maps will be.
        train_on: `STORE[@SPLITS]` with masks.
        weights: Folder of a segmenter that is trained already.
        parts: Which to learn; all by default.
        options: How it is trained, see `SegmenterOptions`; the size is by default that of the labelled store, 128 at
            most on a CPU and 256 elsewhere.
        device: Where.
        bf16: Whether it is trained in bfloat16.
        resume: Go on with an interrupted training.
        show: Show a bar.

    Raises:
        ConfigError: Neither or both of store and folder are named; an unknown segmenter or option; options of a
            segmenter that is trained already.
        KnowledgeError: Labelled images that cannot be learned from, a damaged segmenter, one that was made for another
            geometry, or `out` is taken.
    """
    if (train_on is None) == (weights is None):
        raise ConfigError(
            "a predicted map needs a segmenter: name a labelled store by --train-on STORE, or the folder of a trained "
            f"one by --segmenter-weights; got {'neither' if weights is None else 'both'}"
        )
    if weights is not None:
        if options:
            raise ConfigError(
                f"{', '.join(sorted(options))} of a segmenter that is trained already cannot be changed; leave out, or "
                "train one by --train-on"
            )
        segmenter = read_segmenter(Path(weights))
        _check_parts(segmenter, parts)
        _check_fit(store, str(segmenter.info["preprocessing"]["fit"]), str(weights))
        return segmenter
    assert train_on is not None  # noqa: S101 (for the type checker)
    chosen = build(SegmenterOptions, options or {}, source="segmenter")
    check_segmenter(chosen.architecture)
    labelled = open_labelled(train_on, parts, seed=chosen.seed)
    _check_fit(store, str(labelled.store.info["options"]["fit"]), str(train_on))
    if "size" not in chosen.model_fields_set:
        chosen = chosen.model_copy(update={"size": default_size(labelled, device)})
    _check_free(out, labelled, chosen)
    with bar(f"training {chosen.architecture}", chosen.epochs, show=show) as advance:
        return train_segmenter(
            labelled,
            out.with_name(out.name + ".segmenter"),
            chosen,
            device=device,
            bf16=bf16,
            resume=resume,
            advance=advance,
        )


def default_size(labelled: LabelledImages, device: str) -> int:
    """Return the labelled store's own size, rounded up to what segmenters take, or the largest that is affordable."""
    own = -(-labelled.store.size // STRIDE) * STRIDE
    return min(own, LARGEST_ON_CPU if device == "cpu" else LARGEST)


def _check_fit(store: Store, fit: str, of: str) -> None:
    own = str(store.info["options"]["fit"])
    if own != fit:
        raise KnowledgeError(
            f"{of}: its images were brought to a square by fit={fit}, those of {store.path} by fit={own}, so that "
            f"parts lie elsewhere; prepare one of the two again with the other's --fit"
        )


def _check_parts(segmenter: TrainedSegmenter, parts: Sequence[str]) -> None:
    if parts and tuple(parts) != segmenter.names:
        raise KnowledgeError(
            f"{segmenter.path}: predicts {', '.join(segmenter.names)}, asked for {', '.join(parts)}; leave --parts "
            "out, or train on these parts by --train-on"
        )


def _check_free(out: Path, labelled: LabelledImages, options: SegmenterOptions) -> None:
    """Refuse a taken place before a training, not after it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    told = dict(open_maps(out).info["plan"].get("segmenter") or {})
    if told.get("trained_on") != segmenter_plan(labelled, options)["trained_on"]:
        raise KnowledgeError(f"{out}: holds other maps; choose another --out, or remove it")
