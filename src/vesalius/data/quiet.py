"""Keep a decoder's remarks off the screen while it works; what changes the picture is told in the image's notes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet"]


@contextmanager
def quiet(package: str) -> Iterator[None]:
    """Silence the warnings and the log of one package inside the block.

    Decoders report damage twice, by an exception and by a log full of traces and header values (patients' among
    them); the exception is enough. Warnings of every other origin stay as they are.

    Args:
        package: Import name, such as `pydicom`.
    """
    logger = logging.getLogger(package)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=rf"{package}(\..*)?$")
            yield
    finally:
        logger.setLevel(level)
