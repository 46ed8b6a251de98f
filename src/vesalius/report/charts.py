"""Line charts as inline SVG: light, with title and description, told apart by colour and by dash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

__all__ = ["COLOURS", "DASHES", "GRID", "Series", "line_chart", "ticks"]

# Okabe & Ito's palette, without its yellow, which is too light for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4A86", "#B07700", "#3A8FBF", "#1B1F24")
DASHES = ("", "7 4", "2 3", "10 3 2 3", "5 2", "1 4", "12 4")

# How lines and words look stands at each of them: WeasyPrint does not apply a page's style to what is inside an SVG.
GRID = 'stroke="#e7eaee" stroke-width="1"'
_AXIS = 'stroke="#8c959f" stroke-width="1"'
_TICK = 'font-family="sans-serif" font-size="11" fill="#57606a"'
_LABEL = 'font-family="sans-serif" font-size="11.5" fill="#57606a"'
_PEN = 'fill="none" stroke-width="1.9" stroke-linejoin="round" stroke-linecap="round"'

_WIDTH, _HEIGHT = 360.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 50.0, 10.0, 10.0, 36.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        name: What it shows, for the legend and the description.
        x: Positions.
        y: Values; one that is not finite breaks the line.
        low: Lower edge of a band, or empty.
        high: Upper edge of a band, or empty.
        style: Which colour, see `COLOURS`.
        dash: Which dash, see `DASHES`.
        points: Whether to mark each value with a dot.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    style: int = 0
    dash: int = 0
    points: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis: the range of the data, where it lies on the paper, and whether it is logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    x_label: str,
    y_range: tuple[float, float] | None = None,
    x_ticks: Sequence[tuple[float, str]] = (),
    log_x: bool = False,
) -> Markup:
    """Draw lines over one pair of axes.

    Args:
        series: The lines; at least one finite point in all.
        title: Name of the picture for those who hear it.
        description: What the lines do, in words, for those who hear it.
        x_label: Under the axis.
        y_range: Fixed (low, high), else from the data.
        x_ticks: Fixed positions with their text, else round numbers.
        log_x: Whether x is logarithmic; all x are then positive.

    Raises:
        ValueError: There is no finite point.
    """
    points = [(x, y) for line in series for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if not points:
        raise ValueError(f"chart {title!r} has no finite point")
    edges = [edge for line in series for edge in (*line.low, *line.high) if math.isfinite(edge)]
    low, high = y_range or _padded([y for _, y in points] + edges)
    xs = [x for x, _ in points] + [position for position, _ in x_ticks]
    x_low, x_high = (min(xs), max(xs)) if max(xs) > min(xs) else _spread(xs[0], log=log_x)
    if not log_x and 0 < x_low < 0.02 * x_high:
        x_low = 0.0  # averaged steps begin a little after the first
    across = _Axis(x_low, x_high, _LEFT, _WIDTH - _RIGHT, log_x)
    up = _Axis(low, high, _HEIGHT - _BOTTOM, _TOP)
    body = [_frame(across, up, x_ticks or [(t, _tick_text(t)) for t in ticks(x_low, x_high, 4)], x_label)]
    body += [_band(line, across, up) for line in series if line.low]
    body += [_line(line, across, up) for line in series]
    return _picture("".join(body), title, description)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers inside [low, high], roughly `about` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high == low:
        return _spread(low)
    margin = 0.06 * (high - low)
    return (low if low >= 0 and low - margin < 0 else low - margin), high + margin


def _spread(value: float, *, log: bool = False) -> tuple[float, float]:
    if log:
        return value / 2, value * 2
    around = abs(value) * 0.1 or 1.0
    return value - around, value + around


def _tick_text(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:,.6g}" if abs(value) < 1e4 else f"{value / 1000:g}k"


def _frame(across: _Axis, up: _Axis, x_ticks: Sequence[tuple[float, str]], x_label: str) -> str:
    parts = []
    for value in ticks(up.low, up.high, 4):
        y = up(value)
        parts.append(f'<line {GRID} x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text {_TICK} x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{_tick_text(value)}</text>')
    floor = _HEIGHT - _BOTTOM
    parts.append(f'<line {_AXIS} x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>')
    for value, text in x_ticks:
        x = across(value)
        anchor = "end" if x > _WIDTH - _RIGHT - 12 else "middle"
        parts.append(f'<line {_AXIS} x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>')
        parts.append(f'<text {_TICK} x="{x:.1f}" y="{floor + 16}" text-anchor="{anchor}">{escape(text)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text {_LABEL} x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _line(line: Series, across: _Axis, up: _Axis) -> str:
    colour, dash = COLOURS[line.style % len(COLOURS)], DASHES[line.dash % len(DASHES)]
    path, pen, dots = [], "M", []
    for x, y in zip(line.x, line.y, strict=True):
        if not math.isfinite(y):
            pen = "M"
            continue
        path.append(f"{pen}{across(x):.1f} {up(y):.1f}")
        pen = "L"
        if line.points:
            text = f"{escape(line.name)}: {y:.4g}"
            dots.append(
                f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"><title>{text}</title></circle>'
            )
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path {_PEN} d="{"".join(path)}" stroke="{colour}"{dashed}/>' + "".join(dots)


def _band(line: Series, across: _Axis, up: _Axis) -> str:
    there = list(zip(line.x, line.high, strict=True)), list(zip(line.x, line.low, strict=True))[::-1]
    corners = [f"{across(x):.1f},{up(y):.1f}" for side in there for x, y in side if math.isfinite(y)]
    colour = COLOURS[line.style % len(COLOURS)]
    return f'<polygon opacity=".14" points="{" ".join(corners)}" fill="{colour}"/>'


def _picture(body: str, title: str, description: str) -> Markup:
    # The id is made from the content, so that equal inputs give an equal page.
    key = hashlib.sha256(f"{title}|{description}|{body}".encode()).hexdigest()[:10]
    return Markup(  # noqa: S704 - every text in `body` was escaped above
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-labelledby="t{key} d{key}">'
        f'<title id="t{key}">{escape(title)}</title><desc id="d{key}">{escape(description)}</desc>{body}</svg>'
    )
