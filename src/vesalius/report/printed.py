"""The page as a PDF, by WeasyPrint: nothing is fetched, everything folded is open."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from PIL import ImageFile

from vesalius.atomic import replacing
from vesalius.errors import ConfigError, RunError

__all__ = ["load_printer", "write_pdf"]

_INSTALL = (
    "pip install 'vesalius[pdf]', and Pango on the system (Debian, Ubuntu: apt install libpango-1.0-0 "
    "libpangoft2-1.0-0); or print the HTML page from a browser"
)


def load_printer() -> ModuleType:
    """Import WeasyPrint.

    Raises:
        ConfigError: WeasyPrint or Pango is not installed.
    """
    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        import weasyprint
    except ImportError as error:
        raise ConfigError(f"a PDF needs a package that is not installed ({error.name}): {_INSTALL}") from error
    except OSError as error:  # it opens Pango's libraries when it is imported
        raise ConfigError(
            f"WeasyPrint is installed but not the libraries it draws with ({error}): {_INSTALL}"
        ) from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = truncated  # it lets Pillow read images that are cut short, in all the process
    return cast(ModuleType, weasyprint)


def write_pdf(text: str, target: Path) -> None:
    """Write a page as a tagged PDF, with its title, language and a bookmark a heading.

    Args:
        text: The whole HTML page; pictures are `data:` addresses.
        target: The PDF, written whole or not at all.

    Raises:
        ConfigError: See `load_printer`.
        RunError: The PDF cannot be written.
    """
    weasyprint = load_printer()
    from weasyprint.urls import URLFetcher

    page = weasyprint.HTML(string=text, base_url=None, url_fetcher=URLFetcher(allowed_protocols=("data",)))
    try:
        with replacing(target) as partial, _quiet():
            page.write_pdf(partial, pdf_tags=True, optimize_images=False)
    except OSError as error:
        raise RunError(
            f"{target}: the PDF cannot be written ({error.strerror or error}); free space, or name another --out"
        ) from error


class _quiet:  # noqa: N801 - used as `with _quiet():`
    """Keep to ourselves what WeasyPrint does not know of the style for screens."""

    def __enter__(self) -> None:
        self._level = logging.getLogger("weasyprint").level
        logging.getLogger("weasyprint").setLevel(logging.CRITICAL)

    def __exit__(self, *_: Any) -> None:
        logging.getLogger("weasyprint").setLevel(self._level)
