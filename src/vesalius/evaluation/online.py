"""What is measured while a backbone trains: the rank of its features, and k-NN on labelled images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from vesalius.backbones.interface import Backbone
from vesalius.data.batches import ImagePool
from vesalius.data.store import Store, open_store
from vesalius.errors import LabelError, VesaliusError
from vesalius.evaluation.feature_kinds import choose_kind
from vesalius.evaluation.features import extract_features
from vesalius.evaluation.knn import knn_scores
from vesalius.evaluation.metrics import rank_in_folds
from vesalius.evaluation.protocol import fold_sides, make_sides
from vesalius.evaluation.targets import read_targets
from vesalius.training.monitors import Probe, feature_rank
from vesalius.training.recipe import MonitorConfig

__all__ = ["choose_probes", "knn_probe", "rank_probe"]

_BATCH = 64
_KNN_LABELS = 2


def choose_probes(
    monitors: MonitorConfig, pool: ImagePool, *, precision: str, say: Callable[[str], None]
) -> list[Probe]:
    """Choose what is watched: the feature rank always, k-NN on the label asked for or on two that are there.

    Args:
        monitors: The recipe's part about it.
        pool: The images trained on.
        precision: Of the forward pass.
        say: Told of a label that k-NN cannot be run on.

    Raises:
        LabelError: The label asked for is in none of the stores, or no classes.
        StoreError: `monitors.knn_store` cannot be opened.
    """
    store, rows = next(part for part in pool.parts if len(part[1]))
    probes: list[Probe] = [rank_probe(store, rows[: monitors.images], precision=precision)]
    stores = [part for part, _ in pool.parts] if monitors.knn_store is None else [open_store(monitors.knn_store)]
    wanted = [
        (part, name)
        for part in stores
        for name, spec in part.labels.items()
        if (monitors.knn_label or name) == name and spec["kind"] in ("binary", "multiclass")
    ]
    if monitors.knn_label is not None and not wanted:
        raise LabelError(f"monitors.knn_label: no classifiable label '{monitors.knn_label}' in the stores given")
    for part, name in wanted:
        if len(probes) > _KNN_LABELS:
            break
        try:
            probes.append(knn_probe(part, name, images=monitors.knn_images, precision=precision))
        except VesaliusError as error:
            say(f"no online k-NN on '{name}': {error}")
    return probes


def rank_probe(store: Store, rows: npt.NDArray[np.int64], *, precision: str) -> Probe:
    """Return a probe of the effective rank of the exported features, see `feature_rank`."""

    def probe(backbone: Backbone) -> dict[str, float]:
        kind = "cls" if backbone.has_cls else "mean"
        features = extract_features(
            backbone, store, rows, kind=kind, precision=precision, batch_size=_BATCH, device=_device(backbone)
        )
        return {"feature_rank": feature_rank(torch.from_numpy(features))}

    return probe


def knn_probe(store: Store, label: str, *, images: int, precision: str, seed: int = 0) -> Probe:
    """Return a probe of the AUC of a 20-NN on a label: the store's test side against its train side, or folds.

    Args:
        store: With the label.
        label: Binary or multi-class.
        images: At most so many are read, drawn once.
        precision: Of the forward pass.
        seed: Of the draw.

    Raises:
        LabelError: By `read_targets`.
    """
    targets = read_targets(store, label)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(targets.rows))[:images])
    rows, values = targets.rows[chosen], targets.values[chosen]
    about = store.manifest.iloc[rows]
    patients = about["patient"].to_numpy(dtype=str)
    sides = make_sides(about["split"].to_numpy(dtype=str), values, patients)
    if sides.protocol == "split" and len(sides.test) < 100:
        sides = fold_sides(values, patients, seed=seed)

    def probe(backbone: Backbone) -> dict[str, float]:
        kind = choose_kind(backbone, "auto")
        features = extract_features(
            backbone, store, rows, kind=kind, precision=precision, batch_size=_BATCH, device=_device(backbone)
        )
        scores = np.zeros((len(rows), len(targets.classes)))
        for train, test in sides.pairs:
            votes = knn_scores(
                features[train], values[train], features[test], kind=targets.kind, classes=len(targets.classes)
            )
            scores[test] = votes[20]
        truth, votes_cast = values[sides.test], rank_in_folds(scores[sides.test], sides.test_folds)
        if len(targets.classes) == 2:
            return {f"knn_{label}_auc": float(roc_auc_score(truth, votes_cast[:, 1]))}
        one_hot = truth[:, None] == np.arange(len(targets.classes))
        seen = one_hot.any(axis=0) & ~one_hot.all(axis=0)
        return {f"knn_{label}_auc": float(roc_auc_score(one_hot[:, seen], votes_cast[:, seen], average="macro"))}

    return probe


def _device(backbone: Backbone) -> str:
    """Look where the backbone is: a probe must not move a network that is being trained."""
    return str(next(backbone.parameters()).device)
