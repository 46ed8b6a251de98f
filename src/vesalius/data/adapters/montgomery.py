"""The Montgomery County tuberculosis set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.clinical_readings import CLINICAL_LABELS, read_clinical
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import list_images, source_of
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["MontgomeryAdapter"]

_NAME = re.compile(r"^(MCUCXR_\d+)_([01])$")
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
        base = self.base(root)
        listing = list_images(base / "CXR_png")
        self.ignored = tuple(source_of(base / "CXR_png" / file, root) for file in listing.ignored)
        found: list[Sample] = []
        for path in listing.images:
            match = _NAME.match(path.stem)
            if match is None:
                self.warn(f"{path.name}: not named MCUCXR_NNNN_0 or _1, so its label is unknown")
            masks = {part: base / "ManualMask" / folder / path.name for part, folder in _MASKS.items()}
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=match[1] if match else None,
                    labels={
                        "tb": int(match[2]) if match else None,
                        **read_clinical(base / "ClinicalReadings" / f"{path.stem}.txt"),
                    },
                    masks={part: mask for part, mask in masks.items() if mask.is_file()},
                )
            )
        return found
