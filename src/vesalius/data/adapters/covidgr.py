"""COVIDGR 1.0: chest radiographs of one hospital, RT-PCR positive and negative."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import child_folders, source_of
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["CovidgrAdapter"]


class CovidgrAdapter(Adapter):
    """`P/` (positive) and `N/` (negative), an image a patient."""

    name: ClassVar[str] = "covidgr"
    title: ClassVar[str] = "COVIDGR 1.0"
    layout: ClassVar[str] = "{P,N}/*.jpg"
    citation: ClassVar[str] = "Tabik et al., IEEE JBHI 24(12):3595-3605, 2020"
    licence: ClassVar[str] = "research, see its page (dasci.es)"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """RT-PCR."""
        return {"covid": LabelSpec(kind="binary", description="RT-PCR positive (P against N)")}

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """These two folders and no other."""
        return [child.name for child in child_folders(folder)] == ["N", "P"]

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image."""
        base = self.base(root)
        found: list[Sample] = []
        for name, value in (("N", 0), ("P", 1)):
            for path in self.list_images(base / name, root):
                source = source_of(path, root)
                found.append(Sample(path=path, source=source, patient=source, labels={"covid": value}))
        return found
