"""A model card beside a run's backbone, in the Hugging Face layout: `RUN/backbone/README.md`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from vesalius.atomic import replace_text
from vesalius.errors import RunError
from vesalius.report.commands import commands
from vesalius.report.data_sheet import data_sheets
from vesalius.report.limits import limits
from vesalius.report.redaction import recipe_without_folders
from vesalius.report.run_folder import Run
from vesalius.report.score_rows import ScoreRow, score_rows
from vesalius.report.stores import Stores
from vesalius.report.summary import summarise
from vesalius.report.training import run_facts
from vesalius.version import __version__

__all__ = ["card_path", "write_model_card"]

_SEAL = re.compile(r"<!-- vesalius wrote all above; sha256 ([0-9a-f]{64}) -->\n\Z")


class _Code(str):
    """Text inside a fence, where Markdown means nothing."""

    __slots__ = ()


def card_path(run: Run) -> Path:
    """Return where a run's card is, or would be.

    Raises:
        RunError: The run has no backbone yet, or somebody has changed the card that is there.
    """
    folder = run.path / "backbone"
    if not run.architecture:
        raise RunError(f"{folder}: holds no backbone to write a card of; train further, or ask for the page alone")
    path = folder / "README.md"
    if path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
        seal = _SEAL.search(text)
        if seal is None or _digest(text[: seal.start()]) != seal[1]:
            raise RunError(
                f"{path}: was changed by hand, or written by another program, and is not overwritten; move it away, "
                "ask again, and bring your words over"
            )
    return path


def write_model_card(run: Run, stores: Stores) -> Path:
    """Write the card of one run; what the run cannot know is a visible blank.

    Returns:
        `RUN/backbone/README.md`.

    Raises:
        RunError: See `card_path`; or it cannot be written.
    """
    path, text = card_path(run), _render(run, stores)
    try:
        replace_text(path, f"{text}<!-- vesalius wrote all above; sha256 {_digest(text)} -->\n")
    except OSError as error:
        raise RunError(f"{path}: the card cannot be written ({error.strerror or error}); free space") from error
    return path


def _render(run: Run, stores: Stores) -> str:
    sheets = [sheet for sheet in data_sheets([run], stores) if f"pretraining of {run.name}" in sheet.roles]
    recipe = _recipe(run)
    facts = run_facts(run)
    rows = score_rows([run], stores)
    return (
        _environment()
        .get_template("model_card.md.j2")
        .render(
            front=_Code(_front_matter(recipe)),
            name=run.name,
            sentences=summarise([run]),
            facts=facts,
            sheets=sheets,
            rows=rows,
            baselines=_baselines(rows),
            limits=limits([run], stores),
            recipe=_Code(recipe_without_folders(run.recipe).replace("```", "'''")),
            commands=_Code("\n".join(commands([run], stores)).replace("```", "'''")),
            versions=sorted((run.about.get("versions") or {}).items()),
            machine=[(name, run.about[name]) for name in ("device", "precision") if run.about.get(name)],
            own_name=run.architecture.startswith("vitae_v2"),
            size=run.input_size,
            version=__version__,
        )
    )


def _front_matter(recipe: dict[str, Any]) -> str:
    """YAML that the Hugging Face hub reads; the licence and the hub's ids of data sets are the authors' to name."""
    method = str((recipe.get("method") or {}).get("name") or "")
    tags = [
        "timm",
        "safetensors",
        "self-supervised-learning",
        "medical-imaging",
        "vesalius",
        *([method] if method else []),
    ]
    content: dict[str, Any] = {"library_name": "timm", "pipeline_tag": "image-feature-extraction", "tags": tags}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _recipe(run: Run) -> dict[str, Any]:
    try:
        content = yaml.safe_load(run.recipe)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _baselines(rows: Sequence[ScoreRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.baselines))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _plain(value: Any) -> Any:
    """Keep a name from being read as Markdown or HTML, and a table's cell in its line."""
    if isinstance(value, _Code) or not isinstance(value, str):
        return value
    text = " ".join(value.replace("&", "&amp;").replace("<", "&lt;").split())
    return re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vesalius.report", "templates"),
        autoescape=False,  # noqa: S701 - Markdown: `_plain` escapes what stands outside of fences
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_plain,
    )
