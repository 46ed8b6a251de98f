"""What every data set adapter offers."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from vesalius.data.adapters.listing import child_folders, list_images, source_of
from vesalius.data.adapters.options import converted
from vesalius.data.labels import LabelSpec
from vesalius.errors import DatasetError, nearest
from vesalius.records.sample import Sample

__all__ = ["Adapter"]


class Adapter(ABC):
    """Turns a data set as published into `Sample`s; pixels are not touched.

    `labels`, `warnings`, `notes` and `ignored` are complete once `samples` has returned: an adapter that reads its
    labels from a table, or that meets something worth saying, adds to them. An adapter object serves one folder.

    Attributes:
        name: Word for `--dataset`.
        title: The set's own name.
        layout: The folders it expects, one line.
        citation: Whom to cite.
        licence: Terms of use, in short.
        labels: Label name to its meaning.
        parts: Value to part name, for sets whose masks are label maps (`Sample.masks == {"@labelmap": path}`).
        on_top: Parts that lie over all others where masks overlap, the last one uppermost; of the rest the later in the
            alphabet does.
        warnings: What a user must know before trusting a score.
        notes: What was guessed or left out on purpose.
        ignored: Files passed over (hidden files, tables, archives), relative to the root, with forward slashes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    layout: ClassVar[str]
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    labels: dict[str, LabelSpec]
    parts: dict[int, str]
    on_top: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    ignored: tuple[str, ...]

    def __init__(self) -> None:
        self.labels = dict(self.known_labels())
        self.parts = {}
        self.on_top = ()
        self.warnings = ()
        self.notes = ()
        self.ignored = ()

    @classmethod
    def known_labels(cls) -> dict[str, LabelSpec]:
        """Labels the set is known to have, before any file is read."""
        return {}

    @classmethod
    @abstractmethod
    def matches(cls, folder: Path) -> bool:
        """Whether this very folder has the layout; cheap, reads names and at most the head of one table."""

    @abstractmethod
    def collect(self, root: Path, *args: Any, **options: Any) -> Sequence[Sample]:
        """What `samples` returns; each adapter names and documents its own keyword-only options here."""

    def samples(self, root: Path, **options: Any) -> Sequence[Sample]:
        """Return every image the set names, in a stable order; files that a table names and are missing included.

        Args:
            root: The data set's folder, or its parent.
            **options: As documented at the adapter's `collect`.

        Raises:
            DatasetError: If the layout does not fit, an option is unknown or of the wrong type, or there is no image.
            ManifestError: If a table of the set is malformed.
        """
        known = [name for name in inspect.signature(self.collect).parameters if name != "root"]
        for name in options:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise DatasetError(f"'{self.name}' has no option '{name}'{nearest(name, known)}; it has: {listed}")
        hints = get_type_hints(self.collect)
        found = self.collect(root, **{name: converted(name, value, hints[name]) for name, value in options.items()})
        if not found:
            told = "".join(f". {text}" for text in self.warnings)
            raise DatasetError(f"{root}: no image of {self.title} in it; expected {self.layout}{told}")
        return found

    def recognise(self, root: Path) -> bool:
        """Whether `root`, or the only folder in it that fits, has this set's layout."""
        return self.find_base(root) is not None

    def find_base(self, root: Path) -> Path | None:
        """Return the folder that has the layout: `root` itself, else its single child that fits, else None."""
        if self.matches(root):
            return root
        fitting = [
            child for child in child_folders(root) if os.access(child, os.R_OK | os.X_OK) and self.matches(child)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def base(self, root: Path) -> Path:
        """Like `find_base`, but a folder that does not fit is an error.

        Raises:
            DatasetError: Naming the layout that was expected.
        """
        found = self.find_base(root)
        if found is None:
            raise DatasetError(
                f"{root}: not laid out as {self.title} ('{self.name}'): expected {self.layout}. "
                "Give the folder that holds these, or --dataset folder to read any folder of images"
            )
        return found

    def list_images(self, folder: Path, root: Path) -> tuple[Path, ...]:
        """List what may be images below a folder, and tell what was passed over: `ignored` files and linked folders.

        Raises:
            DatasetError: If the folder, or a folder in it, cannot be read.
        """
        listing = list_images(folder)
        passed_over = (source_of(folder / file, root) for file in listing.ignored)
        self.ignored = tuple(dict.fromkeys((*self.ignored, *passed_over)))
        if listing.links:
            first = source_of(folder / listing.links[0], root)
            self.warn(
                f"{len(listing.links)} linked folder(s) not entered (first: {first}); put the files there instead"
            )
        return listing.images

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings = (*self.warnings, text)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes = (*self.notes, text)
