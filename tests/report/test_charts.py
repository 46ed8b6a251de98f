from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.records.result import Score
from vesalius.report.charts import Series, line_chart, ticks
from vesalius.report.forest import shared_scale, strip


def _chart(**options: object) -> ET.Element:
    lines = options.pop("lines", [Series(name="a", x=[0.0, 1.0, 2.0], y=[1.0, 2.0, 4.0])])
    values: dict[str, object] = {"title": "Loss", "description": "It falls.", "x_label": "step"}
    return ET.fromstring(line_chart(lines, **{**values, **options}))  # type: ignore[arg-type]


def _points(element: ET.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.get("d", ""))]
        for path in element.findall("path")
    ]


def test_points_are_linear_in_their_values_and_up_is_more() -> None:
    (points,) = _points(_chart())
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert (y1 - y2) == pytest.approx(2 * (y0 - y1), abs=0.2)
    assert y2 < y1 < y0


def test_logarithmic_axis() -> None:
    (points,) = _points(_chart(lines=[Series(name="a", x=[0.01, 0.1, 1.0], y=[1.0, 1.5, 2.0])], log_x=True))
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.11)


def test_has_a_title_and_a_description_that_are_referred_to() -> None:
    chart = _chart()
    named = (chart.get("aria-labelledby") or "").split()
    assert chart.get("role") == "img"
    assert [chart.find(f"*[@id='{each}']").text for each in named] == ["Loss", "It falls."]  # type: ignore[union-attr]


def test_text_is_escaped() -> None:
    evil = '</title><script>alert("1")</script>'
    chart = _chart(title=evil, x_label=evil, lines=[Series(name=evil, x=[0.0, 1.0], y=[0.0, 1.0], points=True)])
    assert chart.find("title").text == evil  # type: ignore[union-attr]
    assert not list(chart.iter("script"))


def test_what_is_not_finite_breaks_the_line() -> None:
    chart = _chart(lines=[Series(name="a", x=[0.0, 1.0, 2.0, 3.0], y=[1.0, math.nan, 2.0, 3.0])])
    assert (chart.find("path").get("d") or "").count("M") == 2  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="no finite point"):
        _chart(lines=[Series(name="a", x=[0.0], y=[math.inf])])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=8),
    st.booleans(),
)
def test_every_point_lies_on_the_paper(values: list[float], constant: bool) -> None:
    ys = [values[0]] * len(values) if constant else values
    for points in _points(_chart(lines=[Series(name="a", x=[float(i) for i in range(len(ys))], y=ys)])):
        assert all(0 <= x <= 360 and 0 <= y <= 210 for x, y in points)


@settings(max_examples=60, deadline=None)
@given(st.floats(-1e5, 1e5), st.floats(1e-4, 1e5), st.integers(2, 8))
def test_ticks_are_inside_evenly_spaced_and_few(low: float, width: float, about: int) -> None:
    found = ticks(low, low + width, about)
    assert all(low - 1e-6 * width <= each <= low + width * (1 + 1e-6) for each in found)
    assert len(found) <= about + 2
    steps = [b - a for a, b in pairwise(found)]
    assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)


def test_forest_strip_places_dot_and_interval_on_the_shared_scale() -> None:
    ours = Score(arm="pretrained", metric="roc_auc", value=0.9, low=0.85, high=0.95)
    chance = Score(arm="chance", metric="roc_auc", value=0.5, low=0.5, high=0.5)
    scale = shared_scale([ours, chance])
    assert scale.low < 0.5
    assert scale.high > 0.95
    element = ET.fromstring(strip(ours, scale, chance=0.5))
    circle, chance_line = element.find("circle"), element.find("line[@class='chance']")
    assert circle is not None
    assert chance_line is not None
    assert float((circle.get("cx") or "").rstrip("%")) == pytest.approx(scale.percent(0.9), abs=0.01)
    assert float((chance_line.get("x1") or "").rstrip("%")) == pytest.approx(scale.percent(0.5), abs=0.01)
    bar = next(line for line in element.findall("line") if line.get("stroke-linecap"))
    assert float((bar.get("x2") or "").rstrip("%")) == pytest.approx(scale.percent(0.95), abs=0.01)


def test_a_score_that_is_not_defined_draws_no_mark() -> None:
    missing = Score(arm="pretrained", metric="roc_auc", value=math.nan, low=math.nan, high=math.nan)
    element = ET.fromstring(strip(missing, shared_scale([missing])))
    assert element.find("circle") is None
