"""Images whose label is a side, for what learns from labels, and patients of tables in COCO's format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """120 images of 60 patients with a bright square on the left (0) or the right (1)."""
    root = tmp_path_factory.mktemp("sides")
    generator = np.random.default_rng(0)
    (root / "scans").mkdir()
    lines = ["image,patient,side,rare"]
    for patient in range(60):
        side = patient % 2
        for image in range(2):
            pixels = generator.integers(0, 120, size=(32, 32))
            row = int(generator.integers(4, 16))
            pixels[row : row + 10, 3 + 16 * side : 13 + 16 * side] += 100
            name = f"p{patient:03d}i{image}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(root / "scans" / name)
            lines.append(f"{name},p{patient},{side},{int(patient < 5)}")
    (root / "scans" / "labels.csv").write_text("\n".join(lines) + "\n")
    (root / "salt").write_text("one salt, so that folds are the same every time\n")
    prepare(root / "scans", root / "store", size=32, workers=1, salt_file=root / "salt", progress=False)
    return open_store(root / "store")


@pytest.fixture(scope="session")
def name_patients() -> Callable[[Path, str, list[Any]], None]:
    """Write `patient_id` into a table's images, one after the other; None leaves it out."""

    def name_all(folder: Path, table: str, names: list[Any]) -> None:
        path = folder / "annotations" / f"instances_{table}.json"
        content = json.loads(path.read_text())
        for image, name in zip(content["images"], names, strict=True):
            image.update({} if name is None else {"patient_id": name})
        path.write_text(json.dumps(content))

    return name_all
