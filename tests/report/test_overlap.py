"""What the pretraining had seen of the scored images, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.data.store import Store
from vesalius.evaluation.write_result import read_result, write_result
from vesalius.report.overlap import overlap_rows
from vesalius.report.page import report
from vesalius.report.run_folder import read_run
from vesalius.report.stores import Stores

RunBuilder = Callable[..., Path]


def test_rows_count_what_was_seen_and_say_what_is_not_known(
    build_run: RunBuilder, store: Store, read_page: Callable[[str], Any], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    seen = {"test_images": 5, "of_images": 12, "test_patients": 6, "of_patients": 10, "patients_compared": True}
    for folder in (run / "evaluations").glob("*-effusion-*"):
        result = read_result(folder)
        write_result(folder, replace(result, settings=result.settings | {"seen_in_pretraining": seen}))
    rows = overlap_rows([read_run(run)], Stores([store]))
    assert ("effusion (phantom_store)", "12", "5", "10", "6") in rows
    assert ("opacity (phantom_store)", "12", "not known", "10", "not known") in rows
    for number, words in ((0, "cannot be compared"), (6, "at least 6; others cannot be compared"), (10, "10")):
        for compared in ({"patients_compared": False}, {}):  # the latter of before it was recorded
            apart = {name: seen[name] for name in ("test_images", "of_images", "of_patients")} | compared
            apart |= {"test_patients": number}
            for folder in (run / "evaluations").glob("*-effusion-*"):
                result = read_result(folder)
                write_result(folder, replace(result, settings=result.settings | {"seen_in_pretraining": apart}))
            found = overlap_rows([read_run(run)], Stores([store]))
            assert ("effusion (phantom_store)", "12", "5", "10", words) in found
    assert len(rows) == 3  # k-NN and linear probe of a label are one row
    both = overlap_rows([read_run(run, name="a"), read_run(run, name="b")], Stores())
    assert {row[0] for row in both} == {"a", "b"}
    page = read_page(report([run], tmp_path / "report.html").read_text())
    assert "Overlap of pretraining and scoring" in page.text
    assert "Environment" in page.text
    assert "bf16-mixed" in page.text
