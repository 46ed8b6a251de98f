"""What came of preparing a data set, and its table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

__all__ = ["PrepareSummary", "Refusal", "summary_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One file that is not in the store.

    Attributes:
        file: Its path inside the data set.
        frame: Frame or slice of the file.
        reason: What is wrong with it.
        advice: What to do.
    """

    file: str
    frame: int
    reason: str
    advice: str

    @property
    def kind(self) -> str:
        """The reason up to its details, for counting: `truncated PNG file`."""
        return self.reason.partition(":")[0].partition(" (")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSummary:
    """What `prepare` did.

    Attributes:
        read: Images in the store.
        duplicated: Images left out because the same pixels are already there.
        refused: What could not be read; also in `refused.csv`.
        seconds: Wall time of this call.
        store: The store's folder; `open_store(summary.store)` opens it.
        resumed: Images that an earlier, interrupted call had already decoded.
        already_complete: The store was there, made from the same source with the same options.
        patients: Patients (or files, where nobody knows) in the store.
        patients_unknown: Images whose patient is unknown; each study, series or file counts as a patient.
        splits: Split to number of images.
        warnings: What must be known before trusting a score.
        notes: What was guessed or chosen.
    """

    read: int
    duplicated: int
    refused: tuple[Refusal, ...]
    seconds: float
    store: Path
    resumed: int = 0
    already_complete: bool = False
    patients: int = 0
    patients_unknown: int = 0
    splits: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> dict[str, int]:
        """Kind of refusal to how many, most frequent first."""
        counts = Counter(refusal.kind for refusal in self.refused)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {
            "read": self.read,
            "duplicated": self.duplicated,
            "refused": self.reasons,
            "seconds": round(self.seconds, 3),
            "store": str(self.store),
            "resumed": self.resumed,
            "already_complete": self.already_complete,
            "patients": self.patients,
            "patients_unknown": self.patients_unknown,
            "splits": dict(self.splits),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def summary_table(summary: PrepareSummary) -> Group:
    """Return what the terminal shows at the end: counts, refusals by reason, warnings."""
    title = "already complete, nothing done" if summary.already_complete else f"prepared in {summary.seconds:.1f} s"
    table = Table(title=f"{escape(summary.store.name)}: {title}", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("images", justify="right")
    resumed = f" ({summary.resumed} decoded before the interruption)" if summary.resumed else ""
    table.add_row(f"read{resumed}", str(summary.read))
    for split, count in summary.splits.items():
        table.add_row(f"  {split}", str(count))
    table.add_row("patients", str(summary.patients))
    if summary.patients_unknown:
        table.add_row("images of unknown patients", str(summary.patients_unknown))
    table.add_row("duplicated (duplicates.csv)", str(summary.duplicated))
    table.add_row("refused (refused.csv)", str(len(summary.refused)))
    for kind, count in summary.reasons.items():
        table.add_row(f"  {escape(kind)}", str(count))
    lines = [Text(f"warning: {line}", style="yellow") for line in summary.warnings]
    lines += [Text(f"note: {line}", style="dim") for line in summary.notes]
    return Group(table, *lines)
