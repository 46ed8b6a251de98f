"""What the doctor found in a folder, and its tables for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vesalius.data.array_writer import human_bytes
from vesalius.data.prepare_summary import Refusal

__all__ = ["DoctorReport", "report_tables"]

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """What is in a folder and what `prepare` would make of it. Names files, never patients.

    Attributes:
        root: The folder.
        dataset: The adapter that recognises it.
        title: Its data set.
        images: Image files that would be tried.
        frames: Frames and slices in them.
        rows: Images that `prepare` would read from them with its defaults.
        decoded: How many of them were decoded for this report, spread evenly; of the others only headers were read.
        refused: What would not be read, and why.
        ignored: Files that are no images (tables, archives, hidden files).
        unnamed: Possible images that the data set does not name.
        types: Format by content to number of files.
        misnamed: Files whose ending is not their format: (file, format).
        duplicates: Files with the same bytes: (file, the first of them).
        sizes: (smallest, median, largest) as (width, height), by area; empty where nothing could be read.
        bits: Bits that carry information to number of decoded images.
        coloured: Decoded images that are truly coloured.
        windows: Where the window came from (header, bits, percentiles, range) to number of decoded images.
        inverted: Decoded images that the header says are inverted; they are set right.
        bright_background: Decoded gray images whose corners are brighter than their middle: perhaps inverted unsaid.
        patients: Known patients.
        patients_unknown: Images whose patient is unknown.
        masked: Images with masks.
        splits: The set's own split to number of images.
        labels: Label to value (a class's name) to number of images; numbers and texts are counted as known or missing.
        store_bytes: Expected size of the store.
        seconds: Expected time of `prepare` with `workers` processes.
        workers: See `seconds`.
        problems: What would stop `prepare`.
        warnings: What must be known before trusting a score.
        notes: What was guessed.
    """

    root: Path
    dataset: str
    title: str
    images: int
    frames: int
    decoded: int
    rows: int = 0
    refused: tuple[Refusal, ...] = ()
    ignored: int = 0
    unnamed: tuple[str, ...] = ()
    types: Mapping[str, int] = field(default_factory=dict)
    misnamed: tuple[tuple[str, str], ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    bits: Mapping[int, int] = field(default_factory=dict)
    coloured: int = 0
    windows: Mapping[str, int] = field(default_factory=dict)
    inverted: int = 0
    bright_background: int = 0
    patients: int = 0
    patients_unknown: int = 0
    masked: int = 0
    splits: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    store_bytes: int = 0
    seconds: float = 0.0
    workers: int = 1
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return asdict(self) | {"root": str(self.root)}


def report_tables(report: DoctorReport) -> Group:
    """Return what the terminal shows."""
    table = Table(title=f"{escape(str(report.root))}: {report.title}", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("found")
    for what, found in _rows(report):
        table.add_row(what, escape(found))
    lines = [table]
    if report.refused:
        lines.append(_refusals(report.refused))
    texts = [Text(f"would stop prepare: {line}", style="bold red") for line in report.problems]
    texts += [Text(f"warning: {line}", style="yellow") for line in report.warnings]
    texts += [Text(f"note: {line}", style="dim") for line in report.notes]
    return Group(*lines, *texts)


def _rows(report: DoctorReport) -> Iterable[tuple[str, str]]:
    yield "adapter", report.dataset
    frames = f", {report.frames} frames or slices in them" if report.frames > report.images else ""
    yield "files", f"{report.images}{frames} ({_counts(report.types)})"
    yield "would be read", f"{report.rows} images"
    yield "would be refused", str(len(report.refused))
    yield "other files", f"{report.ignored} that are no images, {_some(report.unnamed)} not named by the set"
    yield "decoded for this report", f"{report.decoded} (of the others only the headers were read)"
    if report.sizes:
        yield "sizes (least, median, most)", ", ".join(f"{width} x {height}" for width, height in report.sizes)
    yield "bits", _counts(report.bits)
    yield "window from", _counts(report.windows)
    yield (
        "polarity",
        f"{report.inverted} inverted by header (set right), {report.bright_background} with bright corners",
    )
    yield "coloured", str(report.coloured)
    if report.misnamed:
        yield "wrong ending", _some([f"{file} is {kind}" for file, kind in report.misnamed])
    yield "same bytes twice", _some([f"{file} = {first}" for file, first in report.duplicates])
    yield "patients", f"{report.patients} known; {report.patients_unknown} images of unknown patients"
    yield "with masks", str(report.masked)
    yield "published split", _counts(report.splits)
    for name, values in report.labels.items():
        yield f"label {escape(name)}", _counts(values)
    cores = f"{report.workers} core{'s' if report.workers > 1 else ''}"
    yield "store at 256 px, 8 bits", f"about {human_bytes(report.store_bytes)}, {report.seconds:.0f} s on {cores}"


def _refusals(refused: Iterable[Refusal]) -> Table:
    table = Table(title="would be refused", title_justify="left")
    for column in ("files", "why", "for example", "what to do"):
        table.add_column(column, justify="right" if column == "files" else "left")
    by_kind: dict[str, list[Refusal]] = {}
    for refusal in refused:
        by_kind.setdefault(refusal.kind, []).append(refusal)
    for kind, same in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        table.add_row(str(len(same)), escape(kind), escape(same[0].file), escape(same[0].advice))
    return table


def _counts(counts: Mapping[Any, int]) -> str:
    ordered = sorted(Counter(counts).items(), key=lambda item: -item[1])
    return ", ".join(f"{name}: {count}" for name, count in ordered) or "none"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(listed[:_SHOWN])
    return f"{len(listed)}" + (f" ({shown}{', ...' if len(listed) > _SHOWN else ''})" if listed else "")
