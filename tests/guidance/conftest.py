"""A phantom store and an exemplar of the same anatomy with its label map."""

from __future__ import annotations

from pathlib import Path

import pytest

PARTS = {"left_lung": 1, "right_lung": 2, "heart": 3}


@pytest.fixture(scope="session")
def exemplar(phantom_store: Path) -> tuple[Path, Path]:
    """One of the phantom's images and its label map."""
    scans = phantom_store.parent / "scans"
    image = sorted((scans / "images").iterdir())[0]
    mask = next(path for path in sorted((scans / "masks").iterdir()) if path.stem.startswith(image.stem))
    return image, mask
