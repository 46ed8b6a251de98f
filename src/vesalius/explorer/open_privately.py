"""Opening an address in the browser without its secret standing in a command line, which others may read."""

from __future__ import annotations

import atexit
import os
import tempfile
import webbrowser
from html import escape
from pathlib import Path

__all__ = ["open_privately"]


def open_privately(address: str) -> Path:
    """Open a file of this user's alone that leads to the address; it is removed when the program ends.

    Returns:
        The file.
    """
    number, name = tempfile.mkstemp(prefix="vesalius-", suffix=".html")  # mode 0600
    path = Path(name)
    link = escape(address, quote=True)
    words = f'<meta http-equiv="refresh" content="0; url={link}"><a href="{link}">Open the explorer</a>'
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(f"<!doctype html><title>vesalius explore</title>{words}\n")
    atexit.register(path.unlink, missing_ok=True)
    webbrowser.open(path.as_uri())
    return path
