"""JSRT with the SCR masks, raw or as PNG pairs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["JsrtAdapter"]

_NAME = re.compile(r"^JPC(LN|NN)\d{3}$", re.IGNORECASE)
_RAW = ".img"
# SCR names sides after the patient: its right lung lies on the left of the image.
_ORGANS = {
    "leftlung": "left_lung",
    "rightlung": "right_lung",
    "heart": "heart",
    "leftclavicle": "left_clavicle",
    "rightclavicle": "right_clavicle",
}
_LABEL_MAP = {1: "left_lung", 2: "right_lung", 3: "heart"}


class JsrtAdapter(Adapter):
    """Headerless `JPCLN001.IMG` with SCR masks (one gif an organ), or `images/` + `labels/` as PNG pairs.

    Shiraishi et al. 2000 (images), van Ginneken et al. 2006 (SCR). JPCLN holds a nodule, JPCNN none.
    """

    name: ClassVar[str] = "jsrt"
    title: ClassVar[str] = "JSRT + SCR"
    layout: ClassVar[str] = (
        "**/JPCLN001.IMG + **/{left lung,right lung,heart,...}/JPCLN001.gif, or images/ + labels/ JPC*.png"
    )
    citation: ClassVar[str] = (
        "Shiraishi et al., AJR 174:71-74, 2000; van Ginneken et al., Med Image Anal 10:19-40, 2006"
    )
    licence: ClassVar[str] = "research only"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Whether there is a nodule."""
        return {"nodule": LabelSpec(kind="binary", description="lung nodule (JPCLN against JPCNN)")}

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Files named JPCLN or JPCNN, raw here or a folder below, or as PNG in `images`."""
        names = ("JPC[LN]N*.IMG", "JPC[LN]N*.img", "*/JPC[LN]N*.IMG", "*/JPC[LN]N*.img", "images/JPC[LN]N*.png")
        return any(next(folder.glob(name), None) is not None for name in names)

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image; each image is its own patient, as in the set."""
        base = self.base(root)
        listed = self.list_images(base, root)
        radiographs = [path for path in listed if _NAME.match(path.stem)]
        raw = [path for path in radiographs if path.suffix.lower() == _RAW]
        organs = _organ_masks([path for path in radiographs if path.suffix.lower() != _RAW])
        maps = {path.stem.upper(): path for path in radiographs if path.parent.name == "labels"}
        if maps:
            self.parts = dict(_LABEL_MAP)
        found: list[Sample] = []
        for path in raw or [path for path in radiographs if path.parent.name == "images"]:
            stem = path.stem.upper()
            found.append(self._sample(path, root, {"@labelmap": maps[stem]} if stem in maps else organs.get(stem, {})))
        return found

    @staticmethod
    def _sample(path: Path, root: Path, masks: dict[str, Path]) -> Sample:
        stem = path.stem.upper()
        return Sample(
            path=path,
            source=source_of(path, root),
            patient=stem,
            labels={"nodule": int(stem.startswith("JPCLN"))},
            masks=masks,
            reader={"format": "jsrt"} if path.suffix.lower() == _RAW else {},
        )


def _organ_masks(paths: list[Path]) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        organ = _ORGANS.get(re.sub(r"[ _-]", "", path.parent.name.lower()))
        if organ is not None:
            found.setdefault(path.stem.upper(), {})[organ] = path
    return found
