"""How quick the explorer is with 10,000 images: the first picture, scrolling, filters, one image large, the map.

A store of 10,000 gray images of 128 px, a small ViT with a linear probe; the page in headless Chromium at 1440 x 900.

    OMP_NUM_THREADS=1 taskset -c 0,1 python benchmarks/explorer.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from result_files import machine, write_results
from scipy.ndimage import gaussian_filter

SET = (
    "views.options={size: 32, locals: 0}",
    "backbone={name: test_vit, image_size: 32}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16}",
    "training={batch_size: 64, epochs: 0.2, accelerator: cpu}",
)
FRAMES = """async () => {
  const grid = document.querySelector('#grid'), found = [];
  let last = performance.now();
  const end = grid.scrollHeight - grid.clientHeight, steps = 600;
  for (let step = 1; step <= steps; step++) {
    grid.scrollTop = end * step / steps;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    found.push(now - last);
    last = now;
  }
  return found;
}"""
FIRST = """() => {
  const picture = document.querySelector('.tile img');
  return picture && picture.complete && picture.naturalWidth > 0 ? performance.now() : 0;
}"""
AFTER = """async () => {{
  const start = performance.now();
  {action};
  while (!({done})) {{
    if (performance.now() - start > 20000) throw new Error("not within 20 s");
    await new Promise(requestAnimationFrame);
  }}
  return performance.now() - start;
}}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    about = machine("fastapi", "uvicorn", "playwright") | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "-")}
    with tempfile.TemporaryDirectory() as folder:
        address = served(Path(folder), options.images)
        told, about["browser"] = measured(address, options.repeats)
    columns = {"what": "{what}", "median": "{median:.0f} ms", "longest": "{longest:.0f} ms", "times": "{times}"}
    write_results("explorer", f"The explorer with {options.images:,} images", about, told, columns)


def served(here: Path, images: int) -> str:
    """Make a store and a run, and serve them."""
    from vesalius import pipeline
    from vesalius.explorer.serve import open_door, serve
    from vesalius.pipeline.exploring import look_through

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, images)
    pixels = gaussian_filter(generator.normal(size=(images, 128, 128)).astype(np.float32), (0, 6, 6))
    pixels += 0.05 * labels[:, None, None] * (np.arange(128) < 64)
    pixels = np.clip(128 + pixels * 700, 0, 255).astype(np.uint8)
    (here / "raw").mkdir()
    cuts = {"train": slice(0, images * 8 // 10), "val": slice(images * 8 // 10, images * 9 // 10)}
    cuts["test"] = slice(images * 9 // 10, images)
    arrays: dict[str, Any] = {f"{name}_images": pixels[cut] for name, cut in cuts.items()}
    arrays |= {f"{name}_labels": labels[cut, None] for name, cut in cuts.items()}
    np.savez(here / "raw" / "pneumoniamnist_128.npz", **arrays)
    pipeline.prepare(here / "raw", here / "store", size=128, workers=1, progress=False)
    run = pipeline.pretrain("dino/small", data=here / "store", out=here / "run", overrides=SET)
    label = next(iter(pipeline.open_store(here / "store").labels))
    how: dict[str, Any] = {"bootstrap": 20, "seeds": 1, "device": "cpu", "progress": False}
    pipeline.evaluate(run, data=here / "store", task="linear", label=label, **how)
    found = look_through([run], here / "store", embedding="pca", device="cpu", progress=False)
    door = open_door()
    threading.Thread(target=serve, args=(found, door), daemon=True).start()
    return door.address


def measured(address: str, repeats: int) -> tuple[list[dict[str, Any]], str]:
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("VESALIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    times: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(repeats):
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.goto(address)
            page.wait_for_function(FIRST)
            page.goto(address.partition("?")[0])
            first = page.wait_for_function(FIRST, polling="raf").json_value()
            times.setdefault("first picture, from the navigation on", []).append(first)
            page.wait_for_timeout(500)
            times.setdefault("a frame while scrolling through all", []).extend(page.evaluate(FRAMES))
            for what, (action, done) in ACTIONS.items():
                times.setdefault(what, []).append(page.evaluate(AFTER.format(action=action, done=done)))
            page.context.close()
        version = f"Chromium {browser.version}"
        browser.close()
    told = [
        {"what": what, "median": float(np.median(own)), "longest": max(own), "times": len(own)}
        for what, own in times.items()
    ]
    return told, version


_COUNT = "document.querySelector('#count').textContent"
ACTIONS = {
    "the worst false negatives, until the grid shows them": (
        "document.querySelector('.verdict.missed').click()",
        "document.querySelector('.tile.missed') !== null && document.querySelector('.tile:not(.missed)') === null",
    ),
    "a filter, until the grid shows it": (
        "document.querySelector('#filters .wide').click(); document.querySelector('#filters .column input').click()",
        f"{_COUNT}.startsWith('8,') && document.querySelector('.tile.missed') === null",
    ),
    "one image large, with its attention and neighbours": (
        "document.querySelector('.tile').click()",
        "document.querySelectorAll('.near img').length === 12 && document.querySelector('#detail canvas').width > 300",
    ),
    "the map of all": (
        "document.querySelector('#detail').close(); document.querySelector('#tab-map').click()",
        "document.querySelectorAll('#panel-map .legend li').length > 0",
    ),
}


if __name__ == "__main__":
    main()
