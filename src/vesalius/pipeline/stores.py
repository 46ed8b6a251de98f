"""From files to stores: what is there, what was read, and opening it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesalius.data.doctor_report import DoctorReport
    from vesalius.data.nnunet import NnunetFolders
    from vesalius.data.prepare_summary import PrepareSummary
    from vesalius.data.store import Store

__all__ = ["doctor", "export", "open_store", "prepare"]


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


def export(
    store: str | Path,
    out: str | Path,
    *,
    to: str = "nnunet",
    name: str = "",
    number: int = 1,
    form: str = "auto",
    folds: int = 5,
    seed: int = 0,
    progress: bool = True,
) -> NnunetFolders:
    """Hand a store with masks on to another tool, as the folders that it trains from.

    Args:
        store: A store.
        out: Where the folders go.
        to: `nnunet`, see `vesalius.data.nnunet.write_nnunet`.
        name: Of the data set; by default the store's folder.
        number: Of the data set.
        form: Of cases: `volumes` (NIfTI, with the spacing of the store's pixels), `images` (PNG), or `auto`: volumes
            where all images are slices of whole ones of known spacing.
        folds: Of the training side, by patient.
        seed: Of the folds.
        progress: Show a bar.

    Raises:
        ConfigError: An unknown tool or form; a name or number it does not take, or that is there already.
        StoreError: The store has no masks, or not the volumes that are asked for.
        SplitError: Fewer patients than folds.
    """
    from vesalius.data.nnunet import write_nnunet
    from vesalius.errors import ConfigError, nearest
    from vesalius.progress import bar

    if to != "nnunet":
        raise ConfigError(f"export to '{to}': known is nnunet{nearest(to, ('nnunet',))}")
    opened = open_store(store)
    with bar("export", int(opened.manifest["has_masks"].sum()), show=progress) as advance:
        return write_nnunet(
            opened,
            Path(out),
            name=name or opened.path.resolve().name,
            number=number,
            form=form,
            folds=folds,
            seed=seed,
            advance=advance,
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
