"""Which frames of a file with several become rows, and saying how many do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from vesalius.data.read import count_frames, sniff
from vesalius.errors import UnreadableImageError
from vesalius.records.sample import Sample

__all__ = ["ARRAY_FORMATS", "FRAME_MODES", "expand_frames", "frame_count", "left_out"]

FRAME_MODES = ("auto", "first", "middle", "all")
"""`auto`: every image of an array file, the middle one of any other file. The others: of every file."""

ARRAY_FORMATS = frozenset({"hdf5", "npz", "npy"})
"""Files that are data sets: their first axis counts images, while that of the others counts slices or pages."""

_SINGLE = frozenset({"png", "jpeg", "bmp", "jsrt"})


def expand_frames(samples: Sequence[Sample], frames: str) -> tuple[tuple[Sample, ...], str]:
    """Put one sample a frame in the place of a file that gives several, so that each stands alone.

    Files whose header cannot be read stay as they are, and are refused when they are decoded.

    Args:
        samples: One a file.
        frames: One of `FRAME_MODES`.

    Returns:
        The samples, and what is left for the decoding to choose: `first`, `middle`, `all`, or `auto` where there are
        array files.
    """
    if frames not in ("auto", "all"):
        return tuple(samples), frames
    found: list[Sample] = []
    arrays = False
    for sample in samples:
        try:
            kind = sniff(sample.path)
            arrays = arrays or kind in ARRAY_FORMATS
            wanted = kind not in _SINGLE if frames == "all" else kind in ARRAY_FORMATS
            count = frame_count(sample) if wanted else 1
        except UnreadableImageError:
            count = 1
        found += [sample] if count < 2 else [replace(sample, frame=frame) for frame in range(count)]
    return tuple(found), "auto" if frames == "auto" and arrays else "middle" if frames == "auto" else "all"


def frame_count(sample: Sample) -> int:
    """Return how many images the sample's file holds, read with the sample's options.

    Raises:
        ConfigError: Unknown axis.
        UnreadableImageError: As `vesalius.data.read.count_frames`.
    """
    return count_frames(
        sample.path,
        **{name: value for name, value in sample.reader.items() if name in ("format", "axis", "key")},
    )


def left_out(records: Iterable[Mapping[str, Any]], refused: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say, a kind of file a line, how many frames no one asked for.

    Args:
        records: `source`, `frame`, `frames` and `volumes` of every image that was decoded.
        refused: `file` and `frame` of what was not.
    """
    several: dict[str, int] = {}
    taken: dict[str, set[int]] = {}
    held: dict[str, int] = {}
    for record in records:
        if record.get("volumes", 1) > 1:
            several[record["source"]] = int(record["volumes"])
        if record.get("frames", 1) > 1:
            held[record["source"]] = int(record["frames"])
            taken.setdefault(record["source"], set()).add(int(record["frame"]))
    for refusal in refused:
        if refusal["file"] in taken:
            taken[refusal["file"]].add(int(refusal["frame"]))
    files: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for source, frames in held.items():
        if frames > len(taken[source]):
            kind = _ending(source)
            files[kind] += 1
            missing[kind] += frames - len(taken[source])
    said = [
        f"{missing[kind]} frames or slices of {files[kind]} {kind} files were left out; frames='all' (--frames all) "
        "takes every one"
        for kind in sorted(missing)
    ]
    if several:
        said.append(
            f"{sum(several.values()) - len(several)} volumes of {len(several)} 4-D files were left out; volume "
            "(--volume) chooses which one is taken"
        )
    return tuple(said)


def _ending(source: str) -> str:
    endings = PurePosixPath(source.lower()).suffixes
    return ".nii.gz" if endings[-2:] == [".nii", ".gz"] else endings[-1] if endings else "nameless"
