"""One image large, in a real browser: layers, outlines, window, runs side by side, neighbours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vesalius import pipeline
from vesalius.explorer.exploration import Exploration
from vesalius.pipeline.exploring import look_through

from .conftest import LOOK, Explored, Open, open_first, picture

pytest.importorskip("playwright", reason="needs playwright and a Chromium")


def test_layers_window_and_neighbours_of_one_image(page: Any, exploration: Exploration) -> None:
    open_first(page)
    detail = page.locator("#detail")
    with_map = picture(page)
    detail.get_by_label("Layer").select_option(label="nothing")
    detail.get_by_label("Mask", exact=True).uncheck()
    bare = picture(page)
    assert np.abs(bare - with_map).max() > 30
    assert (bare.max(1) == bare.min(1)).all()  # gray again
    for title in ("Mask", "Predicted masks", "HiResCAM of the predicted masks", "Knowledge map triangular"):
        detail.get_by_label("Layer").select_option(label=title)
        page.wait_for_selector(".panes[aria-busy='false']")
        captions = page.locator("#detail figcaption").all_inner_texts()
        assert captions[0].startswith(f"run: {title}")
        empty = captions[0].endswith(("none of this image", "not of this run"))
        [layer] = [one for one in exploration.layers() if one.title == title]
        maps = layer.read(0)
        nothing = maps is None or maps.max() == maps.min()
        assert empty == (maps is None)
        assert (np.abs(picture(page) - bare).max() > 20) != nothing
    detail.get_by_label("Layer").select_option(label="Mask")
    whole = picture(page)
    boxes = detail.locator(".parts input")
    assert boxes.count() == 3
    boxes.first.uncheck()
    assert np.abs(picture(page) - whole).max() > 20
    detail.get_by_label("Opacity").fill("0")
    np.testing.assert_array_equal(picture(page), bare)
    detail.get_by_label("Layer").select_option(label="nothing")
    detail.get_by_label("Mask", exact=True).check()
    outlined = picture(page)
    assert 0.001 < (outlined.max(1) != outlined.min(1)).mean() < 0.2  # lines, no areas
    detail.get_by_label("Mask", exact=True).uncheck()
    detail.get_by_label("Brightest").fill("0.5")
    assert picture(page).mean() > bare.mean() * 1.2
    assert "width 128" in detail.get_by_text("of the file").inner_text()
    detail.get_by_role("button", name="whole range").click()
    np.testing.assert_array_equal(picture(page), bare)
    near = page.locator(".near li button").first.get_attribute("aria-label")
    page.locator(".near li button").first.click()
    page.wait_for_function(f"() => document.querySelector('#detail-title').textContent.includes('{near[6:14]}')")


def test_two_runs_stand_side_by_side(page: Any) -> None:
    open_first(page)
    assert page.locator("#detail canvas").count() == 2
    captions = page.locator("#detail figcaption").all_inner_texts()
    assert captions[0].startswith("run: Attention")
    assert captions[1].startswith("other: Attention of the [CLS]: not of this run")
    first = page.locator(".near li").first.inner_text()
    page.locator(".near select").select_option(label="other")
    page.wait_for_function("() => document.querySelector('.near select').value === '1'")
    assert page.locator(".near li").count() == 12
    assert first


def test_sixteen_bits_are_windowed_in_the_files_own_values(
    open_page: Open, explored: Explored, begin: Callable[[Exploration], str], tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for number in range(20):
        pixels = generator.integers(1000, 3000, (40, 40)).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / "scans" / f"{number}.png")
    pipeline.prepare(tmp_path / "scans", tmp_path / "deep", size=32, bits=16, workers=1, progress=False)
    page = open_page(begin(look_through([explored.run], tmp_path / "deep", **LOOK)))
    page.wait_for_selector(".tile img[src]")
    open_first(page)
    page.locator("#detail").get_by_label("Layer").select_option(label="nothing")
    words = page.locator("#detail").get_by_text("of the file").inner_text()
    low, high = (int(one) for one in re.findall(r"values (-?\d+) to (-?\d+)", words)[0])
    assert high > 2500
    assert low < 1500
    before = picture(page)
    page.get_by_label("Darkest").fill("0.4")
    assert picture(page).mean() < before.mean()
    assert (
        int(re.findall(r"values (-?\d+) to", page.locator("#detail").get_by_text("of the file").inner_text())[0]) > low
    )


def test_the_other_controls_of_one_image(page: Any) -> None:
    open_first(page)
    detail = page.locator("#detail")
    detail.get_by_label("Mask", exact=True).uncheck()
    whole = picture(page)
    detail.get_by_label("Hide below").fill("0.8")
    strong = picture(page)
    gray = strong.max(1) == strong.min(1)
    assert gray.mean() > (whole.max(1) == whole.min(1)).mean() + 0.2  # what is weak is left out
    detail.get_by_label("smooth between patches").uncheck()
    assert np.abs(picture(page) - strong).max() > 10
    detail.get_by_role("button", name="none", exact=True).click()
    assert (picture(page).max(1) == picture(page).min(1)).all()
    detail.get_by_role("button", name="all", exact=True).click()
    assert (picture(page).max(1) != picture(page).min(1)).any()
    title = page.locator("#detail-title").inner_text()
    detail.get_by_role("button", name="Next image").click()
    page.get_by_text("· 2 of 64").wait_for()
    detail.get_by_role("button", name="Previous image").click()
    page.get_by_text(title, exact=True).wait_for()
