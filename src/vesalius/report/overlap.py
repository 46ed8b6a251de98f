"""What of the scored images and patients the pretraining had seen, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vesalius.report.run_folder import Run
from vesalius.report.stores import Stores
from vesalius.report.wording import plain_name

__all__ = ["overlap_rows"]


def overlap_rows(runs: Sequence[Run], stores: Stores) -> tuple[tuple[str, ...], ...]:
    """Return a row for each label of each store: scored images and patients, and how many the pretraining had seen.

    With several runs a row begins with the run's name. A result that does not know says so, for patients as well where
    their pseudonyms do not agree.
    """
    rows: dict[tuple[str, ...], None] = {}
    for run in runs:
        for each in run.evaluations:
            where = stores.title_of(each.fingerprint)
            seen = each.result.settings.get("seen_in_pretraining")
            label = f"{plain_name(each.result.label)} ({where})"
            images, patients = f"{each.result.test_images:,}", f"{each.result.test_patients:,}"
            if seen:
                row = (
                    label,
                    f"{int(seen['of_images']):,}",
                    f"{int(seen['test_images']):,}",
                    f"{int(seen['of_patients']):,}",
                    _patients(seen),
                )
            else:
                row = (label, images, "not known", patients, "not known")
            rows[(run.name, *row) if len(runs) > 1 else row] = None
    return tuple(rows)


def _patients(seen: Mapping[str, Any]) -> str:
    number = int(seen["test_patients"])
    if seen.get("patients_compared", False) or number == int(seen["of_patients"]):
        return f"{number:,}"
    return f"at least {number:,}; others cannot be compared" if number else "cannot be compared"
