"""CSAW-S: mammograms with outlines of the tumour and of ten further tissues."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.records.sample import Sample

__all__ = ["CsawSAdapter"]

_FOLDER = "anonymized_dataset"
_UPWARDS = (
    "mammary_gland", "pectoral_muscle", "non_mammary_tissue", "text", "nipple", "skin", "foreign_object",
    "thick_vessels", "axillary_lymph_nodes", "calcifications", "cancer",
)  # fmt: skip
_IMAGE = re.compile(r"^(.+_\d{1,2})$")
_MASK = re.compile(r"^(.+_\d{1,2})_([a-z][a-z_-]*)$", re.IGNORECASE)


class CsawSAdapter(Adapter):
    """`anonymized_dataset/<patient>/<image>.png` with `<image>_<tissue>.png` beside, one mask a tissue.

    The test side is in `test_data`, its masks in a folder an annotator; tissues that only the first one drew are taken
    from there.
    """

    name: ClassVar[str] = "csaw-s"
    title: ClassVar[str] = "CSAW-S"
    layout: ClassVar[str] = (
        "anonymized_dataset/<patient>/<image>.png + <image>_<tissue>.png, test_data/{anonymized_dataset,annotator_N}"
    )
    citation: ClassVar[str] = "Matsoukas et al., ICML 2020, PMLR 119:6775-6784"
    licence: ClassVar[str] = "research, see its Zenodo record (4030660)"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Folders of patients with a mask of the tumour."""
        return next((folder / _FOLDER).glob("*/*_cancer.png"), None) is not None

    def collect(self, root: Path, *, annotator: Literal["1", "2", "3"] = "1") -> list[Sample]:
        """Return one sample an image.

        Args:
            root: The folder with `anonymized_dataset`, or its parent.
            annotator: Whose tumours are taken on the test side.
        """
        base = self.base(root)
        self.on_top = _UPWARDS
        test = base / "test_data"
        both = (test / _FOLDER).is_dir()
        found = self._side(base / _FOLDER, (base / _FOLDER,), root, split="train" if both else None)
        if both:
            own = tuple(test / name for name in (_FOLDER, "annotator_1", f"annotator_{annotator}"))
            found += self._side(test / _FOLDER, own, root, split="test")
        return found

    def _side(self, folder: Path, drawn: tuple[Path, ...], root: Path, *, split: str | None) -> list[Sample]:
        """List one side; masks of later folders stand in for those of earlier ones."""
        listed = self.list_images(folder, root)
        masks: dict[tuple[str, str], dict[str, Path]] = {}
        for place in drawn:
            for path in self.list_images(place, root) if place.is_dir() else ():
                named = _MASK.match(path.stem)
                if named is not None and not (
                    place.name == "annotator_1" and place != drawn[-1] and named[2].lower() == "cancer"
                ):
                    part = named[2].lower().replace("-", "_")
                    masks.setdefault((path.parent.name, named[1]), {})[part] = path
        return [
            Sample(
                path=path,
                source=source_of(path, root),
                patient=path.parent.name,
                split=split,
                masks=masks.get((path.parent.name, path.stem), {}),
            )
            for path in listed
            if _IMAGE.match(path.stem)
        ]
