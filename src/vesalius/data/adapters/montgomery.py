"""The Montgomery County tuberculosis set."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.clinical_readings import CLINICAL_LABELS
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import with_any_extension
from vesalius.data.adapters.nlm_tuberculosis import collect_radiographs
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["MontgomeryAdapter"]

_MASKS = {"left_lung": "leftMask", "right_lung": "rightMask"}


class MontgomeryAdapter(Adapter):
    """`MontgomerySet/CXR_png` and `ManualMask/{leftMask,rightMask}` (Jaeger et al. 2014); left is the patient's."""

    name: ClassVar[str] = "montgomery"
    title: ClassVar[str] = "Montgomery"
    layout: ClassVar[str] = "CXR_png/MCUCXR_NNNN_{0,1}.png + ManualMask/{leftMask,rightMask}/<name>.png"
    citation: ClassVar[str] = "Jaeger et al., Quant Imaging Med Surg 4(6), 2014"
    licence: ClassVar[str] = "free, cite NLM"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Tuberculosis, and sex and age where the readings are there."""
        return dict(CLINICAL_LABELS)

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """`CXR_png` holds files named MCUCXR."""
        return next((folder / "CXR_png").glob("MCUCXR_*"), None) is not None

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image with its two lung masks; each image is its own patient, as in the set."""
        return collect_radiographs(self, root, prefix="MCUCXR", masks=_masks)


def _masks(base: Path, image: Path) -> dict[str, Path]:
    return {part: with_any_extension(base / "ManualMask" / folder / image.name) for part, folder in _MASKS.items()}
