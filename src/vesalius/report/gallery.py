"""Pictures for the page: embedded as data, without any text a file may carry."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.data.eight_bits import eight_bits
from vesalius.data.store import Store
from vesalius.errors import VesaliusError
from vesalius.records.result import Result
from vesalius.report.run_folder import Evaluation, Run
from vesalius.report.stores import Stores
from vesalius.report.wording import plain_name, variant

__all__ = ["Neighbour", "Picture", "Retrieval", "embed", "embed_file", "pictures", "retrieval"]

_MOST_BYTES = 300_000
_MOST_WIDTH = 1600
_QUERIES = 4
_SHOWN = 5
_THUMBNAIL = 144


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of the run with its words; `source` is empty where there is none and `caption` says why."""

    heading: str
    source: str
    alt: str
    caption: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One small image: a query or a neighbour. `same` is None for the query and where a label is not known."""

    source: str
    image_id: str
    label: str
    same: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Nearest neighbours of one run on one label; `problem` says why there are none."""

    run: str
    label: str
    rows: tuple[tuple[Neighbour, ...], ...] = ()
    agreement: str = ""
    problem: str = ""


def pictures(run: Run) -> tuple[Picture, ...]:
    """Embed the run's own pictures; one that is missing or damaged is said, not left blank."""
    views = embed_file(
        run.pictures.get("views"),
        heading="What the network was shown",
        alt=f"Grid of augmented views of training images, run {run.name}: rows are images, columns are views.",
        caption="Each row is one training image, each column one view of it; they are asked to agree.",
        missing="No sample views were saved by this run (yet).",
    )
    size = " × ".join(str(side) for side in run.input_size) if run.input_size else ""
    drawn = f"Drawn at the input size of the weights, {size} px." if size else "The input size is not recorded."
    attention = embed_file(
        run.pictures.get("attention"),
        heading="Where the last block looks",
        alt=f"Attention of the class token, run {run.name}: rows are images, one column a head, bright means attended.",
        caption="Brighter patches receive more of a head's attention; the outline holds 60 % of it. "
        f"{drawn} Attention shows where the network reads, not why, and is no proof that it understood what is there.",
        missing="There is no attention picture: the backbone gives no attention of a class token (a CNN or Swin), "
        "or the run has not saved one yet.",
    )
    return views, attention


def retrieval(run: Run, evaluation: Evaluation, stores: Stores) -> Retrieval | None:
    """Draw queries with their nearest neighbours from the store; None where the evaluation wrote none."""
    told = evaluation.neighbours
    if told is None:
        return None
    other = variant(evaluation.result)
    label = plain_name(evaluation.result.label) + (f" ({other})" if other else "")
    queries = stores.of(evaluation.fingerprint)
    learned_on = evaluation.result.settings.get("stores") or [{"fingerprint": evaluation.fingerprint}]
    found = stores.of(str(learned_on[0]["fingerprint"]))
    if queries is None or found is None:
        return Retrieval(
            run=run.name,
            label=label,
            problem="The store these images are in was not found unchanged, so the neighbours cannot be shown. "
            "Name its folder: `vesalius report ... --data STORE`.",
        )
    try:
        return _rows(run.name, evaluation.result, told, queries, found)
    except (VesaliusError, OSError, KeyError, IndexError, TypeError, ValueError) as error:
        return Retrieval(
            run=run.name, label=label, problem=f"The neighbours could not be read: {type(error).__name__}."
        )


def embed(image: Image.Image) -> str:
    """Return an image as a data URI: PNG while small, else JPEG; comments and metadata stay behind."""
    bare = Image.fromarray(np.asarray(image.convert("RGB")))
    if bare.width > _MOST_WIDTH:
        bare = bare.resize((_MOST_WIDTH, round(bare.height * _MOST_WIDTH / bare.width)), Image.Resampling.LANCZOS)
    data, kind = _bytes(bare, "PNG"), "png"
    if len(data) > _MOST_BYTES:
        data, kind = _bytes(bare, "JPEG"), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _bytes(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **({"quality": 88, "optimize": True} if kind == "JPEG" else {}))
    return buffer.getvalue()


def embed_file(file: Path | None, *, heading: str, alt: str, caption: str, missing: str) -> Picture:
    """Embed a picture file with its words; in place of one that is missing or damaged, the caption says so."""
    if file is None or not file.is_file():
        return Picture(heading=heading, source="", alt="", caption=missing)
    try:
        with Image.open(file) as image:
            return Picture(
                heading=heading, source=embed(image), alt=alt, caption=caption, width=image.width, height=image.height
            )
    except (OSError, ValueError, SyntaxError):
        return Picture(heading=heading, source="", alt="", caption=f"{file.name} is damaged and cannot be shown.")


def _rows(run: str, result: Result, told: Mapping[str, Any], queries: Store, found: Store) -> Retrieval:
    classes = [str(each) for each in result.settings.get("classes") or ()]
    classes = classes or list(queries.labels.get(result.label, {}).get("classes") or ())

    def one(store: Store, row: int, value: object, query: object = None) -> Neighbour:
        known = value is not None and query is not None
        return Neighbour(
            source=_thumbnail(store.images[row]),
            image_id=str(store.manifest["image_id"].iloc[row])[:8],
            label=_class_name(value, classes),
            same=bool(value == query) if known else None,
        )

    chosen = _spread(told["query_labels"])
    rows = []
    for index in chosen:
        query = told["query_labels"][index]
        near = zip(told["neighbours"][index][:_SHOWN], told["neighbour_labels"][index][:_SHOWN], strict=True)
        first = one(queries, int(told["queries"][index]), query)
        rows.append((first, *(one(found, int(row), value, query) for row, value in near)))
    return Retrieval(run=run, label=plain_name(result.label), rows=tuple(rows), agreement=_agreement(told))


def _agreement(told: Mapping[str, Any]) -> str:
    pairs = [
        (query, value)
        for query, values in zip(told["query_labels"], told["neighbour_labels"], strict=True)
        for value in values[:_SHOWN]
        if query is not None and value is not None
    ]
    same = sum(query == value for query, value in pairs)
    return f"Over all {len(told['queries'])} saved queries, {same} of {len(pairs)} neighbours bear the query's label."


def _spread(labels: Sequence[object]) -> list[int]:
    """Choose queries of every class in turn, by order and not by how well they came out."""
    by_class: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(str(label), []).append(index)
    turns = max(map(len, by_class.values()), default=0)
    order = [queue[turn] for turn in range(turns) for queue in by_class.values() if turn < len(queue)]
    return sorted(order[:_QUERIES])


def _class_name(value: Any, classes: Sequence[str]) -> str:
    """Name a label's value; a list holds 0, 1 or None for each of several labels."""
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(plain_name(name) for name, each in zip(classes, value, strict=False) if each) or "none"
    if isinstance(value, int | float) and float(value).is_integer() and 0 <= value < len(classes):
        return plain_name(str(classes[int(value)]))
    return plain_name(str(value))


def _thumbnail(pixels: npt.NDArray[Any]) -> str:
    image = Image.fromarray(eight_bits(pixels)).convert("RGB")
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    return f"data:image/jpeg;base64,{base64.b64encode(_bytes(image, 'JPEG')).decode('ascii')}"
