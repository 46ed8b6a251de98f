"""The images of one training, named as `STORE[@SPLITS]`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesalius.data.batches import ImagePool
from vesalius.data.store import open_store
from vesalius.errors import StoreError

__all__ = ["Data", "named_store", "open_pool"]

Data = str | Path | Sequence[str | Path]
"""One store, or several: `STORE` means its train split, `STORE@all` and `STORE@train+val` others."""


def named_store(entry: str | Path) -> tuple[Path, str]:
    """Return the path and the splits that one entry names."""
    path, sign, wanted = str(entry).rpartition("@")
    return (Path(path), wanted) if sign and not Path(entry).exists() else (Path(entry), "train")


def open_pool(data: Data) -> tuple[ImagePool, dict[str, Any]]:
    """Open the images; return them and what run.json says of them.

    Raises:
        StoreError: No store is named, one is missing or damaged, their geometries differ, or nothing is selected.
    """
    entries = [data] if isinstance(data, (str, Path)) else list(data)
    if not entries:
        raise StoreError("no data: name at least one store that `vesalius prepare` wrote")
    parts, names, splits, digest, patients = [], [], [], hashlib.sha256(), set()
    for entry in entries:
        path, wanted = named_store(entry)
        store = open_store(path)
        rows = store.rows() if wanted == "all" else store.rows(split=wanted.split("+"))
        parts.append((store, rows))
        names.append(store.path.name)
        splits.append(wanted)
        digest.update(f"{store.fingerprint}@{wanted}".encode())
        patients |= set(store.manifest["patient"].iloc[rows])
    pool = ImagePool(parts)
    return pool, {
        "store": " + ".join(names),
        "fingerprint": digest.hexdigest(),
        "images": len(pool),
        "patients": len(patients),
        "split": splits,
    }
