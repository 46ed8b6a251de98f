"""`vesalius prepare`: from a folder of scans to a store."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.data.array_writer import human_bytes
from vesalius.data.assemble import assemble, check_split_mode, pseudonyms
from vesalius.data.chunk_writer import differing
from vesalius.data.engines import check_engine, run_in_order, worker_count
from vesalius.data.prepare_job import READER_DEFAULTS, Job, check_options, plan_job
from vesalius.data.prepare_progress import Progress
from vesalius.data.prepare_summary import PrepareSummary, Refusal
from vesalius.data.prepare_worker import DecodedChunk, DecodeOptions, decode_chunk
from vesalius.data.splits import ImageSplitWarning
from vesalius.data.store import Store
from vesalius.data.store_writer import StoreWriter, existing_store
from vesalius.data.windows import WindowRequest
from vesalius.errors import StoreError

__all__ = ["prepare"]

_MARGIN = 1.05  # tables, journal, and the file system's own needs


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    dataset: str = "auto",
    size: int = 256,
    bits: int = 8,
    fit: str = "pad",
    channels: str | int = "auto",
    window: WindowRequest = "auto",
    frames: str = "auto",
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
    workers: int | None = None,
    engine: str = "local",
    seed: int = 0,
    split: str = "auto",
    labels_csv: Path | str | None = None,
    salt_file: Path | str | None = None,
    adapter_options: Mapping[str, Any] | None = None,
    resume: bool = True,
    progress: bool = True,
) -> PrepareSummary:
    """Decode, window, resize and check every image of a data set and write them as a store.

    The same source, options and salt give the same bytes, whatever the number of workers and however often the run
    was interrupted; interrupted, run it again and it goes on.

    Args:
        source: The data set's folder.
        out: The store to make; `<out>.partial` is its working folder, `<out>.salt` its salt.
        dataset: Name of an adapter, or `auto` for the one whose layout the folder has.
        size: Side of the stored square in pixels.
        bits: 8 or 16.
        fit: How a non-square image becomes square: `pad`, `crop`, `crop:SHARE` or `squash`.
        channels: 1, 3, or `auto`: 3 if any of up to 64 images spread evenly over the set is truly coloured, else 1.
            Colour met later in a gray store becomes gray by luminance, and is marked in the manifest.
        window: Range of intensities to keep, see `vesalius.data.windows`.
        frames: For files of a plain folder that hold several frames or slices: `first`, `middle` or `all`; `auto` is
            every image of an array file (HDF5, NPZ, NPY) and the middle one of any other. What is left out is counted
            in the warnings. Other adapters name the frames themselves.
        axis: Slicing of NIfTI volumes: `axial`, `coronal`, `sagittal`, or array axis 0, 1, 2.
        volume: Volume of 4-D NIfTI files.
        key: Array of HDF5 and NPZ files that hold several.
        workers: Processes; as many as there are cores by default.
        engine: `local`, `ray`, `dask` or `dask://HOST:PORT`.
        seed: Of drawn splits.
        split: See `vesalius.data.assemble.SPLIT_MODES`.
        labels_csv: Table of labels; for adapters that know their labels, further ones.
        salt_file: Secret for the pseudonyms, made where it is not there; share one among stores that share patients.
        adapter_options: Options of the adapter, for example `{"uncertain": "ones"}`.
        resume: Go on with what an interrupted run left; False throws it away.
        progress: Show what is done and how long it will take.

    Returns:
        Counts, refusals and warnings; `summary_table` draws them.

    Raises:
        ConfigError: For an option out of range.
        DatasetError: For a folder without images, or one that does not have the adapter's layout.
        ManifestError: For a table or a path that does not fit.
        SplitError: For a published split that has a patient on two sides.
        StoreError: For a store that is there already, a partial of other settings, or a full disk.
    """
    start = time.monotonic()
    workers = worker_count(workers)
    check_engine(engine)
    check_split_mode(split)
    check_options(
        size=size, bits=bits, fit=fit, channels=channels, window=window, frames=frames, axis=axis, volume=volume
    )
    root, out = Path(source), Path(out)
    if root.is_dir() and out.resolve().is_relative_to(root.resolve()):
        raise StoreError(f"{out}: lies inside the data set {root}, which is only read; choose an --out outside of it")
    if split == "image":
        warnings.warn("split by image: images of one patient may be on both sides", ImageSplitWarning, stacklevel=2)
    job = plan_job(
        root,
        out,
        dataset=dataset,
        labels_csv=Path(labels_csv) if labels_csv is not None else None,
        adapter_options=adapter_options or {},
        options=DecodeOptions(size=size, bits=bits, fit=fit, channels=1, window=window, frames=frames),
        channels=channels,
        split=split,
        seed=seed,
        salt_file=Path(salt_file) if salt_file is not None else out.with_name(out.name + ".salt"),
        reader={"axis": int(axis) if str(axis).isdigit() else axis, "volume": volume, "key": key},
    )
    there = existing_store(out)
    if there is not None:
        return _already(job, there, resume=resume, seconds=time.monotonic() - start)
    store, resumed = _write(job, workers=workers, engine=engine, resume=resume, progress=progress)
    return _summary(store, resumed=resumed, seconds=time.monotonic() - start)


def _write(job: Job, *, workers: int, engine: str, resume: bool, progress: bool) -> tuple[Store, int]:
    """Decode what is not yet decoded, commit it, and finish the store; return it and the images found done."""
    with StoreWriter(job.out, plan=job.plan, layouts=job.layouts, resume=resume) as writer:
        resumed = writer.rows
        done = writer.chunks * job.chunk
        needed = int((len(job.samples) - done) * job.row_bytes * _MARGIN)
        free = shutil.disk_usage(writer.partial).free
        if needed > free:
            raise StoreError(
                f"{job.out}: about {human_bytes(needed)} are needed, {human_bytes(free)} are free. Make room, choose "
                "another disk, or a smaller --size; what is already decoded is kept"
            )
        seen = {record["pixel_sha256"]: record for chunk in writer.records for record in chunk["records"]["kept"]}
        with Progress(job.adapter.title, total=len(job.samples), done=done, expected=needed, shown=progress) as bar:
            for chunk in _decoded(job, done, workers=workers, engine=engine):
                arrays, records = _sift(job, chunk, seen)
                left = int((len(job.samples) - writer.chunks * job.chunk) * job.row_bytes)
                writer.commit(arrays, records, needed_bytes=left)
                bar.advance(min(job.chunk, len(job.samples) - bar.done), refused=len(records["refused"]))
        tables = assemble(
            job.samples,
            [chunk["records"] for chunk in writer.records],
            labels=job.adapter.labels,
            split=job.split,
            seed=job.seed,
        )
        if not len(tables.manifest):
            reasons = sorted(set(tables.refused["reason"]))[:3]
            raise StoreError(f"{job.out}: none of {len(job.samples)} images could be read, for example: {reasons}")
        info = {
            "source": {"set": job.plan["set"], "dataset": job.adapter.name, "title": job.adapter.title},
            "citation": job.adapter.citation,
            "licence": job.adapter.licence,
            "options": {**job.plan, **job.settings},
            "labels": {name: spec.as_dict() for name, spec in tables.labels.items()},
            "counts": tables.counts,
            "warnings": [*job.adapter.warnings, *tables.warnings],
            "notes": [*job.adapter.notes, *tables.notes],
        }
        return writer.finish(tables.manifest, tables.refused, tables.duplicates, info), resumed


def _decoded(job: Job, done: int, *, workers: int, engine: str) -> Iterator[DecodedChunk]:
    starts = range(done, len(job.samples), job.chunk)
    calls = [(first, job.samples[first : first + job.chunk], job.options) for first in starts]
    return run_in_order(decode_chunk, calls, workers=min(workers, max(1, len(calls))), engine=engine)


def _sift(
    job: Job, chunk: DecodedChunk, seen: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Set apart what is already there, and put pseudonyms in the place of ids, before anything is written."""
    kept, duplicates, rows = [], [], []
    for row, decoded in enumerate(chunk.records):
        whose = pseudonyms(job.samples[decoded["sample"]], decoded, dataset=job.adapter.name, salt=job.salt)
        record = {name: value for name, value in decoded.items() if not name.startswith("header_")} | whose
        if record["pixel_sha256"] in seen:
            duplicates.append(record)
        else:
            seen[record["pixel_sha256"]] = record
            kept.append(record)
            rows.append(row)
    arrays = {"images": chunk.images[rows]} | ({"masks": chunk.masks[rows]} if job.options.parts else {})
    return arrays, {"kept": kept, "duplicates": duplicates, "refused": chunk.refused}


