"""What of the scored images and patients the pretraining had seen, counted."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.report.run_folder import Run
from vesalius.report.stores import Stores
from vesalius.report.wording import plain_name

__all__ = ["overlap_rows"]


def overlap_rows(runs: Sequence[Run], stores: Stores) -> tuple[tuple[str, ...], ...]:
    """Return a row for each label of each store: scored images and patients, and how many the pretraining had seen.

    With several runs a row begins with the run's name. A result that does not know says so.
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
                    f"{int(seen['test_patients']):,}",
                )
            else:
                row = (label, images, "not known", patients, "not known")
            rows[(run.name, *row) if len(runs) > 1 else row] = None
    return tuple(rows)
