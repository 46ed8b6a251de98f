"""The page as a PDF, read back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vesalius.cli import main
from vesalius.errors import ConfigError, RunError
from vesalius.report.page import report
from vesalius.report.printed import load_printer, write_pdf

RunBuilder = Callable[..., Path]
pypdf = pytest.importorskip("pypdf", reason="needs pypdf")
pytest.importorskip("weasyprint", reason="needs WeasyPrint", exc_type=(ImportError, OSError))


@pytest.fixture(scope="module")
def printed(build_run: RunBuilder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("printed")
    page = report([build_run(folder / "vit")], folder / "report.html", pdf=True)
    assert page == folder / "report.html"
    return pypdf.PdfReader(folder / "report.pdf")


def _text(reader: Any) -> str:
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


def test_pdf_has_title_language_and_bookmarks(printed: Any) -> None:
    assert printed.metadata.title == "What the pretrained network learned: vit"
    root = printed.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    (top, below) = printed.outline
    assert top.title == "What the pretrained network learned: vit"
    titles = [each.title for each in below if not isinstance(each, list)]
    assert titles[:2] == ["Scores", "Training"]
    assert "What this does not show" in titles
    lists = below[below.index(next(each for each in below if getattr(each, "title", "") == "Reporting checklist")) + 1]
    assert [each.title.partition(",")[0] for each in lists] == ["CLAIM", "TRIPOD+AI"]


def test_everything_folded_is_open_and_pages_are_numbered(printed: Any) -> None:
    text = _text(printed)
    for words in (
        "Do its probabilities mean what they say?",  # in <details>
        "expected calibration error",
        "The curves in figures",
        "Labels by split",
        "name: dino",  # the recipe
        "k: 20",  # a setting
    ):
        assert words in text
    number = len(printed.pages)
    assert number > 4
    assert f"1 / {number}" in printed.pages[0].extract_text()
    assert f"{number} / {number}" in printed.pages[-1].extract_text()


def test_pictures_are_in_it_and_nothing_lies_beside_the_paper(printed: Any) -> None:
    assert sum(len(page.images) for page in printed.pages) > 10
    for page in printed.pages:
        width, beside = float(page.mediabox.width), []

        def look(text: str, user: list[float], place: list[float], *_: Any, to: list[str] = beside) -> None:
            x = user[0] * place[4] + user[4]
            if text.strip() and not 20 < x < width - 20:  # noqa: B023 - called before the next page
                to.append(text)

        page.extract_text(visitor_text=look)
        assert not beside


def test_command_line_says_where_the_pdf_is(
    build_run: RunBuilder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(tmp_path / "vit", figures={"effusion": {"pretrained": 0.91, "random_init": 0.78}})
    monkeypatch.setattr(sys, "argv", ["vesalius", "report", str(run), "--out", str(tmp_path / "page.html"), "--pdf"])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    assert "page.pdf" in capsys.readouterr().out
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """A picture and a style in files would be seen, if the page could fetch them."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    (tmp_path / "hides.css").write_text("p { display: none }")
    page = (
        f"<html lang=en><head><title>t</title><link rel=stylesheet href='{(tmp_path / 'hides.css').as_uri()}'></head>"
        f"<body><p>words</p><img alt='' src='{(tmp_path / 'secret.png').as_uri()}'></body></html>"
    )
    write_pdf(page, tmp_path / "t.pdf")
    reader = pypdf.PdfReader(tmp_path / "t.pdf")
    assert "words" in _text(reader)
    assert not reader.pages[0].images


def test_missing_parts_are_named_before_anything_is_written(
    build_run: RunBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(tmp_path / "vit")
    with pytest.raises(ConfigError, match=r"name it report\.html"):
        report([run], tmp_path / "report.pdf", pdf=True)
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ConfigError, match=r"vesalius\[pdf\].*libpango-1\.0-0 libpangoft2-1\.0-0"):
        report([run], tmp_path / "report.html", pdf=True)
    assert not list(tmp_path.glob("report.*"))


def test_without_pango_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of this name that cannot load its libraries, as WeasyPrint's own import fails without Pango."""
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')\n")
    monkeypatch.delitem(sys.modules, "weasyprint")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot load library libpango.*apt install libpango"):
        load_printer()


def test_pdf_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="the PDF cannot be written"):
        write_pdf("<p>words</p>", tmp_path / "file" / "t.pdf")


def test_printing_lets_no_truncated_image_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """WeasyPrint sets a switch of Pillow for all the process as it is imported, by which what is cut short is read."""
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    for name in [one for one in sys.modules if one.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    load_printer()
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
