"""Ten thousand images: a first picture within a second, no slow frame, and few elements in the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesalius import pipeline
from vesalius.explorer.exploration import Exploration
from vesalius.pipeline.exploring import look_through

from .conftest import LOOK, TINY

pytestmark = pytest.mark.slow  # figures hold on a quiet machine; benchmarks/explorer.py measures them

FIRST = "() => document.querySelector('.tile img')?.naturalWidth > 0 && performance.now()"
FRAMES = """async () => {
  const grid = document.querySelector('#grid'), found = [], end = grid.scrollHeight - grid.clientHeight;
  let last = performance.now(), most = 0;
  for (let step = 1; step <= 200; step++) {
    grid.scrollTop = end * step / 200;
    await new Promise(requestAnimationFrame);
    found.push(performance.now() - last);
    last = performance.now();
    most = Math.max(most, document.querySelectorAll('.tile').length);
  }
  return [Math.max(...found), most];
}"""


def test_ten_thousand_images(
    tmp_path: Path, open_page: Callable[..., Any], begin: Callable[[Exploration], str]
) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    arrays = {}
    for split, count in (("train", 8000), ("val", 1000), ("test", 1000)):
        arrays[f"{split}_images"] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = generator.integers(0, 2, (count, 1))
    np.savez(tmp_path / "raw" / "pneumoniamnist.npz", **arrays)
    pipeline.prepare(tmp_path / "raw", tmp_path / "store", size=28, workers=1, progress=False)
    run = pipeline.pretrain("dino/small", data=f"{tmp_path / 'store'}@test", out=tmp_path / "run", overrides=TINY)
    address = begin(look_through([run], tmp_path / "store", **LOOK))
    page = open_page(address)
    page.wait_for_function(FIRST)
    page.goto(address.partition("?")[0])
    assert page.wait_for_function(FIRST, polling="raf").json_value() < 1000
    assert page.locator("#count").inner_text() == "10,000 images"
    slowest, tiles = page.evaluate(FRAMES)
    assert slowest < 100
    assert tiles < 300
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.index") == "9999"
    page.wait_for_function("() => document.activeElement.querySelector('img').naturalWidth > 0")
