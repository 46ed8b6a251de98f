"""Explained cases on the page: the picture, its words, how far the maps can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vesalius.data.store import Store
from vesalius.report.cases import case_galleries
from vesalius.report.page import report
from vesalius.report.run_folder import read_run

RunBuilder = Callable[..., Path]
CasesWriter = Callable[..., Path]


def test_cases_are_told_by_kind_and_worst_first(
    build_run: RunBuilder, write_cases: CasesWriter, store: Store, tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    write_cases(run, store, "segment-mean-abcd1234", warnings=["maps survive shuffling in /home/jane/store"])
    (found,) = case_galleries(read_run(run))
    assert dict(found.kinds) == {"best": 1, "median": 1, "worst": 1}
    assert found.worst == (0.2,)
    assert found.picture.source.startswith("data:image/")
    assert found.picture.heading == "Explained cases: segment mean abcd1234"
    assert "1 best, 1 median and 1 worst cases by Dice of the parts" in found.picture.caption
    assert found.warnings == ("maps survive shuffling in store",)
    inside = found.trust[0]
    assert inside[2:] == (
        "share of the map inside the part",
        "0.310",
        "0.270 to 0.350",
        "0.090 (an even map)",
        "12 images",
    )
    assert len(found.trust) == 6


def test_page_shows_cases_and_says_where_there_are_none(
    build_run: RunBuilder, write_cases: CasesWriter, store: Store, read_page: Callable[[str], Any], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    assert "No cases were explained" in read_page(report([run], tmp_path / "report.html").read_text()).text
    write_cases(run, store, "finetune-effusion-abcd1234")
    page = read_page(report([run], tmp_path / "report.html").read_text())
    assert "cases by probability of the truth" in page.text
    assert any("rows are images, columns are maps" in str(picture["alt"]) for picture in page.pictures)
    assert "No cases were explained" not in page.text


@pytest.mark.parametrize("file", ["cases.json", "cases.csv", "trust.csv"])
def test_damaged_cases_are_said(
    build_run: RunBuilder, write_cases: CasesWriter, store: Store, tmp_path: Path, file: str
) -> None:
    run = build_run(tmp_path / "vit")
    (write_cases(run, store, "segment-mean-abcd1234") / file).write_text("cut, off\n1")
    (found,) = case_galleries(read_run(run))
    assert "could not be read" in found.picture.caption
    assert "--overwrite" in found.picture.caption
    assert found.trust == ()
