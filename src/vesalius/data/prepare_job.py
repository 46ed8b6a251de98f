"""Deciding what a store will be made of, before anything is decoded: listing, channels, parts, split, plan."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.registry import find_adapter
from vesalius.data.array_writer import ArrayLayout
from vesalius.data.assemble import partly_split, resolve_split
from vesalius.data.fit import placement
from vesalius.data.frames import FRAME_MODES, expand_frames
from vesalius.data.label_csv import join_labels
from vesalius.data.manifest import safe_source
from vesalius.data.masks import LABEL_MAP, canonical_parts
from vesalius.data.prepare_worker import DecodeOptions, is_colourful
from vesalius.data.read import read_image
from vesalius.data.read_nifti import AXES
from vesalius.data.salt import load_salt, salt_id
from vesalius.data.windows import WindowRequest, apply_window, check_request
from vesalius.errors import ConfigError, ManifestError, UnreadableImageError, nearest
from vesalius.records.sample import Sample

__all__ = [
    "READER_DEFAULTS",
    "Job",
    "check_options",
    "check_reader",
    "list_samples",
    "plan_job",
    "wants_colour",
    "with_reader",
]

READER_DEFAULTS: Mapping[str, Any] = {"axis": "axial", "volume": 0, "key": None}
"""What `prepare` tells the readers of NIfTI volumes and array files where nothing else is said."""

_CHUNK = 32
_CHUNK_BYTES = 32_000_000
_PROBED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A listed data set with everything decided that shapes its store; each sample is one image to decode."""

    out: Path
    adapter: Adapter
    samples: tuple[Sample, ...]
    options: DecodeOptions
    split: str
    seed: int
    salt: bytes
    plan: dict[str, Any]
    settings: dict[str, Any]

    @property
    def layouts(self) -> list[ArrayLayout]:
        """The arrays of the store."""
        size, options = self.options.size, self.options
        row = (size, size) if options.channels == 1 else (size, size, 3)
        layouts = [ArrayLayout(name="images", row_shape=row, dtype="uint8" if options.bits == 8 else "uint16")]
        if options.parts:
            layouts.append(ArrayLayout(name="masks", row_shape=(size, size), dtype="uint8", parts=options.parts))
        return layouts

    @property
    def row_bytes(self) -> int:
        """Bytes an image takes in all arrays."""
        return sum(layout.row_bytes for layout in self.layouts)

    @property
    def chunk(self) -> int:
        """Images a chunk; depends on the options only, so that a resumed run cuts the list at the same places."""
        return max(1, min(_CHUNK, _CHUNK_BYTES // self.row_bytes))


def plan_job(
    root: Path,
    out: Path,
    *,
    dataset: str,
    labels_csv: Path | None,
    adapter_options: Mapping[str, Any],
    options: DecodeOptions,
    channels: str | int,
    split: str,
    seed: int,
    salt_file: Path,
    reader: Mapping[str, Any],
) -> Job:
    """List a data set and decide what is still open: its channels, its parts and how it is split.

    Args:
        root: The data set's folder.
        out: Where the store will be.
        dataset: Adapter or `auto`.
        labels_csv: Table of (further) labels.
        adapter_options: For the adapter.
        options: How to decode; `channels`, `frames`, `parts` and `mask_values` are settled here.
        channels: `auto`, 1 or 3.
        split: See `vesalius.data.assemble.SPLIT_MODES`.
        seed: Of drawn splits.
        salt_file: Secret for the pseudonyms; made where it is not there, once the source has proved to be one.
        reader: `axis`, `volume` and `key`, see `vesalius.data.read.read_image`; a sample's own go before them.

    Raises:
        VesaliusError: As `vesalius.data.prepare.prepare`.
    """
    adapter, samples = list_samples(root, dataset, labels_csv=labels_csv, adapter_options=adapter_options)
    resolved = resolve_split(samples, split)
    redrawn = partly_split(samples, split)
    if redrawn is not None:
        adapter.warn(redrawn)
    samples = with_reader(samples, reader)
    samples, frames = expand_frames(samples, options.frames) if adapter.name == "folder" else (samples, "given")
    settled = replace(
        options,
        channels=(3 if wants_colour(samples, options.window) else 1) if channels == "auto" else int(channels),
        frames=frames,
        parts=_parts(adapter, samples),
        mask_values=dict(adapter.parts),
        on_top=adapter.on_top,
    )
    salt = load_salt(salt_file)
    return Job(
        out=out,
        adapter=adapter,
        samples=samples,
        options=settled,
        split=resolved,
        seed=seed,
        salt=salt,
        plan={**_plan(root, adapter, samples, options=settled, salt=salt), **reader},
        settings={"split": resolved, "seed": seed, "labels_sha256": _labels_sha256(samples)},
    )


def check_options(
    *,
    size: int,
    bits: int,
    fit: str,
    channels: str | int,
    window: WindowRequest,
    frames: str,
    axis: str | int,
    volume: int,
) -> None:
    """Refuse options out of range before any work.

    Raises:
        ConfigError: Naming what arrived and what would do.
    """
    if not 8 <= size <= 4096:
        raise ConfigError(f"size must be 8 to 4096 pixels, got {size}")
    if bits not in (8, 16):
        raise ConfigError(f"bits must be 8 or 16, got {bits}")
    if channels not in ("auto", 1, 3, "1", "3"):
        raise ConfigError(f"channels must be auto, 1 or 3, got {channels!r}")
    if frames not in FRAME_MODES:
        raise ConfigError(f"frames must be auto, first, middle or all, got {frames!r}{nearest(frames, FRAME_MODES)}")
    check_reader(axis=axis, volume=volume)
    placement(1, 1, size, fit)
    check_request(window)


def check_reader(*, axis: str | int, volume: int) -> None:
    """Refuse what no volume could satisfy.

    Raises:
        ConfigError: Naming what arrived and what would do.
    """
    if axis not in AXES and str(axis) not in ("0", "1", "2"):
        raise ConfigError(f"axis must be {', '.join(AXES)}, 0, 1 or 2, got {axis!r}{nearest(str(axis), AXES)}")
    if volume < 0:
        raise ConfigError(f"volume must be 0 or more, got {volume}")


def with_reader(samples: Sequence[Sample], reader: Mapping[str, Any]) -> tuple[Sample, ...]:
    """Return the samples with these options of the readers, where they are not the defaults; their own go before."""
    changed = {name: value for name, value in reader.items() if value != READER_DEFAULTS[name]}
    return tuple(replace(sample, reader={**changed, **sample.reader}) for sample in samples) if changed else (*samples,)


def list_samples(
    root: Path, dataset: str, *, labels_csv: Path | None = None, adapter_options: Mapping[str, Any] | None = None
) -> tuple[Adapter, tuple[Sample, ...]]:
    """Return the adapter of a folder and its samples, sorted, with safe paths and unique names.

    Raises:
        DatasetError: For a folder that has not the layout.
        ManifestError: For a table that does not fit, a path that leads out, or an image named twice.
    """
    adapter = find_adapter(dataset, root)
    own_table = {"labels_csv": labels_csv} if labels_csv is not None and adapter.name == "folder" else {}
    found = adapter.samples(root, **own_table, **(adapter_options or {}))
    samples = sorted(
        (replace(sample, source=safe_source(sample.source)) for sample in found), key=lambda s: (s.source, s.frame)
    )
    if labels_csv is not None and not own_table:
        samples, further = join_labels(samples, labels_csv, known=adapter.labels)
        adapter.labels = {**adapter.labels, **further}
    for one, other in itertools.pairwise(samples):
        if (one.source, one.frame) == (other.source, other.frame):
            raise ManifestError(f"{root}: {one.source} (frame {one.frame}) is named twice; keep one")
    return adapter, tuple(samples)


def wants_colour(samples: Sequence[Sample], window: WindowRequest) -> bool:
    """Whether any of up to 64 images, spread evenly over the set, is truly coloured."""
    step = max(1, len(samples) // _PROBED)
    for sample in samples[::step][:_PROBED]:
        try:
            decoded = read_image(sample.path, frame=sample.frame, window=window, **sample.reader)
        except UnreadableImageError:
            continue
        if decoded.pixels.ndim == 3 and is_colourful(apply_window(decoded.pixels, decoded.window), full_scale=255):
            return True
    return False


def _parts(adapter: Adapter, samples: Sequence[Sample]) -> tuple[str, ...]:
    names = {name for sample in samples for name in sample.masks}
    if LABEL_MAP in names:
        names = (names - {LABEL_MAP}) | set(adapter.parts.values())
    names |= {name for sample in samples for name, _ in sample.outlines}
    return canonical_parts(sorted(names)) if names else ()


def _plan(
    root: Path, adapter: Adapter, samples: Sequence[Sample], *, options: DecodeOptions, salt: bytes
) -> dict[str, Any]:
    """Return what decides the stored pixels and their records: two runs with equal plans may share their work."""
    listing = hashlib.sha256()
    for sample in samples:
        size = _size_of(sample.path)
        masks = sorted((name, path.name, _size_of(path)) for name, path in sample.mask_files)
        told = (sample.source, sample.frame, size, masks, sorted(sample.reader.items()))
        listing.update(repr((*told, sample.outlines) if sample.outlines else told).encode())
    return {
        "set": root.resolve().name,
        "dataset": adapter.name,
        "files": len({sample.source for sample in samples}),
        "listing_sha256": listing.hexdigest(),
        "size": options.size,
        "bits": options.bits,
        "fit": options.fit,
        "channels": options.channels,
        "window": options.window if isinstance(options.window, str) else list(options.window),
        "frames": options.frames,
        "parts": list(options.parts),
        **_chosen_values(adapter, options),
        "patients_sha256": hashlib.sha256(repr([(s.patient, s.study) for s in samples]).encode() + salt).hexdigest(),
        "salt_id": salt_id(salt),
    }


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _chosen_values(adapter: Adapter, options: DecodeOptions) -> dict[str, list[str]]:
    """Return what the user says of label maps; those of published sets are always the same."""
    told = [f"{name}={value}" for value, name in sorted(options.mask_values.items())]
    return {"mask_values": told} if told and adapter.name == "folder" else {}


def _labels_sha256(samples: Sequence[Sample]) -> str:
    known = [(sorted(sample.labels.items()), sample.split) for sample in samples]
    return hashlib.sha256(repr(known).encode("utf-8", "surrogateescape")).hexdigest()
