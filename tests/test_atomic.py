"""A file is whole or not there, whatever happens while it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.atomic import replace_text, replacing


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    replace_text(path, "one")
    replace_text(path, "two")
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [("file.txt", "two")]


@pytest.mark.parametrize("shared", [False, True])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "file.txt"
    replace_text(path, "old")

    def write_half() -> None:
        with replacing(path, shared=shared) as partial:
            partial.write_text("ne")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file.txt", "old")]


def test_shared_files_are_written_apart(tmp_path: Path) -> None:
    with replacing(tmp_path / "file", shared=True) as one, replacing(tmp_path / "file") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "file").read_text() == "1"
