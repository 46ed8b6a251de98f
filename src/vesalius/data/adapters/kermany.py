"""Kermany's paediatric chest radiographs ("Cell", also on Kaggle as chest_xray)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import child_folders, source_of
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["KermanyAdapter"]

_PERSON = re.compile(r"^person(\d+)_(bacteria|virus)", re.IGNORECASE)
_CELL = re.compile(r"^(normal|bacteria|virus)-(\d+)-\d+", re.IGNORECASE)
_NORMAL = re.compile(r"^((?:normal\d*-)?im-\d+)-\d+", re.IGNORECASE)
_CLASSES = ("NORMAL", "PNEUMONIA")
_SPLITS = ("train", "val", "test")
_SUBTYPES = ("normal", "bacteria", "virus")


class KermanyAdapter(Adapter):
    """`chest_xray/{train,test}/{NORMAL,PNEUMONIA}` (Kermany et al., Cell 2018, doi:10.1016/j.cell.2018.02.010).

    The person comes from the file name in any of its three spellings: `person12_virus_34`, `NORMAL2-IM-0123-0001` and
    the first release's `BACTERIA-1234567-0001`.
    """

    name: ClassVar[str] = "kermany"
    title: ClassVar[str] = "Kermany paediatric chest X-ray"
    layout: ClassVar[str] = "chest_xray/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg"
    citation: ClassVar[str] = "Kermany et al., Cell 172:1122-1131, 2018"
    licence: ClassVar[str] = "CC BY 4.0"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Pneumonia, and its cause."""
        return {
            "pneumonia": LabelSpec(kind="binary", description="pneumonia against normal"),
            "subtype": LabelSpec(kind="multiclass", classes=_SUBTYPES, description="cause of the pneumonia"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A train or test folder with both classes in it."""
        return any(all((folder / split / name).is_dir() for name in _CLASSES) for split in _SPLITS)

    def collect(self, root: Path, *, person_scope: Literal["set", "split"] = "set") -> list[Sample]:
        """Return the images of every split.

        Args:
            root: The folder with `train` and `test`, or its parent.
            person_scope: `set`: one person number is one person wherever it occurs. `split`: numbers start anew in
                each split, as in some mirrors, where the published split would otherwise seem to share persons.
        """
        base = self.base(root)
        self.warn("children of 1 to 5 years only; the classes also differ in framing and exposure, so print raw pixels")
        sides = [base / split for split in _SPLITS if (base / split).is_dir()]
        others = [one for side in sides for one in child_folders(side) if one.name not in _CLASSES]
        if others:
            told = ", ".join(source_of(one, root) for one in others)
            self.warn(f"folders of other classes are left out: {told}")
        found: list[Sample] = []
        for split in _SPLITS:
            for name in _CLASSES:
                folder = base / split / name
                if not folder.is_dir():
                    continue
                listed = self.list_images(folder, root)
                found += [self._sample(path, root, split, name, person_scope) for path in listed]
        return found

    def _sample(self, path: Path, root: Path, split: str, folder: str, scope: str) -> Sample:
        person, cause = _person_and_cause(path.stem)
        sick = folder == "PNEUMONIA"
        subtype = _SUBTYPES.index(cause) if sick and cause in _SUBTYPES[1:] else None
        if person is not None and scope == "split":
            person = f"{split}/{person}"
        return Sample(
            path=path,
            source=source_of(path, root),
            patient=person,
            split=split,
            labels={"pneumonia": int(sick), "subtype": subtype if sick else 0},
        )


def _person_and_cause(stem: str) -> tuple[str | None, str | None]:
    if match := _PERSON.match(stem):
        return f"person{match[1]}", match[2].lower()
    if match := _CELL.match(stem):
        return f"cell{match[2]}", match[1].lower()
    if match := _NORMAL.match(stem):
        # `IM-0115` and `NORMAL2-IM-0115` are numbered apart.
        return match[1].lower(), "normal"
    return None, None
