"""A store with masks, maps and labels, a run that was evaluated on it, and the page served to a real browser."""

from __future__ import annotations

import base64
import io
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vesalius import pipeline
from vesalius.data.store import Store, open_store
from vesalius.explorer.exploration import Exploration
from vesalius.explorer.serve import open_door, serve
from vesalius.pipeline.exploring import look_through

TINY = (
    "views.options={size: 32, locals: 0}",
    "backbone={name: test_vit, image_size: 32}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16}",
    "training={batch_size: 16, epochs: 0.25, accelerator: cpu}",
)
QUICK: dict[str, Any] = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 20, "seeds": 1}
ONCE = {"random_inits": 1}
LOOK: dict[str, Any] = {"embedding": "pca", "device": "cpu", "progress": False}
LABEL = "any_finding"
Open = Callable[..., Any]
TOKEN = "0123456789abcdef" * 2


@dataclass(frozen=True)
class Explored:
    """A store and two runs: one with evaluations and kept networks, one with an evaluation."""

    store: Store
    run: Path
    other: Path


@pytest.fixture(scope="session")
def explored(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Explored:
    folder = tmp_path_factory.mktemp("explored")
    store, runs = folder / "store", []
    shutil.copytree(phantom_store, store)
    pipeline.guide(store, template="triangular", map_size=20, workers=1, progress=False, device="cpu")
    for name, backbone in (("run", "test_vit"), ("other", "test_resnet")):
        overrides = (*TINY, f"backbone={{name: {backbone}, image_size: 32}}", f"training.seed={len(runs)}")
        runs.append(pipeline.pretrain("dino/small", data=store, out=folder / name, overrides=overrides))
        pipeline.evaluate(runs[-1], data=store, task="linear", label=LABEL, **QUICK, **ONCE)
    how = QUICK | {"protocol": "folds", "folds": 2, "decoder": "fpn", "keep_networks": True}
    how["overrides"] = ["rounds=1", "round_steps=8", "batch_size=8", "lr=0.01"]
    pipeline.evaluate_segment(runs[0], data=store, **how)
    return Explored(open_store(store), *runs)


@pytest.fixture(scope="session")
def exploration(explored: Explored) -> Exploration:
    return look_through([explored.run, explored.other], explored.store.path, **LOOK)


@pytest.fixture(scope="session")
def begin() -> Callable[[Exploration], str]:
    """Serve an exploration in a thread that ends with the tests; return its address."""

    def begin(exploration: Exploration) -> str:
        door = open_door(token=TOKEN)
        threading.Thread(target=serve, args=(exploration, door), daemon=True).start()
        return door.address

    return begin


@pytest.fixture(scope="session")
def address(exploration: Exploration, begin: Callable[[Exploration], str]) -> str:
    return begin(exploration)


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a window of its own; any error in the console or request to elsewhere fails the test."""
    wrong: list[str] = []
    contexts = []

    def open_page(address: str, *, width: int = 1440, height: int = 900, expected: tuple[str, ...] = ()) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        origin = address.partition("/?")[0]

        def told(words: str) -> None:
            if not any(one in words for one in expected):
                wrong.append(words)

        page.on("console", lambda message: told(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: told(str(error)))
        page.on("request", lambda one: None if one.url.startswith((origin, "data:", "blob:")) else told(one.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(open_page: Open, address: str) -> Any:
    page = open_page(address)
    page.wait_for_selector(".tile img[src]")
    return page


def scores(explored: Explored) -> pd.DataFrame:
    """What the linear probe said, straight from its file: by image."""
    [folder] = (explored.run / "evaluations").glob(f"linear-{LABEL}-*")
    table = pd.read_parquet(folder / "predictions.parquet")
    return table[table.arm == "pretrained"].groupby("image_id")[["truth_yes", "score_yes"]].mean()


def choose_probe(page: Any) -> None:
    page.get_by_label("Evaluation").select_option(label="any finding: linear probe")


def names(page: Any) -> list[str]:
    """The first digits of the images in sight, in their order."""
    settle(page)
    tiles = page.locator(".tile").evaluate_all(
        "tiles => tiles.sort((a, b) => a.dataset.index - b.dataset.index).map(one => one.getAttribute('aria-label'))"
    )
    return [re.match(r"Image (\w+)", one)[1] for one in tiles]


def settle(page: Any) -> None:
    """Wait until the page, which draws once a frame, has drawn what was asked for."""
    page.evaluate("() => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")


def press(page: Any, key: str) -> None:
    page.keyboard.press(key)
    settle(page)


def shown(page: Any) -> int:
    settle(page)
    return int(re.match(r"([\d,]+)", page.locator("#count").inner_text())[1].replace(",", ""))


def picture(page: Any, pane: int = 0) -> np.ndarray:
    """The pixels of the large image, when all that belongs to it is there."""
    settle(page)
    page.wait_for_selector(".panes[aria-busy='false']")
    settle(page)
    address = page.evaluate("pane => document.querySelectorAll('#detail canvas')[pane].toDataURL()", pane)
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64).reshape(-1, 3)


def open_first(page: Any) -> None:
    page.locator(".tile").first.click()
    page.wait_for_selector(".near li")
