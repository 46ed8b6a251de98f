"""From files to stores: what is there, what was read, and opening it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesalius.data.doctor_report import DoctorReport
    from vesalius.data.prepare_summary import PrepareSummary
    from vesalius.data.store import Store

__all__ = ["doctor", "open_store", "prepare"]


def open_store(path: str | Path) -> Store:
    """Open a store: `.images`, `.manifest`, `.masks` and maps by name, see `vesalius.data.store.Store`."""
    from vesalius.data.store import open_store as open_it

    return open_it(Path(path))


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    dataset: str = "auto",
    size: int = 256,
    bits: int = 8,
    fit: str = "pad",
    channels: str | int = "auto",
    window: str | tuple[float, float] = "auto",
    frames: str = "auto",
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
    workers: int | None = None,
    engine: str = "local",
    seed: int = 0,
    split: str = "auto",
    labels_csv: str | Path | None = None,
    salt_file: str | Path | None = None,
    adapter_options: Mapping[str, Any] | None = None,
    resume: bool = True,
    progress: bool = True,
) -> PrepareSummary:
    """Turn a folder of scans into a store; each option is explained at `vesalius.data.prepare.prepare`."""
    from vesalius.data.prepare import prepare as prepare_it

    return prepare_it(
        source,
        out,
        dataset=dataset,
        size=size,
        bits=bits,
        fit=fit,
        channels=channels,
        window=window,
        frames=frames,
        axis=axis,
        volume=volume,
        key=key,
        workers=workers,
        engine=engine,
        seed=seed,
        split=split,
        labels_csv=labels_csv,
        salt_file=salt_file,
        adapter_options=adapter_options,
        resume=resume,
        progress=progress,
    )


def doctor(
    source: str | Path,
    *,
    dataset: str = "auto",
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
) -> DoctorReport:
    """Look at a folder of scans and say what would be read; changes nothing."""
    from vesalius.data.doctor import doctor as examine

    return examine(source, dataset=dataset, axis=axis, volume=volume, key=key)
