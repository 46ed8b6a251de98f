"""Where in its volume a DICOM slice lies: along the normal of its plane (PS3.3 C.7.6.2), else by its number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.data.dicom_voi import functional_group

__all__ = ["slice_position"]

_DIGITS = 3  # of direction cosines: files of one series differ in the last ones


def slice_position(head: Any, frame: int) -> tuple[float | None, str]:
    """Return the millimetres along the normal (None where the file does not say), and which stack they count within.

    A stack is the slices of one direction in one file with several frames, or in one series of files with one each; of
    a file with one frame and no series it is empty.

    Args:
        head: The file's header.
        frame: Which.
    """
    several = int(head.get("NumberOfFrames") or 1) > 1
    series = "" if several else str(head.get("SeriesInstanceUID") or "")
    plane = functional_group(head, frame, "PlaneOrientationSequence") or head
    place = functional_group(head, frame, "PlanePositionSequence") or head
    cosines, corner = _numbers(plane, "ImageOrientationPatient", 6), _numbers(place, "ImagePositionPatient", 3)
    if cosines is not None and corner is not None:
        direction = " ".join(f"{one:.{_DIGITS}f}" for one in cosines.round(_DIGITS) + 0.0)  # no -0
        return float(np.cross(cosines[:3], cosines[3:]) @ corner), f"{series} {direction}" if several or series else ""
    measures = functional_group(head, frame, "PixelMeasuresSequence") or head
    between = _numbers(measures, "SpacingBetweenSlices", 1)
    number = np.array([float(frame)]) if several else _numbers(head, "InstanceNumber", 1)
    if between is None or number is None or between[0] == 0:
        return None, ""
    return float(abs(between[0]) * number[0]), series


def _numbers(item: Any, name: str, many: int) -> npt.NDArray[np.float64] | None:
    """Return the numbers of an element, None where it has not so many."""
    value = item.get(name)
    try:
        found = np.array([] if value is None else value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    return found if len(found) == many and np.isfinite(found).all() else None
