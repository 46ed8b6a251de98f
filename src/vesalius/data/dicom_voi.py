"""The VOI transformation of a DICOM image: linear windows, VOI LUTs and sigmoids (PS3.3 C.11.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["functional_group", "linear_window", "look_up", "nonlinear_voi"]


def functional_group(head: Any, frame: int, name: str) -> Any:
    """Return the item of a functional group macro for one frame (its own, else the shared one), or None."""
    own = head.get("PerFrameFunctionalGroupsSequence") or []
    shared = head.get("SharedFunctionalGroupsSequence") or []
    for group in ([own[frame]] if frame < len(own) else []) + list(shared[:1]):
        sequence = group.get(name)
        if sequence:
            return sequence[0]
    return None


def linear_window(head: Any, frame: int, notes: list[str]) -> tuple[float, float] | None:
    """Return (low, high) of the first window, or None where there is none or it is invalid.

    LINEAR (the default) maps `[c - 0.5 - (w - 1) / 2, c - 0.5 + (w - 1) / 2]` and needs w >= 1; LINEAR_EXACT maps
    `[c - w / 2, c + w / 2]` and needs w > 0.
    """
    found = _window(head, frame, notes)
    if found is None:
        return None
    centre, width, function = found
    if function == "LINEAR_EXACT" or (function == "LINEAR" and 0 < width < 1):
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def nonlinear_voi(
    head: Any, pixels: npt.NDArray[Any], frame: int, notes: list[str]
) -> tuple[npt.NDArray[Any], tuple[float, float]] | None:
    """Apply a VOI LUT (which goes before a window) or a SIGMOID, where the file has one.

    Args:
        head: The data set.
        pixels: `[height, width]` modality values.
        frame: Frame whose functional group counts.
        notes: Receives a word about what was done.

    Returns:
        The output pixels and their range, or None where the VOI is linear or missing. A sigmoid gives (0, 1).
    """
    item = functional_group(head, frame, "FrameVOILUTSequence") or head
    tables = item.get("VOILUTSequence") or head.get("VOILUTSequence")
    if tables:
        notes.append("VOI LUT applied")
        return look_up(head, tables[0], pixels)
    found = _window(head, frame, notes)
    if found is None or found[2] != "SIGMOID":
        return None
    centre, width, _ = found
    notes.append("sigmoid VOI applied")
    exponent = np.clip(-4 * (pixels.astype(np.float64) - centre) / width, -80, 80)
    return (1 / (1 + np.exp(exponent))).astype(np.float32), (0.0, 1.0)


def look_up(head: Any, item: Any, values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    """Map values through a modality or VOI LUT item (PS3.3 C.11.1.1.1, C.11.2.1.1); outside it, its end entries hold.

    Tables of 8-bit entries are met both packed and as 16-bit words; the number of entries tells them apart.

    Returns:
        uint16 of the same shape, and the range of the stated bits of the entries.
    """
    count, first, depth = (int(number) for number in item.LUTDescriptor)
    count = count or 65536
    # The first mapped value has the sign of the values, which the VR of a damaged or implicit file may not tell.
    first = first - 65536 if first > 32767 and values.min() < 0 else first
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if getattr(head, "original_encoding", (None, True))[1] is not False else ">"
        table = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else "u1")[:count]
    else:
        table = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return table.astype(np.uint16)[index], (0.0, 2.0**depth - 1)


def _window(head: Any, frame: int, notes: list[str]) -> tuple[float, float, str] | None:
    item = functional_group(head, frame, "FrameVOILUTSequence") or head
    try:
        centre, width = _first(item.get("WindowCenter")), _first(item.get("WindowWidth"))
    except (TypeError, ValueError):
        return None
    if centre is None or width is None:
        return None
    if not (np.isfinite(centre) and np.isfinite(width)) or width <= 0:
        notes.append(f"header window ignored: width {width:g}")
        return None
    function = str(item.get("VOILUTFunction") or "LINEAR").upper()
    if function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        function = "LINEAR"
    return centre, width, function


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, (list, tuple)) or hasattr(value, "append"):
        return float(value[0]) if len(value) else None
    return float(value)
