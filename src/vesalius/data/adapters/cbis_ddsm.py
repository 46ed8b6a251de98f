"""CBIS-DDSM: digitised film mammograms with masks and pathology of masses and calcifications."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.adapters.tables import column, has_columns, number, read_table
from vesalius.data.dicom_pixels import read_header
from vesalius.data.labels import LabelSpec
from vesalius.errors import DatasetError, ManifestError
from vesalius.records.sample import Sample

__all__ = ["CbisDdsmAdapter"]

_IMAGE, _MASK = "image file path", "ROI mask file path"
_PATHOLOGY = {"MALIGNANT": 1, "BENIGN": 0, "BENIGN_WITHOUT_CALLBACK": 0}
_DENSITIES = ("1", "2", "3", "4")
_ASSESSMENTS = ("0", "1", "2", "3", "4", "5")
_PARTS = {"mass": "mass", "calc": "calcification"}


@dataclass
class _Mammogram:
    """What all rows of a film say together."""

    patient: str
    sides: set[str] = field(default_factory=set)
    cases: list[str] = field(default_factory=list)
    density: int | None = None
    malignant: int = 0
    assessment: int | None = None
    regions: dict[str, list[str]] = field(default_factory=dict)


class CbisDdsmAdapter(Adapter):
    """`{mass,calc}_case_description_{train,test}_set.csv` above the DICOM folders of the download.

    The tables' paths end in names that the download does not have; an image is found by the first folder of its path
    (`Mass-Training_P_00001_LEFT_CC`). A region's folder holds its mask and a crop, in either order: the mask is the one
    of the mammogram's size. All rows of a film are joined, those of both tables too, which each have a copy of it; a
    patient keeps one side.
    """

    name: ClassVar[str] = "cbis-ddsm"
    title: ClassVar[str] = "CBIS-DDSM"
    layout: ClassVar[str] = "{mass,calc}_case_description_{train,test}_set.csv + **/{Mass,Calc}-*_P_NNNNN_*/**/*.dcm"
    citation: ClassVar[str] = "Lee et al., Sci Data 4:170177, 2017"
    licence: ClassVar[str] = "CC BY 3.0"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Pathology, density and assessment (BI-RADS)."""
        return {
            "malignant": LabelSpec(kind="binary", description="any abnormality of the image is malignant"),
            "density": LabelSpec(kind="ordinal", classes=_DENSITIES, description="breast density, ACR 1-4"),
            "assessment": LabelSpec(kind="ordinal", classes=_ASSESSMENTS, description="highest BI-RADS assessment"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """One of the four tables."""
        return bool(_tables(folder, tuple(_PARTS)))

    def collect(self, root: Path, *, abnormalities: Literal["both", "mass", "calc"] = "both") -> list[Sample]:
        """Return one sample a mammogram.

        Args:
            root: The folder with the tables, or its parent.
            abnormalities: Which tables. Both have their own sides; a patient whom one of them tests is then tested.

        Raises:
            DatasetError: No such table.
            ManifestError: A pathology that is none, or a row without a path.
        """
        base = self.base(root)
        kinds = tuple(_PARTS) if abnormalities == "both" else (abnormalities,)
        tables = _tables(base, kinds)
        if not tables:
            raise DatasetError(f"{base}: no {abnormalities}_case_description_*_set.csv in it")
        listed = self.list_images(base, root)
        there = _by_case(listed, base)
        mammograms = _joined(tables)
        if not mammograms:
            names = ", ".join(table.name for _, _, table in tables)
            raise DatasetError(f"{base}: its tables ({names}) have no rows; copy them again")
        if not any(case in there for one in mammograms.values() for case in one.cases):
            first = next(iter(mammograms.values())).cases[0]
            raise DatasetError(
                f"{base}: none of the folders that its tables name (first: {first}) is there; expected the DICOM "
                "download below the tables"
            )
        testing = {one.patient for one in mammograms.values() if "test" in one.sides}
        moved = sum("train" in one.sides and one.patient in testing for one in mammograms.values())
        if moved:
            self.note(f"{moved} training images of patients whom the other table tests are on the test side")
        several = {side for one in mammograms.values() for side in one.sides} == {"train", "test"}
        samples = [self._sample(film, one, there, base) for film, one in sorted(mammograms.items())]
        return [
            replace(
                sample,
                source=source_of(sample.path, root),
                split=("test" if sample.patient in testing else "train") if several else None,
            )
            for sample in samples
        ]

    def _sample(self, film: str, one: _Mammogram, there: dict[str, list[Path]], base: Path) -> Sample:
        files = next((there[case] for case in one.cases if case in there), [])
        path = files[0] if files else base / one.cases[0] / "1-1.dcm"
        if len(files) > 1:
            self.note(f"{film}: {len(files)} files where one mammogram is expected; the first is taken")
        masks = {part: self._masks(regions, there, _size(path)) for part, regions in one.regions.items()}
        whole = {part: files for part, files in masks.items() if files}
        return Sample(
            path=path,
            source=film,
            patient=one.patient,
            labels={"malignant": one.malignant, "density": one.density, "assessment": one.assessment},
            masks=whole if len(whole) == len(masks) else {},  # what is missing would be taken for healthy
        )

    def _masks(
        self, regions: Sequence[str], there: dict[str, list[Path]], size: tuple[int, int] | None
    ) -> tuple[Path, ...]:
        """Return the mask of every region; none where one of them is not to be found."""
        found = []
        for region in regions:
            fitting = [path for path in there.get(region, []) if size is not None and _size(path) == size]
            if len(fitting) != 1:
                self.warn(f"{region}: no mask of the mammogram's size, so the mammogram is kept without masks")
                return ()
            found += fitting
        return tuple(found)


def _tables(folder: Path, kinds: Iterable[str]) -> list[tuple[str, str, Path]]:
    """Return kind, side and file of the tables that are there."""
    named = [
        (kind, side, folder / f"{kind}_case_description_{side}_set.csv") for kind in kinds for side in ("train", "test")
    ]
    return [one for one in named if has_columns(one[2], "patient_id", _IMAGE, _MASK)]


def _by_case(paths: Sequence[Path], base: Path) -> dict[str, list[Path]]:
    """Sort DICOM files by the folder, anywhere above them, that is named as a case."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        for part in path.relative_to(base).parts[:-1]:
            if "_P_" in part:
                found.setdefault(part, []).append(path)
                break
    return found


def _joined(tables: Sequence[tuple[str, str, Path]]) -> dict[str, _Mammogram]:
    """Read all rows, film by film (`P_00001_LEFT_CC`)."""
    found: dict[str, _Mammogram] = {}
    for kind, side, table in tables:
        frame = read_table(table, required=("patient_id", "pathology", "assessment", _IMAGE, _MASK))
        density = next((name for name in ("breast_density", "breast density") if name in frame.columns), None)
        columns = [
            column(frame, name, table=table) for name in ("patient_id", "pathology", "assessment", _IMAGE, _MASK)
        ]
        densities = column(frame, density, table=table) if density else [""] * len(frame)
        for patient, pathology, assessment, image, mask, dense in zip(*columns, densities, strict=True):
            if pathology not in _PATHOLOGY:
                raise ManifestError(f"{table}: {image}: pathology {pathology!r}; expected {', '.join(_PATHOLOGY)}")
            case = _case(str(image), table)
            one = found.setdefault(case[case.index("_P_") + 1 :], _Mammogram(str(patient).strip()))
            one.sides.add(side)
            one.cases += [] if case in one.cases else [case]
            one.density = _grade(str(dense), 1, 4) if one.density is None else one.density
            one.malignant = max(one.malignant, _PATHOLOGY[pathology])
            grade = _grade(str(assessment), 0, 5)
            one.assessment = grade if one.assessment is None else max(one.assessment, grade or 0)
            regions = one.regions.setdefault(_PARTS[kind], [])
            region = _case(str(mask), table)
            regions += [] if region in regions else [region]
    return found


def _case(written: str, table: Path) -> str:
    parts = PurePosixPath(written.strip().replace("\\", "/")).parts
    if not parts or "_P_" not in parts[0]:
        raise ManifestError(
            f"{table}: path {written!r}; expected one that begins with its case, as Mass-Training_P_..."
        )
    return parts[0]


def _grade(cell: str, low: int, high: int) -> int | None:
    """Return the place of a grade among `low` to `high`."""
    value = number(cell, low=float(low), high=float(high))
    return None if value is None or value != int(value) else int(value) - low


def _size(path: Path) -> tuple[int, int] | None:
    """Return rows and columns; None of a file that is not there or cannot be read, which is told when it is decoded."""
    try:
        head, _ = read_header(path)
        return int(head.Rows), int(head.Columns)
    except Exception:  # noqa: BLE001 - one damaged file must not end the listing, whatever its parser raises
        return None