def _already(job: Job, store: Store, *, resume: bool, seconds: float) -> PrepareSummary:
    # Stores of before there was a choice were read with the defaults.
    before, now = {**READER_DEFAULTS, **store.info["options"]}, {**job.plan, **job.settings}
    if before != now:
        raise StoreError(
            f"{job.out}: already exists, made with other settings: {differing(before, now)}. Choose another --out, or "
            "remove it first"
        )
    if not resume:
        raise StoreError(f"{job.out}: already exists and is complete; remove it first to make it anew")
    return replace(_summary(store, resumed=0, seconds=seconds), already_complete=True)


def _summary(store: Store, *, resumed: int, seconds: float) -> PrepareSummary:
    counts = store.info["counts"]
    refused = [
        Refusal(file=str(row["file"]), frame=int(row["frame"]), reason=str(row["reason"]), advice=str(row["advice"]))
        for row in store.refused.to_dict("records")
    ]
    return PrepareSummary(
        read=counts["images"],
        duplicated=counts["duplicates"],
        refused=tuple(refused),
        seconds=seconds,
        store=store.path,
        resumed=resumed,
        patients=counts["patients"],
        patients_unknown=counts["patients_unknown"],
        splits=counts["splits"],
        warnings=tuple(store.info["warnings"]),
        notes=tuple(store.info["notes"]),
    )
