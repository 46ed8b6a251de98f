"""What every adapter tells of what it passes over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.registry import find_adapter
from vesalius.errors import DatasetError


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(path)


def test_linked_folders_and_other_files_are_told(tmp_path: Path) -> None:
    root = tmp_path / "covidgr"
    _image(root / "N" / "a.png")
    _image(root / "P" / "b.png")
    (root / "P" / "readme.txt").write_text("about")
    _image(tmp_path / "elsewhere" / "c.png")
    (root / "P" / "more").symlink_to(tmp_path / "elsewhere")
    adapter = find_adapter("covidgr", root)
    assert [sample.source for sample in adapter.samples(root)] == ["N/a.png", "P/b.png"]
    assert any(text.startswith("1 linked folder(s) not entered (first: P/more)") for text in adapter.warnings)
    assert adapter.ignored == ("P/readme.txt",)


def test_a_set_of_nothing_but_linked_folders_says_so(tmp_path: Path) -> None:
    _image(tmp_path / "elsewhere" / "c.png")
    for side in ("N", "P"):
        (tmp_path / "covidgr" / side).mkdir(parents=True)
        (tmp_path / "covidgr" / side / "more").symlink_to(tmp_path / "elsewhere")
    adapter = find_adapter("covidgr", tmp_path / "covidgr")
    with pytest.raises(DatasetError, match=r"no image of COVIDGR 1.0 in it.*1 linked folder.s. not entered.*N/more"):
        adapter.samples(tmp_path / "covidgr")
