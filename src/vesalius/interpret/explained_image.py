"""Images that are explained: read one by one, with what a store knows of their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.data.prepare_job import READER_DEFAULTS
from vesalius.data.prepare_worker import DecodeOptions
from vesalius.data.source_image import SourceImage, read_source
from vesalius.data.store import Store
from vesalius.errors import KnowledgeError
from vesalius.interpret.part_maps import PartMaps, find_row, of_maps, of_masks

__all__ = ["ExplainedImage", "ImageReader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedImage:
    """An image and what is known of its parts.

    Attributes:
        source: The image.
        maps: Knowledge maps of it, in the order they were named.
        masks: Of a labelled store, or None.
    """

    source: SourceImage
    maps: tuple[PartMaps, ...] = ()
    masks: PartMaps | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are known, in the order of their colours."""
        return tuple(dict.fromkeys(name for one in self.known for name in one.names))

    @property
    def known(self) -> tuple[PartMaps, ...]:
        """The maps and, after them, the masks."""
        return self.maps if self.masks is None else (*self.maps, self.masks)

    @property
    def reference(self) -> PartMaps | None:
        """Where the parts are, as far as is known: by the masks, else by the first maps."""
        return self.masks if self.masks is not None else next(iter(self.maps), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReader:
    """How the files are read, and where more is known of them.

    Attributes:
        options: Geometry, window, bits and channels.
        reader: `axis`, `volume` and `key`.
        frame: Frame or slice of every file; by default the middle one.
        store: Where the images may be known, or None.
        maps: Knowledge maps of this store.
        required: Whether an image without maps is an error.
    """

    options: DecodeOptions
    reader: Mapping[str, Any] = field(default_factory=lambda: dict(READER_DEFAULTS))
    frame: int | None = None
    store: Store | None = None
    maps: Sequence[KnowledgeMaps] = ()
    required: bool = False

    def read(self, path: Path) -> ExplainedImage:
        """Read one file.

        Raises:
            UnreadableImageError: What is wrong with the file, named.
            KnowledgeError: Maps are required, and the file is not in the store.
        """
        source = read_source(path, self.options, reader=self.reader, frame=self.frame)
        row = None if self.store is None else find_row(self.store, source)
        if self.store is None or row is None:
            if self.required and self.store is not None:
                raise KnowledgeError(
                    f"{path}: no image of {self.store.path} was made from this file (frame {source.frame}), so its "
                    "maps tell nothing of it; leave out --maps, or prepare and guide it"
                )
            return ExplainedImage(source=source)
        maps = tuple(of_maps(one, row) for one in self.maps)
        order = maps[0].names if maps else ()
        return ExplainedImage(source=source, maps=maps, masks=of_masks(self.store, row, order=order))
