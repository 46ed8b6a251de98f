"""What an explanation says of itself: the JSON beside the pictures, written last, and what it allows to be redone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vesalius.atomic import replace_text
from vesalius.errors import RunError

__all__ = ["already_made", "write_record"]


def already_made(file: Path, plan: Mapping[str, Any], *, overwrite: bool = False) -> bool:
    """Say whether pictures were made by this plan before; with `overwrite`, remove those that were, by any plan.

    Raises:
        RunError: They were made by another plan, or the record is damaged.
    """
    if not file.is_file():
        return False
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        before, pictures = dict(record["plan"]), [str(name) for name in record["pictures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: not readable ({error}); remove its folder, or name another --out") from error
    if not overwrite:
        now = json.loads(json.dumps(plan))
        if before != now:
            differing = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            raise RunError(
                f"{file.parent}: holds an explanation made otherwise (different: {', '.join(differing)}); choose "
                "another --out, or replace it by --overwrite"
            )
        return all((file.parent / name).is_file() for name in pictures)
    file.unlink()
    for name in pictures:
        if Path(name).name == name:  # a record cannot name files elsewhere
            (file.parent / name).unlink(missing_ok=True)
    return False


def write_record(file: Path, plan: Mapping[str, Any], *, pictures: list[str], **found: Any) -> None:
    """Write the record of finished pictures, whole or not at all."""
    content = {"plan": plan, **found, "pictures": pictures}
    replace_text(file, json.dumps(content, indent=2) + "\n")
