"""Reliability plots: how often what was given a probability came true."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from vesalius.records.result import Result
from vesalius.report.charts import Series, line_chart
from vesalius.report.wording import ARMS, figure

__all__ = ["reliability_plot"]

_AXIS = {
    "binary": "probability given",
    "multilabel": "probability given, all labels together",
}


def reliability_plot(result: Result, name: str, styles: Mapping[str, tuple[int, int]]) -> tuple[Markup, str] | None:
    """Draw the frequency over the probability, a line an arm, beside the diagonal; and tell the errors.

    None where nothing was measured.

    Args:
        result: Of a classifier; `settings["calibration"]` holds the points.
        name: What tells it from other plots of the page.
        styles: Colour and dash of every arm.
    """
    measured = result.settings.get("calibration")
    if not isinstance(measured, Mapping) or not measured:
        return None
    lines = [Series(name="as said", x=[0.0, 1.0], y=[0.0, 1.0], style=6, dash=5)]
    told = []
    for arm, words in ARMS.items():
        if arm in measured:
            style, dash = styles[arm]
            points = measured[arm]
            x, y = points["predicted"], points["observed"]
            lines.append(Series(name=words, x=x, y=y, style=style, dash=dash, points=True))
            told.append(f"{words} {figure(points['ece'])}")
    errors = "; ".join(told)
    picture = line_chart(
        lines,
        title=f"Reliability, {name}",
        description=f"How often it came true, over the probability given. Expected calibration error: {errors}.",
        x_label=_AXIS.get(result.kind, "probability of the likeliest class"),
        y_range=(0.0, 1.0),
        x_ticks=[(0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1")],
    )
    return picture, errors
