"""What every benchmark writes: what was measured as JSON, the same as a Markdown table, and on what machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

Row = Mapping[str, Any]


def machine(*packages: str, **further: Any) -> dict[str, Any]:
    """Tell the date, the CPU, the cores, the threads, and the versions of Python, torch and other packages."""
    import torch  # not above: the sides of some benchmarks count what their own imports take

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = re.findall(r"model name\s*:\s*(.+)", text)
    versions = {name: importlib.metadata.version(name) for name in ("torch", *packages)}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": names[0] if names else platform.processor(),
        "cores": sorted(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_at_start": round(os.getloadavg()[0], 2),
        **further,
        "python": platform.python_version(),
        **versions,
    }


def kept_rows(name: str, keys: Sequence[str], measured: Sequence[Any], folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the rows of the results file whose `keys` are none of those measured now."""
    file = folder / f"{name}.json"
    there = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else []
    return [row for row in there if tuple(row[key] for key in keys) not in measured]


def write_results(
    name: str,
    title: str,
    about: Mapping[str, Any],
    rows: Sequence[Row],
    columns: Mapping[str, str | Callable[[Row], str]],
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    folder: Path = RESULTS,
) -> None:
    """Write `name.json` and `name.md`, and print the latter.

    Args:
        name: Of the files.
        title: Above the table.
        about: The machine and the versions.
        rows: What was measured.
        columns: Heading to what stands below it, as a format of the row or what makes it.
        before: Paragraphs above the table.
        after: Paragraphs below it.
        folder: Where to.
    """
    cells = [
        [column(row) if callable(column) else column.format_map(_Absent(row)) for column in columns.values()]
        for row in rows
    ]
    table = [list(columns), ["---"] * len(columns), *cells]
    machine_line = "  ".join(f"{key}: {value};" for key, value in about.items())
    paragraphs = [f"# {title}", *before, machine_line, "\n".join(f"| {' | '.join(line)} |" for line in table), *after]
    text = "\n\n".join(paragraphs) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"about": about, "rows": rows}, indent=1)
    (folder / f"{name}.json").write_text(content + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


class _Absent(dict[str, Any]):
    """A row whose missing figures are empty cells."""

    def __missing__(self, key: str) -> str:
        return ""
