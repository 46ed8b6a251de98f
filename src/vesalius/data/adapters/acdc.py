"""ACDC, the Automated Cardiac Diagnosis Challenge: cine MRI of the heart, two frames of each patient labelled."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.adapters.tables import number, read_lines
from vesalius.data.labels import LabelSpec
from vesalius.data.read import count_frames
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import Sample

__all__ = ["AcdcAdapter"]

_FRAME = re.compile(r"^(patient\d+)_frame(\d+)\.nii(\.gz)?$")
_GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")
_SLICES = 2
"""The voxel axis across slices; the headers' orientations are not to be trusted."""


class AcdcAdapter(Adapter):
    """`patientNNN/patientNNN_frameFF.nii.gz` with `_gt.nii.gz` beside, below `training` and `testing`, or alone.

    Every slice of both frames becomes a row, all of a patient together. `_4d` files, the whole cine without labels, are
    passed over.
    """

    name: ClassVar[str] = "acdc"
    title: ClassVar[str] = "ACDC"
    layout: ClassVar[str] = "{training,testing}/patientNNN/patientNNN_frameFF.nii.gz + _gt.nii.gz (+ Info.cfg)"
    citation: ClassVar[str] = "Bernard et al., IEEE TMI 37(11):2514-2525, 2018"
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The diagnosis, and which of the two frames it is, both where `Info.cfg` says so."""
        return {
            "group": LabelSpec(kind="multiclass", classes=_GROUPS, description="diagnosis of the patient"),
            "systole": LabelSpec(kind="binary", description="end-systolic frame (else end-diastolic)"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Files named as patients and frames, a folder a patient, here or one below."""
        names = ("patient*/patient*_frame*.nii*", "*/patient*/patient*_frame*.nii*")
        return any(next(folder.glob(name), None) is not None for name in names)

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample a slice; with a folder `testing` the set has its own sides, without one it is not split."""
        self.parts = {1: "right_ventricle", 2: "myocardium", 3: "left_ventricle"}
        base = self.base(root)
        listed = self.list_images(base, root)
        cines = sum("_4d.nii" in path.name for path in listed)
        if cines:
            self.note(
                f"{cines} cine files (_4d) are passed over: their frames have no labels but the two that stand beside"
            )
        found: list[Sample] = []
        for path in listed:
            named = _FRAME.match(path.name)
            if named is not None:
                found += self._slices(path, root, patient=named[1], frame=int(named[2]))
        if any(sample.split == "test" for sample in found):
            found = [sample if sample.split == "test" else replace(sample, split="train") for sample in found]
        return found

    def _slices(self, path: Path, root: Path, *, patient: str, frame: int) -> list[Sample]:
        info = _read_info(path.parent / "Info.cfg")
        truth = path.with_name(path.name.replace(".nii", "_gt.nii"))
        if not truth.is_file():
            self.note(f"{path.name}: no {truth.name} beside it, so it has no masks")
        try:
            slices = count_frames(path, axis=_SLICES)
        except UnreadableImageError:
            slices = 1  # it is refused when it is decoded
        phases = {number(info.get("ED", "")): 0, number(info.get("ES", "")): 1}
        systole, group = phases.get(float(frame)), info.get("Group", "").upper()
        if info and (systole is None or group not in _GROUPS):
            told = f"Group {info.get('Group')}, ED {info.get('ED')}, ES {info.get('ES')}"
            self.warn(f"{source_of(path.parent / 'Info.cfg', root)}: tells of frame {frame} no group or phase ({told})")
        return [
            Sample(
                path=path,
                source=source_of(path, root),
                patient=patient,
                study=f"{patient}_frame{frame:02d}",
                split="test" if path.parent.parent.name == "testing" else None,
                labels={"group": _GROUPS.index(group) if group in _GROUPS else None, "systole": systole},
                frame=number,
                masks={"@labelmap": truth} if truth.is_file() else {},
                reader={"axis": _SLICES},
            )
            for number in range(slices)
        ]


def _read_info(path: Path) -> dict[str, str]:
    """Read `key: value` lines."""
    pairs = (line.partition(":") for line in read_lines(path))
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}
