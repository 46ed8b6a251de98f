"""From the words of `vesalius guide` to a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from vesalius.data.knowledge_maps import read_atlas
from vesalius.data.source_image import decode_options
from vesalius.data.store import Store
from vesalius.errors import ConfigError, KnowledgeError, nearest
from vesalius.guidance.atlas import AtlasTemplate, atlas_of_store
from vesalius.guidance.deformable import DeformableTemplate
from vesalius.guidance.exemplar import read_exemplar
from vesalius.guidance.spatial_heuristic import TriangularTemplate
from vesalius.guidance.superpixels import SuperpixelTemplate
from vesalius.guidance.templates import Template
from vesalius.registration.batched import BatchedRegistration
from vesalius.registration.elastix import ElastixRegistration
from vesalius.registration.interface import Registration

__all__ = ["BY_PREDICTION", "check_template", "choose_template", "default_side"]

BY_PREDICTION = ("average", "predicted")
"""Templates that a trained segmenter makes; see `vesalius.guidance.choose_segmenter`."""

_TEMPLATES = ("triangular", "deformable", "atlas", "slic", *BY_PREDICTION)
_BACKENDS = ("batched", "elastix")


def choose_template(
    name: str,
    store: Store,
    *,
    exemplars: Sequence[Path],
    masks: Sequence[Path],
    parts: Mapping[str, int],
    atlas: Path | None,
    backend: str,
    combine: str,
    map_size: int,
    segments: int | None = None,
) -> Template:
    """Build the template of this name, but for those `BY_PREDICTION`, for the geometry of a store.

    Raises:
        ConfigError: Unknown template, backend or combination, or a backend that is not installed.
        KnowledgeError: Exemplars or masks that cannot be used.
    """
    check_template(name, store, map_size=map_size)
    if name == "triangular":
        return TriangularTemplate(map_size=map_size)
    if name == "slic":
        return SuperpixelTemplate(map_size=map_size, **({} if segments is None else {"segments": segments}))
    labelled: Sequence[Path | None] = masks
    if not masks and name == "deformable" and not parts:
        labelled = [None] * len(exemplars)  # places in the exemplar, without any label
    if len(exemplars) != len(labelled):
        raise KnowledgeError(f"{len(exemplars)} exemplars but {len(masks)} masks; give each --exemplar its --mask")
    options = decode_options(store)
    read = [
        read_exemplar(image, mask, values=parts, options=options)
        for image, mask in zip(exemplars, labelled, strict=True)
    ]
    if name == "atlas":
        image = atlas_of_store(store) if atlas is None else read_atlas(atlas)
        return AtlasTemplate(image, _registration(backend), read, map_size=map_size)
    if combine not in ("best", "vote"):
        raise ConfigError(f"combine must be best or vote, got '{combine}'")
    how = cast(Literal["best", "vote"], combine)
    return DeformableTemplate(read, _registration(backend), combine=how, map_size=map_size)


def default_side(name: str, store: Store) -> int:
    """Return the side of a template's maps: 64 pixels, and of superpixels, whose borders matter, up to 224."""
    return min(224, store.size) if name == "slic" else 64


def check_template(name: str, store: Store, *, map_size: int) -> None:
    """Refuse a template that does not exist, or maps of another size than a store's images can have.

    Raises:
        ConfigError: Naming what would do.
    """
    if name not in _TEMPLATES:
        raise ConfigError(f"no template '{name}'; use {' or '.join(_TEMPLATES)}{nearest(name, _TEMPLATES)}")
    if not 8 <= map_size <= store.size:
        raise ConfigError(f"map_size = {map_size}: expected 8 to the store's {store.size}")


def _registration(backend: str) -> Registration:
    if backend not in _BACKENDS:
        raise ConfigError(f"no backend '{backend}'; use {' or '.join(_BACKENDS)}{nearest(backend, _BACKENDS)}")
    return BatchedRegistration() if backend == "batched" else ElastixRegistration()
