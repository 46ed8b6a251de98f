"""Words that other parts wrote, without the names of files that they may quote."""

from __future__ import annotations

import re

__all__ = ["without_names"]

_EXAMPLES = re.compile(r"\s*\((?:first|for example)\b.*\)|,? for example [^;]*")
_NAMED_FIRST = re.compile(r"^.*?\.\w{2,5}: ")  # `JOHN DOE.png: not named as expected`
_ABSOLUTE = re.compile(r"(?:(?<=\s)|^)(?:/|[A-Za-z]:[\\/]).*$")
_RELATIVE = re.compile(r"\S*[\\/]\S+")
_FILE = re.compile(r"\S+\.(?:png|jpe?g|tiff?|bmp|gif|dcm|dicom|nii|gz|img|h5|hdf5|npz|npy|txt|xml)\b", re.IGNORECASE)


def without_names(text: str) -> str:
    """Return a sentence with examples cut out and file names replaced; it keeps its counts and its sense.

    Example:
        >>> without_names("3 images have no row in labels.csv (first: DOE_JOHN.png)")
        '3 images have no row in labels.csv'
    """
    text = _EXAMPLES.sub("", text)
    text = _ABSOLUTE.sub("(a path, left out)", text)
    text = _NAMED_FIRST.sub("a file: ", text)
    return _FILE.sub("a file", _RELATIVE.sub("a file", text))
