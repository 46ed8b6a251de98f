"""Shape and type checks on for every module under test, stores, trainings in processes of their own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from jaxtyping import install_import_hook

# Shapes written in annotations are checked in every test run; the hook must be in place before the first import.
_HOOK = install_import_hook("vesalius", "beartype.beartype")

import pytest  # noqa: E402

_SCRIPT = Path(__file__).with_name("one_process.py")
_HEAVY = ["vesalius.pipeline", "vesalius.training.train", "vesalius.evaluation.online", "vesalius.interpret.pictures"]


_LONGEST_FIRST = (
    "training/test_processes.py",
    "contracts/test_method_on_backbone.py",
    "training/test_resume.py",
    "study/test_study.py",
    "training/test_validation.py",
    "training/test_guided.py",
    "study/test_run_study.py",
    "study/test_write_study.py",
    "evaluation/test_detect.py",
    "real/test_registration.py",
    "evaluation/test_explain_cases.py",
    "explorer/test_in_chromium.py",
    "explorer/test_app.py",
    "evaluation/test_see_answers.py",
)
"""Files of half a minute and more: begun last, one of them would keep one process at work while the others wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; `make test` deals whole files among its processes."""
    here = Path(__file__).parent
    place = {str(here / name): number for number, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(str(item.path), len(place)))


def pytest_collection_finish() -> None:
    """Leave out what all imports brought when garbage is collected, which every training does at its end."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let what is left be collected when the process ends, which bindings wait for."""
    gc.unfreeze()


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
    (folder / "store.salt").write_text("one salt for every run: the same patients in every split\n")
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium driven by Playwright; take a page of your own from it, and close it.

    VESALIUS_CHROMIUM names another executable. While it is open the main thread has a running event loop, so code under
    test that calls `asyncio.run` belongs into a file, a thread or a process of its own.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("VESALIUS_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no Chromium: looked for {', '.join(names)}; install one, or set VESALIUS_CHROMIUM")
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"] if as_root else [])
        yield browser
        browser.close()


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., BaseProcess]:
    """Start a pretraining in a process forked from one that has imported everything: starting takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_HEAVY)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the server starts

    def begin(
        log: str = "log.txt",
        environment: dict[str, str] | None = None,
        interrupt_after: int | None = None,
        **arguments: Any,
    ) -> BaseProcess:
        request = {"arguments": arguments, "environment": environment or {}, "log": str(tmp_path / log)}
        request["interrupt_after"] = interrupt_after
        process = context.Process(
            target=runpy.run_path, args=(str(_SCRIPT),), kwargs={"init_globals": {"request": request}}
        )
        process.start()
        return process

    return begin


@pytest.fixture
def start_two(start: Callable[..., BaseProcess], tmp_path: Path) -> Callable[..., None]:
    """`start_two(arguments, overrides)` pretrains with two processes and waits for them.

    `interrupt_after=5` sends Ctrl-C to both after step 5.
    """

    def run(
        arguments: dict[str, Any],
        overrides: Sequence[str],
        *,
        resume: bool = False,
        interrupt_after: int | None = None,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        logs, processes = [f"rank{number}{resume}.txt" for number in (0, 1)], []
        for number, log in enumerate(logs):
            environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
            environment |= {"LOCAL_RANK": str(number), "OMP_NUM_THREADS": "1"}
            given = {"overrides": () if resume else overrides, "resume": resume}
            processes.append(
                start(log=log, environment=environment, interrupt_after=interrupt_after, **arguments, **given)
            )
        for log, process in zip(logs, processes, strict=True):
            process.join(180)
            assert process.exitcode == (0 if interrupt_after is None else 130), (tmp_path / log).read_text()

    return run


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


@pytest.fixture(scope="session")
def write_shapes() -> Callable[..., Path]:
    """Write a folder in COCO's format: `write_shapes(folder, {"train": 8, "val": 4})`."""

    import json

    import numpy as np
    from PIL import Image

    def write(folder: Path, tables: dict[str, int], *, side: int = 48) -> Path:
        """Gray images with one to three bright rectangles of two classes; category ids are not consecutive."""
        generator = np.random.default_rng(0)
        for table, count in tables.items():
            (folder / table).mkdir(parents=True)
            content = {
                "images": [],
                "annotations": [],
                "categories": [{"id": 3, "name": "tall"}, {"id": 7, "name": "wide"}],
            }
            for number in range(count):
                pixels = generator.integers(0, 60, (side, side + 8), dtype=np.uint8)
                content["images"].append(
                    {"id": 10 + number, "file_name": f"{number}.png", "height": side, "width": side + 8}
                )
                for _ in range(int(generator.integers(1, 4))):
                    tall = bool(generator.integers(2))
                    width, height = (8, 20) if tall else (20, 8)
                    x, y = (int(one) for one in generator.integers(2, side - 22, 2))
                    pixels[y : y + height, x : x + width] = 220 if tall else 150
                    content["annotations"].append(
                        {
                            "id": len(content["annotations"]) + 1,
                            "image_id": 10 + number,
                            "category_id": 3 if tall else 7,
                            "bbox": [x, y, width, height],
                            "area": width * height,
                            "iscrowd": 0,
                            "segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]],
                        }
                    )
                Image.fromarray(pixels).save(folder / table / f"{number}.png")
            (folder / "annotations").mkdir(exist_ok=True)
            (folder / "annotations" / f"instances_{table}.json").write_text(json.dumps(content))
        return folder

    return write
