"""Every command of README and how-tos parses, and names recipes, studies and keys that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from vesalius.cli import app
from vesalius.study.definition import available_studies, load_study
from vesalius.training.recipe import available_recipes, load_recipe

HERE = Path(__file__).parents[1]
PAGES = [
    HERE / "README.md",
    *(page for page in sorted((HERE / "docs").glob("*.md")) if page.stem not in ("LOG", "CHANGELOG")),
]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _commands(page: Path) -> list[list[str]]:
    """Return the words after `vesalius` of every command in the page's shell blocks."""
    found = []
    for block in _blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(re.sub(r'^\w+="(.*)"$', r"\1", line.strip()), comments=True)
            if words[:1] == ["vesalius"]:
                found.append(words[1:])
    return found


COMMANDS = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words)[:70]}") for page in PAGES for words in _commands(page)
]


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_parse(words: list[str]) -> None:
    verb, *given = words
    command = typer.main.get_command(app).commands[verb]
    parsed = command.make_context(verb, list(given)).params
    if verb == "pretrain" and parsed["recipe"] in available_recipes():
        load_recipe(parsed["recipe"], overrides=parsed["overrides"])
    if verb == "study" and not parsed["name"].endswith(".yaml"):
        study = load_study(parsed["name"])
        study.some(tuple(arm for arm in parsed["arms"].split(",") if arm))


def test_there_are_commands_to_parse() -> None:
    assert len(COMMANDS) > 60
    assert {param.values[0][0] for param in COMMANDS} >= {
        "doctor",
        "prepare",
        "pretrain",
        "evaluate",
        "study",
        "explain",
    }
    assert "methods" in available_studies()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_studies_that_are_shown_load(page: Path, tmp_path: Path) -> None:
    for block in _blocks(page, "yaml"):
        if block.startswith("about:") and "\ntables:" in block:
            (tmp_path / "study.yaml").write_text(block)
            assert load_study(tmp_path / "study.yaml").arms
