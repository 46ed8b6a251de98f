"""One image, labelled or not: what the deformable template carries to all others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.data.masks import LABEL_MAP
from vesalius.data.prepare_worker import DecodeOptions, decode_chunk
from vesalius.data.read import read_image
from vesalius.errors import KnowledgeError, UnreadableImageError
from vesalius.records.sample import Sample

__all__ = ["Exemplar", "read_exemplar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """An image and its parts, in the geometry of the store that is guided.

    Attributes:
        name: The file's name, for reports.
        image: `[1, 1, size, size]`, in [0, 1].
        parts: `[1, parts, size, size]`, 0 or 1; none of an image without a mask.
        names: The parts, in the order of the channels.
        sha256: Of image and masks together.
        image_sha256: Of the image's file, as a store's manifest has it.
    """

    name: str
    image: Float[Tensor, "1 1 size size"]
    parts: Float[Tensor, "1 parts size size"]
    names: tuple[str, ...]
    sha256: str
    image_sha256: str

    def description(self) -> dict[str, str]:
        """Tell what identifies it."""
        return {"name": self.name, "sha256": self.sha256, "image_sha256": self.image_sha256}


def read_exemplar(
    image: Path, mask: Path | Mapping[str, Path] | None, *, values: Mapping[str, int], options: DecodeOptions
) -> Exemplar:
    """Read an exemplar as the store's images were read.

    Args:
        image: Any file that `prepare` reads.
        mask: A label map, or part name to a file that is non-zero inside of it; None for places without parts.
        values: Part name to its value in the label map; not needed with one file a part.
        options: The store's own; channels, parts and mask values are settled here.

    Raises:
        KnowledgeError: An unreadable file, a mask of another shape or of another image, values that nobody named, or a
            part that is empty.
    """
    files = {LABEL_MAP: mask} if isinstance(mask, Path) else dict(mask or {})
    names = tuple(values) if isinstance(mask, Path) else tuple(files)
    if mask is not None and not names:
        raise KnowledgeError(f"{mask}: name its parts, for example --parts left_lung=1,right_lung=2,heart=3")
    for path in files.values():
        _check_of_same_image(image, path)
    if isinstance(mask, Path):
        _check_values(mask, values)
    settled = DecodeOptions(
        size=options.size,
        bits=8,
        fit=options.fit,
        channels=1,
        window=options.window,
        frames="middle",
        parts=("background", *names) if names else (),
        mask_values={value: name for name, value in values.items()},
    )
    decoded = decode_chunk(0, [Sample(path=image, source=image.name, patient="exemplar", masks=files)], settled)
    if decoded.refused:
        why = decoded.refused[0]
        raise KnowledgeError(f"{image}: {why['reason']}. {why['advice']}")
    pixels = torch.from_numpy(decoded.images).float()[:, None] / 255
    parts = pixels.new_zeros(1, len(names), *pixels.shape[2:])
    if names:
        labels = torch.from_numpy(decoded.masks[0].astype(np.int64))
        parts = torch.stack([labels == place for place in range(1, len(names) + 1)])[None].float()
    for part, channel in zip(names, parts[0], strict=True):
        if not bool(channel.any()):
            raise KnowledgeError(f"{files.get(part, mask)}: holds nothing of '{part}'; an exemplar needs every part")
    digest = hashlib.sha256()
    for path in (image, *(files[name] for name in sorted(files))):
        digest.update(path.read_bytes())
    return Exemplar(
        name=image.name,
        image=pixels,
        parts=parts,
        names=names,
        sha256=digest.hexdigest(),
        image_sha256=hashlib.sha256(image.read_bytes()).hexdigest(),
    )


def _check_of_same_image(image: Path, mask: Path) -> None:
    """Refuse a mask whose name tells another image than the exemplar's."""
    if mask.is_file() and image.stem.lower() not in mask.stem.lower() and _looks_like_sibling(image.stem, mask.stem):
        raise KnowledgeError(
            f"{mask}: by its name the mask of another image than {image.name}; name the mask that belongs to it, or "
            "rename the file if it does"
        )


def _looks_like_sibling(one: str, other: str) -> bool:
    """Say whether two names follow one pattern but for their numbers (`JPCNN001` and `JPCNN002`)."""

    def pattern(name: str) -> str:
        return "".join("0" if letter.isdigit() else letter for letter in name.lower())

    return any(letter.isdigit() for letter in one) and pattern(other).startswith(pattern(one))


def _check_values(mask: Path, values: Mapping[str, int]) -> None:
    try:
        there = {
            int(value) for value in np.unique(read_image(mask, window="range", allow_constant=True, codes=True).pixels)
        }
    except UnreadableImageError as error:
        raise KnowledgeError(str(error)) from error
    unnamed = sorted(there - {0} - set(values.values()))
    if unnamed:
        shown = ", ".join(str(value) for value in unnamed[:8]) + (", ..." if len(unnamed) > 8 else "")
        raise KnowledgeError(
            f"{mask}: holds the values {shown}, which no part is named for; name them all by --parts, for example "
            f"--parts {','.join(f'part_{value}={value}' for value in unnamed[:3])}"
        )
