from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.data.labels import LabelSpec, guess_label


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["yes", "NO", ""], "binary", [1, 0, None]),
        (["0", "1", "nan"], "binary", [0, 1, None]),
        (["F", "M", "F"], "binary", [0, 1, 0]),
        (["0", "1", "2", "2"], "multiclass", [0, 1, 2, 2]),
        (["1.5", "2", "NA"], "number", [1.5, 2.0, None]),
        (["61", "62", "75", "61"], "number", [61.0, 62.0, 75.0, 61.0]),
        (["a long story", "another", "a third"], "text", ["a long story", "another", "a third"]),
        (["b", "a", "c", "a"], "multiclass", [1, 0, 2, 0]),
        (["none", "mild", "severe", "mild"], "multiclass", [1, 0, 2, 0]),
        (["mild", "None", "severe", "", "mild", "None"], "multiclass", [1, 0, 2, None, 1, 0]),
        (["none", "1.5", "2"], "number", [None, 1.5, 2.0]),
        (["none", "yes", "no"], "binary", [None, 1, 0]),
    ],
)
def test_kinds(cells: list[str], kind: str, values: list[object]) -> None:
    spec, found = guess_label(cells)
    assert spec.kind == kind
    assert found == values


@given(st.lists(st.text(max_size=4), max_size=30))
def test_any_column_is_understood(cells: list[str]) -> None:
    spec, values = guess_label(cells)
    assert len(values) == len(cells)
    if spec.kind in {"binary", "multiclass"}:
        assert all(value is None or value in range(len(spec.classes)) for value in values)


def test_binary_has_class_names() -> None:
    assert LabelSpec(kind="binary").classes == ("no", "yes")
    assert LabelSpec(kind="number").as_dict() == {"kind": "number", "classes": [], "description": ""}
