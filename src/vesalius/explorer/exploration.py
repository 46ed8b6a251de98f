"""What the explorer shows: a store, what its runs answered about each image, and layers to lay over one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vesalius.data.seen_images import Answers, SeenImages
from vesalius.data.store import Store
from vesalius.errors import StoreError

__all__ = ["Exploration", "ExploredRun", "Layer", "LayerKind"]

LayerKind = Literal["attention", "mask", "map", "prediction", "activation"]

_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Maps over an image that the page can show: one of each of its parts.

    Attributes:
        kind: What they are.
        title: For the page.
        parts: Their names: heads, anatomical parts, classes.
        read: From a row of the store to `[parts, height, width]` uint8; None where that image has none.
        run: Number of the run that they are of; None for what the store itself has.
        evaluation: Whose networks they are of, where they are.
    """

    kind: LayerKind
    title: str
    parts: tuple[str, ...]
    read: Callable[[int], npt.NDArray[np.uint8] | None]
    run: int | None = None
    evaluation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploredRun:
    """A run beside the store.

    Attributes:
        name: What tells it from the others.
        path: Its folder.
        seen: What it makes of every image.
        answers: Of the networks that its evaluations kept.
    """

    name: str
    path: Path
    seen: SeenImages
    answers: tuple[Answers, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """All that is shown.

    Attributes:
        store: The images.
        runs: In the order of the command line.
        text_labels: Whether labels that may name patients are shown, see `vesalius.explorer.image_table`.
        maps: Knowledge maps of the store, as layers.
        signature: Of the store's description when it was opened, so that a change under the page is noticed.
    """

    store: Store
    runs: tuple[ExploredRun, ...]
    text_labels: bool = False
    maps: tuple[Layer, ...] = ()
    signature: _Signature = field(default=(0, 0, 0))

    @classmethod
    def of(
        cls, store: Store, runs: Sequence[ExploredRun], maps: Sequence[Layer] = (), *, text_labels: bool = False
    ) -> Exploration:
        """Remember how the store looks now."""
        signature = _signature(store.path)
        return cls(store=store, runs=tuple(runs), text_labels=text_labels, maps=tuple(maps), signature=signature)

    def check_unchanged(self) -> None:
        """Compare the store's description with what it was.

        Raises:
            StoreError: It was prepared anew, or is gone.
        """
        try:
            now = _signature(self.store.path)
        except OSError as error:
            raise StoreError(
                f"The store {self.store.path.name} is gone or cannot be read. Put it back, then start "
                "`vesalius explore` again."
            ) from error
        if now != self.signature:
            raise StoreError(
                f"The store {self.store.path.name} was changed after this page was opened. Start `vesalius explore` "
                "again to see it as it is now."
            )

    def layers(self) -> tuple[Layer, ...]:
        """Return all layers: masks, knowledge maps, then each run's attention and answers."""
        found = [_masks(self.store)] if self.store.has("masks") else []
        found += self.maps
        for number, run in enumerate(self.runs):
            if run.seen.attention is not None:
                found.append(_attention(run, number))
            for answers in run.answers:
                found += _answered(answers, number, len(self.store))
        return _told_apart(found)


def _told_apart(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Name the evaluation in titles that a run has twice; others stay alike among runs, to be shown side by side."""
    titles = [(layer.title, layer.run) for layer in layers]
    twice = {title for title, run in titles if titles.count((title, run)) > 1}
    return tuple(replace(one, title=f"{one.title} ({one.evaluation})") if one.title in twice else one for one in layers)


def _signature(folder: Path) -> _Signature:
    about = (folder / "store.json").stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def _masks(store: Store) -> Layer:
    parts = store.info["arrays"]["masks"]["parts"]
    values = {str(name): value for value, name in enumerate(parts) if value}  # 0 is the background
    has = store.manifest["has_masks"].to_numpy(dtype=bool)

    def read(row: int) -> npt.NDArray[np.uint8] | None:
        return _one_each(np.asarray(store.masks[row]), list(values.values())) if has[row] else None

    return Layer(kind="mask", title="Mask", parts=tuple(values), read=read)


def _one_each(labels: npt.NDArray[np.integer[Any]], values: Sequence[int]) -> npt.NDArray[np.uint8]:
    """From a label map to one map a label, 0 or 255."""
    return np.stack([np.where(labels == value, 255, 0).astype(np.uint8) for value in values])


def _attention(run: ExploredRun, number: int) -> Layer:
    maps = run.seen.attention
    assert maps is not None  # noqa: S101 (asked by the caller)
    return Layer(
        kind="attention",
        title=f"Attention of the {run.seen.about['whose_row']}",
        parts=tuple(run.seen.about["heads"]),
        read=lambda row: np.asarray(maps[row]),
        run=number,
    )


def _answered(answers: Answers, run: int, images: int) -> list[Layer]:
    place = np.full(images, -1, dtype=np.int64)
    place[answers.rows] = np.arange(len(answers.rows))
    names, found = tuple(str(one) for one in answers.about["names"]), []
    predicted, activation = answers.predicted, answers.activation
    whose: dict[str, Any] = {"run": run, "evaluation": str(answers.about["evaluation"])}
    dense, label = answers.about["task"] == "segment", str(answers.about["label"]).replace("_", " ")
    if predicted is not None:
        values = list(range(1, len(names) + 1))

        def masks(row: int) -> npt.NDArray[np.uint8] | None:
            return _one_each(np.asarray(predicted[place[row]]), values) if place[row] >= 0 else None

        found.append(Layer(kind="prediction", title="Predicted masks", parts=names, read=masks, **whose))
    if activation is not None:

        def maps(row: int) -> npt.NDArray[np.uint8] | None:
            return np.asarray(activation[place[row]]) if place[row] >= 0 else None

        title = "HiResCAM of the predicted masks" if dense else f"Grad-CAM of {label}"
        parts = tuple(str(one) for one in answers.about["explained"])
        found.append(Layer(kind="activation", title=title, parts=parts, read=maps, **whose))
    return found
