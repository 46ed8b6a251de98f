"""The page in a real browser: every control, keyboard and pointer, narrow and wide."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vesalius.explorer.exploration import Exploration
from vesalius.pipeline.exploring import look_through

from .conftest import LABEL, LOOK, Explored, Open, choose_probe, names, open_first, press, scores, settle, shown

pytest.importorskip("playwright", reason="needs playwright and a Chromium")


def test_a_new_user_finds_the_worst_false_negatives(page: Any, explored: Explored) -> None:
    """The path: choose the evaluation, lower nothing, press `Missed`: the surest mistakes come first."""
    choose_probe(page)
    table = scores(explored)
    threshold = float(table.score_yes[table.truth_yes == 1].median())  # so that about half of them are missed
    page.get_by_label("Said from a score of").fill(f"{threshold:.2f}")
    page.get_by_role("button", name="Missed").click()
    missed = table[(table.truth_yes == 1) & (table.score_yes.round(4) < round(threshold, 2))]
    expected = missed.assign(id=missed.index.str[:8]).sort_values("score_yes", kind="stable")
    assert shown(page) == len(expected) > 3
    found = names(page)
    assert set(found) == set(expected.id)
    ordered = expected.set_index("id").score_yes.round(4)[found].to_numpy()
    assert (np.diff(ordered) >= 0).all()
    words = page.locator(".tile").first.get_attribute("aria-label")
    assert words == f"Image {found[0]}, score {ordered[0]:.2f}, missed"
    page.locator(".tile").first.click()
    page.wait_for_selector("#detail[open]")
    assert f"Image {found[0]} · 1 of {len(expected)}" in page.locator("#detail-title").inner_text()
    assert f"− yes {ordered[0]:.2f}, labelled yes" in page.locator("#detail .facts").inner_text()


def test_who_was_right_is_counted(page: Any, explored: Explored) -> None:
    choose_probe(page)
    table = scores(explored)
    said, truth = table.score_yes.round(4) >= 0.5, table.truth_yes == 1
    counts = {
        "All": 64,
        "Missed": (truth & ~said).sum(),
        "False alarms": (~truth & said).sum(),
        "Right": (truth == said).sum(),
    }
    settle(page)
    for name, number in counts.items():
        assert page.get_by_role("button", name=name).locator(".number").inner_text() == f"{number}"
    page.get_by_label("Looked for").select_option(label="no")
    settle(page)  # what was missed is a false alarm of the other class
    assert page.get_by_role("button", name="Missed").locator(".number").inner_text() == f"{counts['False alarms']}"
    page.get_by_label("Order").select_option(label="highest score first")
    ordered = (1 - table.score_yes).sort_values(ascending=False)
    assert names(page)[0] in set(ordered[ordered.round(4) == ordered.round(4).iloc[0]].index.str[:8])


def test_filters_by_split_and_label(page: Any, explored: Explored) -> None:
    manifest = explored.store.manifest
    page.get_by_label("train", exact=False).first.check()
    assert shown(page) == (manifest.split == "train").sum()
    group = page.locator("details.column").filter(has=page.locator("summary", has_text="any finding"))
    group.locator("summary").click()
    group.get_by_label("yes").check()
    both = (manifest.split == "train") & (manifest[f"label_{LABEL}"] == 1)
    assert shown(page) == both.sum()
    assert set(names(page)) <= set(manifest.image_id[both].str[:8])
    page.get_by_role("button", name="Take all filters away").click()
    assert shown(page) == 64


def test_the_keyboard_reaches_everything(page: Any) -> None:
    page.locator("#images").focus()
    press(page, "Tab")
    order = names(page)
    focused = "document.activeElement.getAttribute('aria-label').slice(6, 14)"
    assert page.evaluate(focused) == order[0]
    press(page, "ArrowRight")
    assert page.evaluate(focused) == order[1]
    columns = int(page.locator("#grid").get_attribute("aria-colcount"))
    press(page, "ArrowDown")
    assert page.evaluate(focused) == order[1 + columns]
    press(page, "End")
    assert page.evaluate(focused) == names(page)[-1]
    press(page, "Home")
    press(page, "Enter")
    page.wait_for_selector("#detail[open]")
    press(page, "ArrowRight")
    page.wait_for_function(
        f"() => document.querySelector('#detail-title').textContent.startsWith('Image {order[1]} · 2 of 64')"
    )
    press(page, "Escape")
    page.wait_for_function(f"() => {focused} === '{order[1]}'")  # back where one was
    press(page, "Space")
    assert page.locator("#selection").inner_text().startswith("1 image selected")
    press(page, "Control+a")
    assert page.locator("#selection").inner_text().startswith("64 images selected")
    page.locator("#tab-grid").focus()
    press(page, "ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-map"
    page.locator("#panel-map .legend li").first.wait_for()
    page.locator("#panel-map canvas").focus()
    press(page, "ArrowRight")
    press(page, "ArrowLeft")
    press(page, "Enter")
    page.wait_for_selector("#detail[open]")


def test_a_selection_is_exported(page: Any, explored: Explored, tmp_path: Path) -> None:
    tiles = page.locator(".tile")
    tiles.nth(1).click(modifiers=["Control"])
    tiles.nth(3).click(modifiers=["Shift"])
    settle(page)
    assert page.locator("#selection").inner_text().startswith("3 images selected")
    page.get_by_role("button", name="Show only these").click()
    assert shown(page) == 3
    with page.expect_download() as begun:
        page.get_by_role("button", name="Export 3 selected").click()
    begun.value.save_as(tmp_path / "images.csv")
    table = pd.read_csv(tmp_path / "images.csv", dtype={"image_id": str})
    manifest = explored.store.manifest.iloc[table.row]
    assert list(table.row) == [1, 2, 3]
    assert list(table.image_id) == list(manifest.image_id)
    assert list(table.split) == list(manifest.split)
    assert [one == "yes" for one in table["any finding"]] == list(manifest[f"label_{LABEL}"] == 1)
    [scored] = [name for name in table if name.startswith(f"run linear-{LABEL}") and name.endswith(" yes")]
    np.testing.assert_allclose(table[scored], scores(explored).score_yes[table.image_id], atol=5e-5)
    text = (tmp_path / "images.csv").read_text()
    assert not any(patient in text for patient in manifest.patient)
    page.get_by_role("button", name="Select none").click()
    assert shown(page) == 64


def test_the_map_selects_by_a_lasso(page: Any, explored: Explored) -> None:
    page.get_by_role("tab", name="Map").click()
    canvas = page.locator("#panel-map canvas")
    box = canvas.bounding_box()
    page.wait_for_function("() => document.querySelector('#panel-map .legend').children.length > 0")
    around = [(4, 4), (box["width"] - 4, 4), (box["width"] - 4, box["height"] - 4), (4, box["height"] - 4), (4, 5)]
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    for x, y in around:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    settle(page)
    assert page.locator("#selection").inner_text().startswith("64 images selected")
    page.get_by_role("button", name="Select none").click()
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    for x, y in [(box["width"] / 2, 4), (box["width"] / 2, box["height"] - 4), (4, box["height"] - 4)]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    settle(page)
    part = int(page.locator("#selection").inner_text().split()[0])
    assert 0 < part < 64
    page.get_by_label("Colour").select_option(label="sex")
    settle(page)
    assert page.locator("#panel-map .legend li").count() == 2
    page.get_by_label("Seen by").select_option(label="other")
    page.get_by_label("Colour").select_option(label="what the run said")


def test_a_narrow_window_loses_nothing(open_page: Open, address: str) -> None:
    page = open_page(address, width=390, height=844)
    page.wait_for_selector(".tile img[src]")
    wide = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(wide)
    assert not page.locator("#filters").is_visible()
    page.get_by_role("button", name="Filters", exact=True).click()
    page.locator("#filters").wait_for(state="visible")
    choose_probe(page)
    page.get_by_role("button", name="Filters", exact=True).click()
    open_first(page)
    assert page.evaluate(wide)
    assert page.evaluate("document.querySelector('#detail').scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("tab", name="Map").click()
    assert page.evaluate(wide)


def test_a_store_that_changes_is_told(
    open_page: Open, explored: Explored, begin: Callable[[Exploration], str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(explored.store.path, store)
    page = open_page(begin(look_through([explored.run], store, **LOOK)), expected=("409",))
    page.wait_for_selector(".tile img[src]")
    assert not page.locator(".banner").first.is_visible()
    (store / "store.json").write_bytes((store / "store.json").read_bytes() + b"\n")
    page.locator(".tile").first.click()
    banner = page.locator("#detail .banner")  # over the image that is open
    banner.wait_for(state="visible")
    assert "was changed after this page was opened" in banner.inner_text()
    page.get_by_role("button", name="Close").click()
    settle(page)
    assert "was changed after this page was opened" in page.locator("body > .banner").inner_text()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)], ids=["wide", "narrow"])
def test_accessible_by_the_rules_of_axe(open_page: Open, address: str, width: int, height: int) -> None:
    """No finding from moderate up: the grid, with filters open, one image large, the map."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = open_page(address, width=width, height=height)
    page.wait_for_selector(".tile img[src]")

    def check(where: str) -> None:
        response = axe.run(page).response
        assert len(response["passes"]) > 10
        grave = [one for one in response["violations"] if one["impact"] in ("moderate", "serious", "critical")]
        assert not [f"{where}: {one['id']}: {one['help']}: {one['nodes'][0]['html'][:150]}" for one in grave]

    if width < 720:
        page.get_by_role("button", name="Filters", exact=True).click()
    choose_probe(page)
    for summary in page.locator("#filters summary").all()[1:]:
        summary.click()
    page.locator(".tile").first.click(modifiers=["Control"])
    check("grid")
    if width < 720:
        page.get_by_role("button", name="Filters", exact=True).click()
    open_first(page)
    check("one image")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("tab", name="Map").click()
    page.locator("#panel-map .legend li").first.wait_for()
    check("map")


def test_scores_and_the_size_of_pictures(page: Any, explored: Explored) -> None:
    choose_probe(page)
    said = scores(explored).score_yes.round(4)
    low, high = float(said.quantile(0.25)), float(said.quantile(0.75))
    field = page.locator("#filters .group .range input")
    field.first.fill(f"{low}")
    field.last.fill(f"{high}")
    assert shown(page) == ((said >= low) & (said <= high)).sum()
    page.get_by_role("button", name="Take all filters away").click()
    assert shown(page) == 64
    assert field.first.input_value() == ""
    columns = int(page.locator("#grid").get_attribute("aria-colcount"))
    page.get_by_label("Size").select_option(label="small")
    settle(page)
    assert int(page.locator("#grid").get_attribute("aria-colcount")) > columns
    assert page.locator(".tile img").first.get_attribute("src").startswith("api/thumbnails/64/")
