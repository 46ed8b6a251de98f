"""Whether an evaluation scored images of a store that the pretraining had learned from."""

from __future__ import annotations

import hashlib

from vesalius.report.run_folder import Evaluation, Run
from vesalius.report.stores import Stores

__all__ = ["of_pretraining"]


def of_pretraining(run: Run, scored: Evaluation, stores: Stores) -> bool | None:
    """Say whether the scored store is one of the pretraining's; None where that is not known.

    A store prepared anew is another one, even if its source is the same.
    """
    data = run.about.get("data") or {}
    if run.about.get("steps") == 0 or not scored.fingerprint or not scored.result.of_store:
        return None
    if trained := stores.trained_on(data):
        return any(store.fingerprint.startswith(scored.fingerprint) for store, _ in trained)
    splits, whole = data.get("split"), _fingerprint(scored, stores)
    if not isinstance(splits, list) or len(splits) != 1 or not whole or not data.get("fingerprint"):
        return None
    # A training on one store: its digest tells, even where the store is gone.
    return bool(hashlib.sha256(f"{whole}@{splits[0]}".encode()).hexdigest() == data["fingerprint"])


def _fingerprint(scored: Evaluation, stores: Stores) -> str:
    store = stores.of(scored.fingerprint)
    told = [str(each.get("fingerprint", "")) for each in scored.result.settings.get("stores") or ()]
    known = [store.fingerprint] if store else [each for each in told if each.startswith(scored.fingerprint)]
    return known[0] if known and len(known[0]) == 64 else ""
