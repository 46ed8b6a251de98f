"""What the Shenzhen and Montgomery sets of the U.S. National Library of Medicine have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from vesalius.data.adapters.clinical_readings import read_clinical
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.records.sample import Sample

__all__ = ["collect_radiographs"]


def collect_radiographs(
    adapter: Adapter, root: Path, *, prefix: str, masks: Callable[[Path, Path], dict[str, Path]]
) -> list[Sample]:
    """Return one sample an image of `CXR_png`; each image is its own patient, as in the sets.

    Args:
        adapter: Told what is ignored, and warned of names that carry no label.
        root: The data set's folder, or its parent.
        prefix: What the names begin with: `<prefix>_<number>_<1 for tuberculosis, else 0>.png`.
        masks: From (the set's own folder, the image) to its masks by part; files that are not there are left out.
    """
    base = adapter.base(root)
    named = re.compile(rf"^({prefix}_\d+)_([01])$")
    found: list[Sample] = []
    for path in adapter.list_images(base / "CXR_png", root):
        match = named.match(path.stem)
        if match is None:
            adapter.warn(f"{path.name}: not named {prefix}_NNNN_0 or _1, so its label is unknown")
        reading = read_clinical(base / "ClinicalReadings" / f"{path.stem}.txt")
        found.append(
            Sample(
                path=path,
                source=source_of(path, root),
                patient=match[1] if match else None,
                labels={"tb": int(match[2]) if match else None, **reading},
                masks={part: mask for part, mask in masks(base, path).items() if mask.is_file()},
            )
        )
    return found
