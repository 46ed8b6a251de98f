"""What runs are called beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.errors import ConfigError
from vesalius.interpret.run_names import run_names


def test_as_much_of_a_path_as_tells_runs_apart(tmp_path: Path) -> None:
    assert run_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert run_names([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    with pytest.raises(ConfigError, match="run: named twice"):
        run_names([tmp_path / "run", tmp_path / "other" / ".." / "run"])
