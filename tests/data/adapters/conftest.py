"""A folder for a data set, with room beside it for the store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder for a data set; stores go beside it."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder
