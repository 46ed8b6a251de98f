"""The page in a browser: wide and narrow, by keyboard, by the rules of accessibility."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vesalius.data.store import Store
from vesalius.report.page import report

RunBuilder = Callable[..., Path]
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")


@pytest.fixture(scope="module")
def address(
    build_run: RunBuilder, write_cases: Callable[..., Path], store: Store, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Of a page with two runs, one of them with all that a page can have."""
    folder = tmp_path_factory.mktemp("browser")
    label = {"effusion": {"pretrained": 0.91, "random_init": 0.78, "pixels": 0.74}}
    one = build_run(folder / "vit", figures=label)
    two = build_run(folder / "resnet", figures=label, architecture="resnet18", attention=False)
    write_cases(one, store, "segment-mean-abcd1234", warnings=["maps survive the shuffling of weights"])
    return report([one, two], folder / "report.html").as_uri()


@pytest.fixture(params=[1440, 390], ids=["wide", "narrow"])
def page(request: pytest.FixtureRequest, chromium: Any, address: str) -> Iterator[Any]:
    opened = chromium.new_page(viewport={"width": request.param, "height": 900})
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.goto(address)
    yield opened
    opened.close()


def _unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_fits_its_width_asks_for_nothing_and_says_no_error(page: Any, address: str) -> None:
    _unfold(page)
    width, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= inner
    beside = page.evaluate(
        """() => [...document.querySelectorAll('main *')]
          .filter(one => !one.closest('.scroll, pre, svg') && one.getBoundingClientRect().right > innerWidth + 1)
          .map(one => one.outerHTML.slice(0, 80))"""
    )
    assert not beside
    assert page.said == []
    assert [one for one in page.asked if not one.startswith("data:")] == [address]
    names = page.evaluate("[...document.querySelectorAll('.forest .name')].map(one => one.getClientRects()[0].width)")
    assert min(names) > 100  # names beside the plot are not squeezed
    broken = page.evaluate("[...document.images].filter(one => !one.naturalWidth).length")
    assert broken == 0


def test_keyboard_reaches_contents_and_opens_what_is_folded(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")  # it is seen once it is reached
    reached, opened = [], False
    for _ in range(400):
        page.keyboard.press("Tab")
        what = page.evaluate("[document.activeElement.tagName, document.activeElement.getAttribute('href')]")
        if what[0] == "BODY":
            break
        reached.append(what[1] if what[0] == "A" else what[0])
        if what[0] == "SUMMARY" and not opened:
            page.keyboard.press("Enter")
            opened = page.evaluate("document.activeElement.parentElement.open")
    assert {"#scores", "#training", "#pictures", "#data", "#limits", "#checklist", "#reproduce"} <= set(reached)
    assert opened
    assert "SUMMARY" in reached
    folded = page.evaluate("document.querySelectorAll('summary').length")
    assert reached.count("SUMMARY") == folded


def test_accessible_by_the_rules_of_axe(page: Any) -> None:
    """No finding from moderate up; of rows and pictures that are alike the first few are looked at, for speed."""
    _unfold(page)
    alike = (
        "tbody tr:nth-child(n+5), tbody:nth-of-type(n+4), .multiples figure:nth-child(n+3), .retrieval:nth-of-type(n+3)"
    )
    page.evaluate("alike => document.querySelectorAll(alike).forEach(one => one.remove())", alike)
    found = axe.Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("moderate", "serious", "critical")]
    told = [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:120]}" for one in grave]
    assert not told


@pytest.mark.parametrize("page", [1440], indirect=True, ids=["wide"])
def test_prints_with_everything_open(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    assert page.evaluate("document.querySelectorAll('details').length") > 4
