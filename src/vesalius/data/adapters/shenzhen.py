"""The Shenzhen tuberculosis set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.clinical_readings import CLINICAL_LABELS, read_clinical
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import list_images, source_of
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["ShenzhenAdapter"]

_NAME = re.compile(r"^(CHNCXR_\d+)_([01])$")


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
        base = self.base(root)
        listing = list_images(base / "CXR_png")
        self.ignored = tuple(source_of(base / "CXR_png" / file, root) for file in listing.ignored)
        found: list[Sample] = []
        for path in listing.images:
            match = _NAME.match(path.stem)
            if match is None:
                self.warn(f"{path.name}: not named CHNCXR_NNNN_0 or _1, so its label is unknown")
            reading = read_clinical(base / "ClinicalReadings" / f"{path.stem}.txt")
            mask = base / "mask" / f"{path.stem}_mask.png"
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=match[1] if match else None,
                    labels={"tb": int(match[2]) if match else None, **reading},
                    masks={"lungs": mask} if mask.is_file() else {},
                )
            )
        return found
