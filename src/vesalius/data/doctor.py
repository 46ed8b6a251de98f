"""`vesalius doctor`: what is in a folder and what `prepare` would make of it; changes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import list_images, source_of
from vesalius.data.adapters.registry import find_adapter
from vesalius.data.assemble import partly_split, resolve_split
from vesalius.data.doctor_report import DoctorReport
from vesalius.data.engines import worker_count
from vesalius.data.fit import fit
from vesalius.data.frames import ARRAY_FORMATS, frame_count
from vesalius.data.limits import check_size
from vesalius.data.prepare_job import check_reader, list_samples, with_reader
from vesalius.data.prepare_summary import Refusal
from vesalius.data.prepare_worker import is_colourful
from vesalius.data.read import read_image, sniff
from vesalius.data.store import file_sha256
from vesalius.data.windows import apply_window
from vesalius.errors import UnreadableImageError, VesaliusError
from vesalius.records.sample import DecodedImage, Sample

__all__ = ["doctor"]

_DECODED = 256
_STORE_SIZE = 256
_RASTER = frozenset({"png", "jpeg", "bmp", "gif"})
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp", ".dib"),
    "gif": (".gif",),
    "nifti": (".nii", ".gz", ".hdr", ".img"),
    "hdf5": (".h5", ".hdf5", ".hdf", ".he5"),
    "npz": (".npz",),
    "npy": (".npy",),
    "jsrt": (".img",),
    # DICOM files go by any ending or by none, so only another format's ending is wrong.
}
_OTHERS_ENDINGS = frozenset(ending for endings in _ENDINGS.values() for ending in endings) - {".img", ".hdr"}


@dataclass(slots=True)
class _Findings:
    """What is counted while the files are looked at."""

    types: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, str] = field(default_factory=dict)
    bits: Counter[int] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    misnamed: list[tuple[str, str]] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    decoded: int = 0
    coloured: int = 0
    inverted: int = 0
    bright_background: int = 0
    seconds: float = 0.0

    def refuse(self, sample: Sample, error: UnreadableImageError) -> None:
        """Note a file that cannot be read, once."""
        refusal = Refusal(file=sample.source, frame=sample.frame, reason=error.reason, advice=error.advice)
        self.refused.setdefault(sample.source, refusal)


def doctor(
    source: Path | str,
    *,
    dataset: str = "auto",
    decode: int = _DECODED,
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
) -> DoctorReport:
    """Look at a data set without changing anything.

    Every file's header is read; up to `decode` files, spread evenly, are decoded as `prepare` would. Damage inside
    the pixels of the others shows only in `prepare`, which lists it in `refused.csv`.

    Args:
        source: The folder.
        dataset: Name of an adapter, or `auto`.
        decode: How many files to decode at most.
        axis: Slicing of NIfTI volumes, see `vesalius.data.read.read_image`.
        volume: Volume of 4-D NIfTI files.
        key: Array of HDF5 and NPZ files that hold several.

    Raises:
        ConfigError: For an unknown axis, or a negative volume.
        DatasetError: For a folder that is not there, or an unknown adapter.
    """
    root = Path(source)
    adapter = find_adapter(dataset, root)
    check_reader(axis=axis, volume=volume)
    samples, problems = _samples(adapter, root, dataset)
    samples = with_reader(samples, {"axis": axis, "volume": volume, "key": key})
    findings = _Findings()
    for sample in samples:
        _look_at_header(sample, findings, by_frame=adapter.name == "folder")
    step = max(1, -(-len(samples) // max(1, decode)))
    for sample in samples[::step]:
        if sample.source not in findings.refused:
            middle = findings.frames[sample.source] // 2  # as `prepare` does with plain folders
            _decode(sample, findings, frame=middle if adapter.name == "folder" else sample.frame)
    known = {sample.path for sample in samples} | {path for sample in samples for _, path in sample.mask_files}
    listing = list_images(root)
    workers = worker_count(None)
    rows = sum(findings.rows.values()) - len(findings.refused)
    planes = 1 + bool(any(sample.masks or sample.outlines for sample in samples)) + 2 * bool(findings.coloured)
    if not samples:
        problems.append("there are no images in it")
    return DoctorReport(
        root=root,
        dataset=adapter.name,
        title=adapter.title,
        images=len(samples),
        frames=sum(findings.frames.values()),
        decoded=findings.decoded,
        rows=rows,
        refused=tuple(findings.refused.values()),
        ignored=len(listing.ignored),
        unnamed=tuple(source_of(path, root) for path in listing.images if path not in known),
        types=dict(findings.types),
        misnamed=tuple(findings.misnamed),
        duplicates=_duplicates(samples),
        sizes=_sizes(list(findings.sizes.values())),
        bits=dict(findings.bits),
        coloured=findings.coloured,
        windows=dict(findings.windows),
        inverted=findings.inverted,
        bright_background=findings.bright_background,
        patients=len({sample.patient for sample in samples if sample.patient is not None}),
        patients_unknown=sum(sample.patient is None for sample in samples),
        masked=sum(bool(sample.masks or sample.outlines) for sample in samples),
        splits=dict(Counter(sample.split for sample in samples if sample.split is not None)),
        labels=_labels(adapter, samples),
        store_bytes=rows * planes * _STORE_SIZE**2,
        seconds=findings.seconds / max(1, findings.decoded) * rows / workers,
        workers=workers,
        problems=tuple(problems),
        warnings=adapter.warnings,
        notes=adapter.notes,
    )


def _samples(adapter: Adapter, root: Path, dataset: str) -> tuple[tuple[Sample, ...], list[str]]:
    """Return the samples and what would stop `prepare`; a set that cannot be listed is looked at as plain files."""
    try:
        listed, samples = list_samples(root, dataset)
    except VesaliusError as error:
        images = list_images(root).images
        return tuple(Sample(path=path, source=source_of(path, root)) for path in images), [str(error)]
    adapter.labels, adapter.warnings, adapter.notes = listed.labels, listed.warnings, listed.notes
    redrawn = partly_split(samples, "auto")
    if redrawn is not None:
        adapter.warn(redrawn)
    try:
        resolve_split(samples, "auto")
    except VesaliusError as error:
        return samples, [str(error)]
    return samples, []


def _look_at_header(sample: Sample, findings: _Findings, *, by_frame: bool) -> None:
    findings.rows[f"{sample.source} {sample.frame}"] = 1
    if sample.source in findings.kinds:  # another image of the same file
        findings.types[findings.kinds[sample.source]] += 1
        return
    try:
        kind = sniff(sample.path)
        findings.types[kind] += 1
        findings.kinds[sample.source] = kind
        ending = sample.path.suffix.lower()
        expected = _ENDINGS.get(kind)
        if ending not in expected if expected else (kind != "unknown" and ending in _OTHERS_ENDINGS):
            findings.misnamed.append((sample.source, kind))
        findings.frames[sample.source] = frame_count(sample)
        if by_frame and kind in ARRAY_FORMATS:  # as `prepare` does: every image of an array file
            findings.rows[f"{sample.source} {sample.frame}"] = findings.frames[sample.source]
        if kind in _RASTER:
            width, height = _raster_size(sample.path)
            check_size(sample.path, width, height)
            findings.sizes[sample.source] = (width, height)
    except UnreadableImageError as error:
        findings.refuse(sample, error)


def _raster_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the header; `count_frames` has opened the file before, so it does open."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit is checked instead
    try:
        with Image.open(path) as image:
            return int(image.size[0]), int(image.size[1])
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError(path, f"damaged header ({error})", "Copy it again") from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decode(sample: Sample, findings: _Findings, *, frame: int) -> None:
    start = time.perf_counter()
    try:
        decoded = read_image(sample.path, frame=frame, **sample.reader)
    except UnreadableImageError as error:
        findings.refuse(sample, error)
        return
    windowed = apply_window(decoded.pixels, decoded.window)
    fit(windowed, _STORE_SIZE)
    findings.seconds += time.perf_counter() - start
    findings.decoded += 1
    _count(sample, decoded, windowed, findings)


def _count(sample: Sample, decoded: DecodedImage, windowed: npt.NDArray[Any], findings: _Findings) -> None:
    findings.bits[decoded.bits] += 1
    findings.windows[decoded.window.source] += 1
    findings.inverted += decoded.inverted
    findings.sizes[sample.source] = (decoded.pixels.shape[1], decoded.pixels.shape[0])
    coloured = is_colourful(windowed, full_scale=255)
    findings.coloured += coloured
    if not coloured:
        findings.bright_background += _bright_corners(windowed if windowed.ndim == 2 else windowed[..., 0])


def _bright_corners(pixels: npt.NDArray[Any]) -> bool:
    """Whether the air around the body seems white: three of the four corners above two thirds and above the middle."""
    height, width = (max(1, side // 16) for side in pixels.shape)
    corners = [
        np.median(part) for rows in (pixels[:height], pixels[-height:]) for part in (rows[:, :width], rows[:, -width:])
    ]
    middle = np.median(pixels[pixels.shape[0] // 4 : -(pixels.shape[0] // 4) or None, pixels.shape[1] // 4 :])
    return sum(bool(corner > 170 and corner > middle) for corner in corners) >= 3


def _duplicates(samples: Sequence[Sample]) -> tuple[tuple[str, str], ...]:
    """Return files with equal bytes; only files of equal size are hashed."""
    by_size: dict[int, dict[Path, str]] = {}
    for sample in samples:
        if sample.path.is_file() and (size := sample.path.stat().st_size):
            by_size.setdefault(size, {}).setdefault(sample.path, sample.source)
    found = []
    for same in by_size.values():
        first: dict[str, str] = {}
        for path, source in same.items() if len(same) > 1 else ():
            try:
                original = first.setdefault(file_sha256(path), source)
            except OSError:
                continue  # refused by its header already
            if original != source:
                found.append((source, original))
    return tuple(sorted(found))


def _sizes(sizes: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return (ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else ()


def _labels(adapter: Adapter, samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, spec in adapter.labels.items():
        counts: Counter[str] = Counter()
        for sample in samples:
            value = sample.labels.get(name)
            if value is None:
                counts["missing"] += 1
            elif spec.classes and isinstance(value, (int, float)) and float(value).is_integer():
                counts[spec.classes[int(value)]] += 1
            else:
                counts["known"] += 1
        found[name] = dict(counts)
    return found
