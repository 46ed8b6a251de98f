from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.folder import FolderAdapter
from vesalius.data.adapters.options import converted
from vesalius.errors import DatasetError


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("x.csv", Path | None, Path("x.csv")),
        (None, Path | None, None),
        (3, str | None, "3"),
        ("false", bool, False),
        (True, bool, True),
        ("7", int, 7),
        ("a, b", Sequence[str] | None, ["a", "b"]),
        (["a", 2], Sequence[str], ["a", "2"]),
        ("ones", Literal["ones", "zeros"], "ones"),
        (2, Literal["1", "2", "3"], "2"),
        ("0.5", float, 0.5),
    ],
)
def test_options_become_what_the_adapter_declares(value: Any, hint: Any, expected: Any) -> None:
    got = converted("name", value, hint)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        (3, Path | None, "name=3: expected a path"),
        ("maybe", bool, "expected true or false"),
        (1.5, int, "expected a whole number"),
        (True, int, "expected a whole number"),
        (None, str, "expected a text"),
        ({"a": 1}, Sequence[str] | None, "expected names, by commas"),
        ("oens", Literal["ones", "zeros"], "did you mean 'ones'"),
    ],
)
def test_what_cannot_be_converted_is_said(value: Any, hint: Any, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        converted("name", value, hint)


def test_a_table_given_as_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "f" / "a.png")
    table = tmp_path / "x.csv"
    table.write_text("image,tb\na.png,1\n")
    samples = FolderAdapter().samples(tmp_path / "f", labels_csv=str(table), label_columns="tb")
    assert samples[0].labels == {"tb": 1}
