"""CheXpert, with its uncertainty policies."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import inside, source_of
from vesalius.data.adapters.tables import has_columns, number, read_table
from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["CHEXPERT_FINDINGS", "CheXpertAdapter", "Uncertain"]

Uncertain = Literal["ones", "zeros", "ignore", "soft"]
CHEXPERT_FINDINGS: tuple[str, ...] = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
_TABLES = {"train.csv": "train", "valid.csv": "val", "test.csv": "test"}
_SOFT_LOW, _SOFT_HIGH = 0.55, 0.85


class CheXpertAdapter(Adapter):
    """`train.csv` and `valid.csv` beside `train/patientNNNNN/studyN/` (Irvin et al., AAAI 2019, arXiv:1901.07031)."""

    name: ClassVar[str] = "chexpert"
    title: ClassVar[str] = "CheXpert"
    layout: ClassVar[str] = (
        "CheXpert-v1.0[-small]/{train,valid}.csv + {train,valid}/patientNNNNN/studyN/viewN_frontal.jpg"
    )
    citation: ClassVar[str] = "Irvin et al., CheXpert, AAAI 2019"
    licence: ClassVar[str] = "Stanford research use agreement"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The 14 observations, and sex, age and projection."""
        findings = {
            _snake(name): LabelSpec(kind="binary", description=f"{name} (read from the report by a program)")
            for name in CHEXPERT_FINDINGS
        }
        return {
            **findings,
            "sex": LabelSpec(kind="binary", classes=("female", "male"), description="sex in the record"),
            "age": LabelSpec(kind="number", description="age in years"),
            "view": LabelSpec(kind="binary", classes=("PA", "AP"), description="projection of frontal images"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A table with CheXpert's own columns is there."""
        return any(has_columns(folder / table, "Path", "Frontal/Lateral") for table in _TABLES)

    def collect(
        self,
        root: Path,
        *,
        uncertain: Uncertain = "ones",
        blank: Literal["zeros", "ignore"] = "zeros",
        frontal_only: bool = True,
        seed: int = 0,
    ) -> list[Sample]:
        """Return one sample a row of the tables.

        Args:
            root: The folder with the tables, or its parent.
            uncertain: What -1 becomes: 1, 0, unknown, or `soft`: a target drawn once a cell from U(.55, .85), label
                smoothing after Pham et al. 2019 (arXiv:1911.06475).
            blank: What an unmentioned observation becomes: 0 (as in the paper's baselines) or unknown.
            frontal_only: Leave lateral images out.
            seed: Of the soft targets.

        Raises:
            ManifestError: If a table is malformed, or a path leaves the set.
        """
        base = self.base(root)
        found: list[Sample] = []
        laterals, named = 0, set[Path]()
        for name, split in _TABLES.items():
            table = base / name
            if not table.is_file():
                continue
            frame = read_table(table, required=("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_FINDINGS))
            values = _findings(frame, table, uncertain=uncertain, blank=blank, rng=np.random.default_rng(seed))
            for position, cells in enumerate(frame.to_dict("records")):
                row = {str(key): str(value) for key, value in cells.items()}
                path = _path_of(row, base, table)
                named.add(path)
                if frontal_only and row["Frontal/Lateral"].strip().lower() != "frontal":
                    laterals += 1
                    continue
                labels = {key: column[position] for key, column in values.items()}
                found.append(_sample(row, labels, path, root=root, base=base, split=split))
        self.note(f"uncertain labels: {uncertain}; unmentioned observations: {blank}")
        unnamed = [path for path in self.list_images(base, root) if path not in named]
        if unnamed:
            first = source_of(unnamed[0], root)
            self.warn(f"{len(unnamed)} images have no row in the tables and are left out (first: {first})")
        if laterals:
            self.note(f"{laterals} lateral images left out (frontal_only=False keeps them)")
        self.warn("train labels were read from reports by a program; only valid and test were read by radiologists")
        return found


def _path_of(cells: dict[str, str], base: Path, table: Path) -> Path:
    """Return an image's file; the tables' paths begin with the name of the set."""
    written = cells["Path"].strip()
    first, _, rest = written.partition("/")
    return inside(base, rest if first.startswith("CheXpert-v1.0") else written, table=table)


def _sample(
    cells: dict[str, str], labels: dict[str, float | None], path: Path, *, root: Path, base: Path, split: str
) -> Sample:
    parts = path.relative_to(base).parts
    patient = next((part for part in parts if part.startswith("patient")), None)
    study = next((part for part in parts if part.startswith("study")), None)
    view = cells["AP/PA"].strip().upper()
    known: dict[str, float | int | str | None] = {
        **labels,
        "sex": {"female": 0, "male": 1}.get(cells["Sex"].strip().lower()),
        "age": number(cells["Age"], low=0.0, high=110.0),
        "view": {"PA": 0, "AP": 1}.get(view),
    }
    return Sample(
        path=path,
        source=source_of(path, root),
        patient=patient,
        study=f"{patient}/{study}" if patient and study else None,
        split=split,
        labels=known,
    )


def _findings(
    frame: pd.DataFrame, table: Path, *, uncertain: Uncertain, blank: str, rng: np.random.Generator
) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for name in CHEXPERT_FINDINGS:
        raw = frame[name].str.strip()
        values = np.array(pd.to_numeric(raw.where(raw != "", None), errors="coerce"), dtype=float)
        bad = ~np.isin(values, (1.0, 0.0, -1.0)) & (raw != "").to_numpy()
        if bad.any():
            raise ManifestError(f"{table}: column '{name}' holds {raw[bad].iloc[0]!r}; expected 1, 0, -1 or blank")
        soft = rng.uniform(_SOFT_LOW, _SOFT_HIGH, size=len(values))
        doubtful = values == -1.0
        if uncertain == "soft":
            values[doubtful] = soft[doubtful]
        else:
            values[doubtful] = {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}[uncertain]
        if blank == "zeros":
            values[(raw == "").to_numpy()] = 0.0
        found[_snake(name)] = [None if np.isnan(value) else float(value) for value in values]
    return found


def _snake(name: str) -> str:
    return name.lower().replace(" ", "_")
