"""Finding the stores that runs speak of, unchanged since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from vesalius.data.store import Store, open_store
from vesalius.errors import VesaliusError
from vesalius.report.run_folder import Run

__all__ = ["Stores", "find_stores"]

_MOST_TRIES = 256  # combinations of stores of the same names


class Stores:
    """The stores that were found."""

    def __init__(self, stores: Iterable[Store] = ()) -> None:
        """Keep each store once."""
        self._by_fingerprint = {store.fingerprint: store for store in stores}

    def of(self, fingerprint: str) -> Store | None:
        """Return the store whose fingerprint begins so; None where none was found, or none is given."""
        hits = [store for each, store in self._by_fingerprint.items() if fingerprint and each.startswith(fingerprint)]
        return hits[0] if hits else None

    def named(self, name: str) -> list[Store]:
        """Return the stores in folders of this name."""
        return [store for store in self._by_fingerprint.values() if store.path.name == name]

    def title(self, store: Store) -> str:
        """Return the name of a store's folder, with the fingerprint's first digits where another one bears it too."""
        name = store.path.name
        return name if len(self.named(name)) < 2 else f"{name} ({store.fingerprint[:8]})"

    def title_of(self, fingerprint: str) -> str:
        """Return the title of the store whose fingerprint begins so, in words where it was not found or is none."""
        store = self.of(fingerprint)
        return self.title(store) if store else f"store {fingerprint}" if fingerprint else "no store"

    def trained_on(self, data: Mapping[str, Any]) -> tuple[tuple[Store, str], ...]:
        """Return store and split for each store of a training, as `run.json` names them; empty where one is not found.

        A training's fingerprint is a digest over its stores' own and the splits taken, so it proves them unchanged.
        """
        names = str(data.get("store", "")).split(" + ")
        splits = [str(each) for each in data.get("split") or ()]
        if len(names) != len(splits):
            return ()
        for number, chosen in enumerate(product(*(self.named(name) for name in names))):
            if number == _MOST_TRIES:
                break
            digest = hashlib.sha256()
            for store, split in zip(chosen, splits, strict=True):
                digest.update(f"{store.fingerprint}@{split}".encode())
            if digest.hexdigest() == data.get("fingerprint"):
                return tuple(zip(chosen, splits, strict=True))
        return ()


def find_stores(runs: Sequence[Run], given: Iterable[Path]) -> Stores:
    """Open every store the runs speak of that can be found.

    Looked for in the folders given, where an evaluation says it was, and beside the run.

    Raises:
        StoreError: A folder that was given is no store.
    """
    found = [open_store(folder) for folder in given]
    for run in runs:
        evaluated = [each.neighbours for each in run.evaluations if each.neighbours]
        told = [Path(str(each[key])) for each in evaluated for key in ("store", "query_store") if key in each]
        names = str((run.about.get("data") or {}).get("store") or "").split(" + ")
        beside = [run.path.resolve().parent / Path(name).name for name in names if name]
        for folder in dict.fromkeys((*told, *beside)):
            try:
                found.append(open_store(folder))
            except (VesaliusError, OSError):
                continue
    return Stores(found)
