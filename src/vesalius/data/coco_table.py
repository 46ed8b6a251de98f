"""Tables in COCO's format, as stores and detection read them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesalius.errors import ManifestError

__all__ = ["COCO_FORMAT", "finite_numbers", "patient_of", "read_coco_table"]

COCO_FORMAT = "expected COCO's instances format"


def read_coco_table(table: Path, *, needs: Mapping[str, Sequence[str]], words: bool = False) -> dict[str, Any]:
    """Read a table of instances.

    Args:
        table: The file, JSON.
        needs: Keys that each of `images`, `annotations` and `categories` must have.
        words: Whether an id may be a text, which COCO's own code does not take.

    Raises:
        ManifestError: The table is damaged, lacks what is needed, or has an id that is none, or two of.
    """
    try:
        content = json.loads(table.read_text(encoding="utf-8-sig"))
        missing = [kind for kind in needs if kind not in content]
        if missing:
            raise ManifestError(f"{table}: lacks {', '.join(missing)}; {COCO_FORMAT}")
        for kind, keys in needs.items():
            for one in content[kind]:
                why = _wrong(one, keys, words=words)
                if why:
                    raise ManifestError(f"{table}: one of {kind} {why}; {COCO_FORMAT}")
        for kind in ("images", "categories"):
            counts = Counter(one["id"] for one in content[kind]).most_common(1)
            if counts and counts[0][1] > 1:
                raise ManifestError(f"{table}: {counts[0][1]} of {kind} have the id {counts[0][0]}; number them anew")
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise ManifestError(f"{table}: is no table of COCO ({error}); {COCO_FORMAT}") from error
    return dict(content)


def _wrong(one: Any, keys: Sequence[str], *, words: bool) -> str:
    """Say what an image, an object or a class lacks, or nothing."""
    if not isinstance(one, Mapping):
        return f"is {one!r:.60}"
    missing = [key for key in keys if key not in one]
    if missing:
        return f"lacks {', '.join(missing)}"
    kinds = (int, str) if words else int
    strange = [key for key in keys if key.endswith("id") and not isinstance(one[key], kinds)]
    return f"has the {strange[0]} {one[strange[0]]!r}, no whole number" if strange else ""


def finite_numbers(given: Any, count: int | None = None) -> bool:
    """Say whether something is a list of finite numbers, of so many where `count` is given."""
    numbers = isinstance(given, list) and all(isinstance(one, int | float) and math.isfinite(one) for one in given)
    return numbers and count in (None, len(given))


def patient_of(image: Mapping[str, Any], table: Path) -> str | None:
    """Return whose an image of the table is by its `patient_id`, which is no part of COCO's format.

    Raises:
        ManifestError: It is neither a text nor a whole number.
    """
    found = image.get("patient_id")
    if found is None or isinstance(found, str | int):
        return None if found is None else str(found).strip() or None
    raise ManifestError(f"{table}: patient_id of image {image['id']} is {found!r}; give a text or a whole number")
