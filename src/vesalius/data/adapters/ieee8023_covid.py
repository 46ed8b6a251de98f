"""The ieee8023 COVID chest X-ray collection (Cohen)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import inside, source_of
from vesalius.data.adapters.tables import has_columns, number, read_table
from vesalius.data.labels import LabelSpec, guess_label
from vesalius.records.sample import Sample

__all__ = ["Ieee8023CovidAdapter"]

_FRONTAL = ("PA", "AP", "AP Supine", "AP Erect")
_REQUIRED = ("patientid", "finding", "view", "filename")


class Ieee8023CovidAdapter(Adapter):
    """`metadata.csv` (patientid, finding, view, ...) beside `images/` (Cohen et al. 2020, arXiv:2006.11988)."""

    name: ClassVar[str] = "ieee8023-covid"
    title: ClassVar[str] = "ieee8023 COVID chest X-ray"
    layout: ClassVar[str] = "metadata.csv (patientid, finding, view, filename) + images/"
    citation: ClassVar[str] = "Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988"
    licence: ClassVar[str] = "a licence a row (column license); many CC BY-NC-SA"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """COVID, pneumonia, sex, age; the raw finding is added when the table is read."""
        return {
            "covid": LabelSpec(kind="binary", description="COVID-19 against all other findings"),
            "pneumonia": LabelSpec(kind="binary", description="any pneumonia, COVID-19 included"),
            "sex": LabelSpec(kind="binary", classes=("female", "male"), description="sex in the table"),
            "age": LabelSpec(kind="number", description="age in years"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """The table with its own columns is there."""
        return has_columns(folder / "metadata.csv", *_REQUIRED)

    def collect(self, root: Path, *, views: Sequence[str] = _FRONTAL) -> list[Sample]:
        """Return one sample a row with one of the views; CT volumes and laterals are left out by default.

        Raises:
            ManifestError: If the table is malformed, or a path leaves the set.
        """
        base = self.base(root)
        table = base / "metadata.csv"
        frame = read_table(table, required=_REQUIRED)
        kept = frame[frame["view"].str.strip().isin(list(views))]
        if len(kept) < len(frame):
            self.note(f"{len(frame) - len(kept)} rows of other views left out (kept: {', '.join(views)})")
        spec, codes = guess_label(kept["finding"], description="finding as written in the table")
        if spec.kind == "multiclass":
            self.labels["finding"] = spec
        self.warn("a collection from case reports: findings differ by source, so a score may tell the sources apart")
        found: list[Sample] = []
        for row, code in zip(kept.to_dict("records"), codes, strict=True):
            cells = {str(key): str(value).strip() for key, value in row.items()}
            folder = cells.get("folder") or "images"
            path = inside(base, f"{folder}/{cells['filename']}", table=table)
            known = bool(cells["finding"]) and cells["finding"].lower() not in {"todo", "unknown"}
            labels: dict[str, float | int | str | None] = {
                "covid": int("covid" in cells["finding"].lower()) if known else None,
                "pneumonia": int(_is_pneumonia(cells["finding"])) if known else None,
                "sex": {"f": 0, "m": 1}.get(cells.get("sex", "").lower()[:1]),
                "age": number(cells.get("age", ""), low=0.0, high=110.0),
            }
            if "finding" in self.labels:
                labels["finding"] = code
            patient = cells["patientid"] or None
            found.append(Sample(path=path, source=source_of(path, root), patient=patient, labels=labels))
        self._compare(base, {sample.path for sample in found}, frame["filename"].str.strip().tolist(), root)
        return found

    def _compare(self, base: Path, named: set[Path], filenames: list[str], root: Path) -> None:
        if not (base / "images").is_dir():
            return
        listed = self.list_images(base / "images", root)
        known = set(filenames)
        extra = [path.name for path in listed if path not in named and path.name not in known]
        if extra:
            self.warn(f"{len(extra)} images have no row in metadata.csv and are left out (first: {extra[0]})")


def _is_pneumonia(finding: str) -> bool:
    lowered = finding.lower()
    return "pneumonia" in lowered or "covid" in lowered
