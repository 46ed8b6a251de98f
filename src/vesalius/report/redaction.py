"""Words that other parts wrote, without the names of files that they may quote."""

from __future__ import annotations

import re
import shlex
from typing import Any

import yaml

__all__ = ["command_without_folders", "recipe_without_folders", "without_folders", "without_names"]

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


_PATH_KEYS = frozenset({"weights", "knn_store"})
_KEYS = re.compile(r"^(?:-{0,2}[\w.-]+=)*")
_SEPARATORS = re.compile(r"[/\\]+")
_ROOTED = re.compile(r"^(?:~|\.{1,2}|[A-Za-z]:)?[/\\]")
_INSIDE = re.compile(r"(?<![\w./\\:])(?:~|\.{1,2}|[A-Za-z]:)?[/\\][^\s'\"<>]*[/\\]([^\s'\"<>/\\]+)")


def without_folders(text: str) -> str:
    """Return a text with every rooted path cut to its last component: what leads there may bear a person's name.

    Example:
        >>> without_folders("chosen for /home/jane/scans/store")
        'chosen for store'
    """
    return _INSIDE.sub(r"\1", text)


def command_without_folders(command: str, *, recipe: str = "") -> str:
    """Return a command line with every path cut to its last component; a recipe's name (`dino/small`) stays.

    Example:
        >>> command_without_folders("vesalius pretrain dino/small --data /jane/store@all", recipe="dino/small")
        'vesalius pretrain dino/small --data store@all'
    """
    try:
        words = shlex.split(command)
    except ValueError:  # an open quote: no command line, but it may hold a path all the same
        return without_folders(command)
    shown = []
    for word in words:
        keys = _KEYS.match(word)
        start = keys.end() if keys else 0
        kept = word[start:] == recipe and not _ROOTED.match(recipe)
        shown.append(word if kept else word[:start] + _last(word[start:]))
    return shlex.join(shown)


def recipe_without_folders(text: str) -> str:
    """Return a recipe's YAML with every path cut to its last component."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return without_folders(text)
    if not isinstance(content, dict):
        return without_folders(text)
    return yaml.safe_dump(_walk(content), sort_keys=False, allow_unicode=True, width=100)


def _walk(content: Any, key: str = "") -> Any:
    if isinstance(content, dict):
        return {name: _walk(value, str(name)) for name, value in content.items()}
    if isinstance(content, list):
        return [_walk(value, key) for value in content]
    if isinstance(content, str):
        return _last(content) if key in _PATH_KEYS or _ROOTED.match(content) else without_folders(content)
    return content


def _last(path: str) -> str:
    return _SEPARATORS.split(path.rstrip("/\\"))[-1]
