"""The built-in phantom, as `write_phantom` leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import inside, source_of
from vesalius.data.adapters.tables import has_columns, read_table
from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError
from vesalius.records.sample import Sample

__all__ = ["PhantomAdapter"]


class PhantomAdapter(Adapter):
    """`phantom.json`, `labels.csv`, `images/` and `masks/`; see `vesalius.data.phantom`."""

    name: ClassVar[str] = "phantom"
    title: ClassVar[str] = "vesalius phantom"
    layout: ClassVar[str] = "phantom.json + labels.csv + images/*.png + masks/*.png"
    licence: ClassVar[str] = "synthetic, no restrictions"

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """The drawn findings, and the sex of the body."""
        return {
            "effusion": LabelSpec(kind="binary", description="fluid in one or both costophrenic angles"),
            "cardiomegaly": LabelSpec(kind="binary", description="enlarged heart"),
            "opacity": LabelSpec(kind="binary", description="patchy consolidation in a lung"),
            "any_finding": LabelSpec(kind="binary", description="any of the three"),
            "sex": LabelSpec(kind="binary", classes=("female", "male"), description="build of the body"),
        }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """The generator's own description and the table are there."""
        return (folder / "phantom.json").is_file() and has_columns(folder / "labels.csv", "image", "patient")

    def collect(self, root: Path) -> list[Sample]:
        """Return one sample a row.

        Raises:
            ManifestError: If the table was edited into something else.
        """
        base = self.base(root)
        self.parts = {1: "left_lung", 2: "right_lung", 3: "heart"}
        self.warn("synthetic images: scores on them say whether the program works, nothing about patients")
        table = base / "labels.csv"
        frame = read_table(table, required=("image", "patient", *self.labels))
        found: list[Sample] = []
        for row in frame.to_dict("records"):
            cells = {str(key): str(value).strip() for key, value in row.items()}
            path = inside(base, f"images/{cells['image']}", table=table)
            mask = base / "masks" / cells["image"]
            found.append(
                Sample(
                    path=path,
                    source=source_of(path, root),
                    patient=cells["patient"] or None,
                    labels={name: _value(cells[name], name, table) for name in self.labels},
                    masks={"@labelmap": mask} if mask.is_file() else {},
                )
            )
        return found


def _value(text: str, name: str, table: Path) -> int | None:
    if text in {"0", "1", ""}:
        return int(text) if text else None
    raise ManifestError(f"{table}: column '{name}' holds {text!r}; expected 0, 1 or nothing")
