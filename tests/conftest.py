"""Shape and type checks on for every module under test, few threads, and the folder of real images."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxtyping import install_import_hook

# Shapes written in annotations are checked in every test run; the hook must be in place before the first import.
_HOOK = install_import_hook("vesalius", "beartype.beartype")

import pytest  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Let torch's own `typing.Iterable` base of `IterableDataset` pass; it is not ours to modernise."""
    category = "beartype.roar.BeartypeDecorHintPep585DeprecationWarning"
    config.addinivalue_line("filterwarnings", rf"ignore:.*typing\.Iterable\[:{category}")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images: VESALIUS_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("VESALIUS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "README.md").exists():
        pytest.skip(f"no real images: set VESALIUS_DATA to their folder (looked in {folder})")
    return folder


@pytest.fixture(scope="session")
def phantom_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store of 64 phantom radiographs of 40 pixels, with its labels."""
    from vesalius.data.phantom import write_phantom
    from vesalius.data.prepare import prepare

    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "scans", images=64, seed=0, size=48, workers=1)
    prepare(folder / "scans", folder / "store", size=40, workers=1, progress=False)
    return folder / "store"


@pytest.fixture(scope="session")
def guided_store(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom store with deformable maps of its own, carried from one of its images, and superpixels."""
    from vesalius import pipeline

    store = tmp_path_factory.mktemp("guided") / "store"
    shutil.copytree(phantom_store, store)
    scans = phantom_store.parent / "scans"
    image = sorted((scans / "images").iterdir())[0]
    pipeline.guide(
        store,
        exemplars=[image],
        masks=[scans / "masks" / image.name],
        parts={"left_lung": 1, "right_lung": 2, "heart": 3},
        map_size=20,
        workers=1,
        progress=False,
        device="cpu",
    )
    pipeline.guide(store, template="slic", workers=1, progress=False, device="cpu")
    return store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small_disk(2)` mounts a file system of its own with room for 2 MiB and gives its folder."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted: list[Path] = []

    def mount(mebibytes: int) -> Path:
        disk = tmp_path / f"disk_{len(mounted)}"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(disk)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        subprocess.run(["umount", str(disk)], check=True)
