"""A study's kept results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vesalius.atomic import replace_text
from vesalius.records.result import Result, Score
from vesalius.study.results_file import read_results


def _result(value: float) -> Result:
    score = Score(
        arm="pretrained",
        metric="roc_auc",
        value=value,
        low=value,
        high=value,
        fraction=1.0,
        seeds=1,
        spread=0.0,
        median=value,
    )
    return Result(
        task="linear",
        label="sex",
        kind="binary",
        scores=(score,),
        train_images=4,
        test_images=2,
        train_patients=4,
        test_patients=2,
        protocol="split",
    )


def _write(file: Path, *results: Result) -> None:
    replace_text(file, json.dumps([one.as_dict() for one in results]))


def test_what_was_written_is_read_and_what_replaced_it_too(tmp_path: Path) -> None:
    file = tmp_path / "linear.json"
    first, second = _result(0.25), replace(_result(0.75), label="age")
    _write(file, first)
    assert read_results(file) == [first]
    _write(file, second)  # of the same size
    assert read_results(file) == [second]


def test_who_changes_the_list_changes_no_later_reading(tmp_path: Path) -> None:
    file = tmp_path / "linear.json"
    _write(file, _result(0.25))
    read_results(file).clear()
    assert len(read_results(file)) == 1


def test_no_file_and_no_results_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_results(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('[{"task": "linear"}]')
    with pytest.raises(KeyError):
        read_results(tmp_path / "other.json")
