"""The COVID-19 Radiography Database."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import child_folders, source_of, with_any_extension
from vesalius.data.labels import LabelSpec
from vesalius.records.sample import Sample

__all__ = ["CovidRadiographyAdapter"]

_CLASSES = {"normal": "normal", "covid": "covid", "lungopacity": "lung_opacity", "viralpneumonia": "viral_pneumonia"}
_NAMES = tuple(_CLASSES.values())


class CovidRadiographyAdapter(Adapter):
    """A folder a class, each with `images/` and `masks/` (2021 release) or the PNGs themselves (2020 release)."""

    name: ClassVar[str] = "covid-radiography"
    title: ClassVar[str] = "COVID-19 Radiography Database"
    layout: ClassVar[str] = "{COVID,Normal,Lung_Opacity,Viral Pneumonia}/[images/]*.png + */masks/*.png"
    citation: ClassVar[str] = "Chowdhury et al., IEEE Access 8, 2020; Rahman et al., Comput Biol Med 132, 2021"
    licence: ClassVar[str] = "research, cite both papers; each source keeps its own terms"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The class of the folder."""
        return {
            "finding": LabelSpec(kind="multiclass", classes=_NAMES, description="class of the folder"),
            "covid": LabelSpec(kind="binary", description="COVID-19 against all others"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A COVID folder and at least one more class."""
        found = {_class_of(child) for child in child_folders(folder)} - {None}
        return "covid" in found and len(found) > 1

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample an image, with its mask of both lungs where there is one; no patient ids are published."""
        base = self.base(root)
        self.warn(
            "class equals source: each class comes from other hospitals and ages, so a high score may tell the sources "
            "apart, not the disease"
        )
        self.warn(
            "no patient ids are published: each image counts as its own patient, and patients may sit on two sides"
        )
        found: list[Sample] = []
        for child in child_folders(base):
            label = _class_of(child)
            if label is None:
                continue
            folder = child / "images" if (child / "images").is_dir() else child
            listed = self.list_images(folder, root)
            for path in listed:
                if "masks" in path.relative_to(child).parts:
                    continue
                mask = with_any_extension(child / "masks" / path.name)
                found.append(
                    Sample(
                        path=path,
                        source=source_of(path, root),
                        labels={"finding": _NAMES.index(label), "covid": int(label == "covid")},
                        masks={"lungs": mask} if mask.is_file() else {},
                    )
                )
        return found


def _class_of(folder: Path) -> str | None:
    key = folder.name.lower().replace("_", "").replace(" ", "").replace("-", "")
    return _CLASSES.get(key, "covid" if key == "covid19" else None)
