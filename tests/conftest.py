"""Shape and type checks on for every module under test, few threads, and the folder of real images."""

from __future__ import annotations

import os
from pathlib import Path

from jaxtyping import install_import_hook

# Shapes written in annotations are checked in every test run; the hook must be in place before the first import.
_HOOK = install_import_hook("vesalius", "beartype.beartype")

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images: VESALIUS_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("VESALIUS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "README.md").exists():
        pytest.skip(f"no real images: set VESALIUS_DATA to their folder (looked in {folder})")
    return folder
