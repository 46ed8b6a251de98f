"""The Shenzhen tuberculosis set."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.clinical_readings import CLINICAL_LABELS
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.nlm_tuberculosis import collect_radiographs
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["ShenzhenAdapter"]


class ShenzhenAdapter(Adapter):
    """`CXR_png/CHNCXR_0001_0.png` (Jaeger et al. 2014) with the lung masks of Stirenko et al. 2018 in `mask/`."""

    name: ClassVar[str] = "shenzhen"
    title: ClassVar[str] = "Shenzhen"
    layout: ClassVar[str] = "CXR_png/CHNCXR_NNNN_{0,1}.png + mask/<name>_mask.png + ClinicalReadings/<name>.txt"
    citation: ClassVar[str] = "Jaeger et al., Quant Imaging Med Surg 4(6), 2014; masks: Stirenko et al. 2018"
    licence: ClassVar[str] = "images free, cite NLM; masks CC BY-NC-SA 4.0"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Tuberculosis, and sex and age where the readings are there."""
        return dict(CLINICAL_LABELS)

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """`CXR_png` holds files named CHNCXR."""
        return next((folder / "CXR_png").glob("CHNCXR_*"), None) is not None

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image; each image is its own patient, as in the set."""
        return collect_radiographs(self, root, prefix="CHNCXR", masks=_masks)


def _masks(base: Path, image: Path) -> dict[str, Path]:
    return {"lungs": base / "mask" / f"{image.stem}_mask.png"}
