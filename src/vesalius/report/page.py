"""One self-contained page from the folders of one or several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vesalius.atomic import replace_text
from vesalius.errors import ConfigError, RunError
from vesalius.report.cases import case_galleries
from vesalius.report.checklist import checklists
from vesalius.report.commands import commands
from vesalius.report.data_sheet import data_sheets
from vesalius.report.gallery import pictures, retrieval
from vesalius.report.limits import limits
from vesalius.report.model_card import card_path, write_model_card
from vesalius.report.overlap import overlap_rows
from vesalius.report.printed import load_printer, write_pdf
from vesalius.report.redaction import recipe_without_folders, without_folders
from vesalius.report.run_folder import Run, read_runs
from vesalius.report.scores import label_blocks
from vesalius.report.stores import Stores, find_stores
from vesalius.report.summary import summarise
from vesalius.report.training import curve_numbers, curves, legend, logged_note, run_facts
from vesalius.report.wording import learns_on, plain_name, plain_value, spelled, task_title
from vesalius.version import __version__

__all__ = ["report"]

_SHOWN = frozenset(
    {"changed", "comparisons", "by_k", "calibration", "fits", "seen_in_pretraining"}
)  # settings whose content stands in the scores already, or is too long

_MACHINE = ("device", "precision")


def report(
    runs: Sequence[Path], out: Path, *, data: Sequence[Path] = (), pdf: bool = False, model_card: bool = False
) -> Path:
    """Write one HTML page that needs no network: scores, training, pictures, data, limits, commands.

    Args:
        runs: Run folders, compared side by side.
        out: The page; a folder gets `report.html` in it. An older page is replaced only when the new one is complete.
        data: Store folders, where they are not beside the run any more; needed for neighbours and data sheets only.
        pdf: Also write it as a PDF of the same name beside it, see `vesalius.report.printed`.
        model_card: Also write the card of every run into its backbone's folder, see `vesalius.report.model_card`.

    Returns:
        The path of the page.

    Raises:
        ConfigError: A PDF is asked for and what draws it is not installed, or `out` is itself named as a PDF.
        RunError: A folder is no run, the page cannot be written, or a card would overwrite another's words.
        StoreError: A folder in `data` is no store.
    """
    target = Path(out) / "report.html" if Path(out).is_dir() else Path(out)
    if target.suffix.lower() == ".pdf":
        raise ConfigError(f"{target}: the page is HTML; name it {target.stem}.html, the PDF is written beside it")
    if pdf:
        load_printer()  # told before the page is made
    read = read_runs(runs)
    for run in read if model_card else ():
        card_path(run)  # a card that cannot be written is told before the page is made
    stores = find_stores(read, data)
    text = _render(read, stores)
    _write(target, text)
    if pdf:
        write_pdf(text, target.with_suffix(".pdf"))
    for run in read if model_card else ():
        write_model_card(run, stores)
    return target


def _render(runs: Sequence[Run], stores: Stores) -> str:
    sheets = data_sheets(runs, stores)
    cases = [gallery for run in runs for gallery in case_galleries(run)]
    found = [retrieval(run, each, stores) for run in runs for each in run.evaluations]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=_title(runs),
            made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
            version=__version__,
            several=len(runs) > 1,
            sentences=summarise(runs),
            facts=[run_facts(run) for run in runs],
            blocks=label_blocks(runs),
            finetuned=any(learns_on(each.result) for run in runs for each in run.evaluations),
            curves=curves(runs),
            folded_curves=curves(runs, folded=True),
            curve_numbers=curve_numbers(runs),
            legend=legend(runs),
            logged_note=logged_note(runs),
            galleries=[(run.name, pictures(run)) for run in runs],
            cases=cases,
            retrievals=[each for each in found if each],
            sheets=sheets,
            overlaps=overlap_rows(runs, stores),
            recipes=[(run.name, recipe_without_folders(run.recipe)) for run in runs],
            versions=_environment_of(runs),
            settings=_settings(runs),
            limits=limits(runs, stores),
            checklists=checklists(runs, stores, sheets, cases),
            commands=commands(runs, stores),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vesalius.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return f"What {spelled(len(runs))} pretrained networks learned"
    return f"What the pretrained network learned: {runs[0].name}"


def _environment_of(runs: Sequence[Run]) -> list[list[str]]:
    """Device, precision and each piece of software, then what every run recorded of it."""
    tables: list[Mapping[str, Any]] = [run.about.get("versions") or {} for run in runs]
    names = sorted({str(name) for table in tables for name in table})
    if not names:
        return []
    machine = [[name.capitalize(), *(str(run.about.get(name, "not recorded")) for run in runs)] for name in _MACHINE]
    return machine + [[name, *(str(table.get(name, "not recorded")) for table in tables)] for name in names]


def _settings(runs: Sequence[Run]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """What shaped each score: run, task and label, then name and value."""
    return [
        (
            run.name,
            f"{task_title(each.result)}, {plain_name(each.result.label)}",
            [
                (plain_name(key), without_folders(plain_value(value)))
                for key, value in each.result.settings.items()
                if key not in _SHOWN
            ],
        )
        for run in runs
        for each in run.evaluations
        if each.result.settings
    ]


def _write(target: Path, text: str) -> None:
    """Write the page whole or not at all."""
    try:
        replace_text(target, text)
    except OSError as error:
        raise RunError(
            f"{target}: the page cannot be written ({error.strerror or error}); free space, or name another --out"
        ) from error
