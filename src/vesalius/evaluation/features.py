"""Frozen features of store images, extracted once and kept in a cache beside the run."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from vesalius.backbones.interface import Backbone
from vesalius.backbones.normalise import to_input
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import ConfigError, EvaluationError
from vesalius.evaluation.feature_kinds import asked_of_backbone, choose_kind, pool_features
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.records.features import Features
from vesalius.training.precision import choose_precision

__all__ = [
    "autocast_bf16",
    "backbone_fingerprint",
    "cached_features",
    "extract_features",
    "look_at",
]

_LAYOUT = 3  # of the cache; a change of how features are computed raises it, so that old files are not read


def autocast_bf16(precision: str, device: torch.device) -> bool:
    """Say whether features are computed in bf16, by the same choice as training makes.

    Raises:
        ConfigError: Unknown precision.
    """
    if precision not in ("auto", "bf16", "fp32"):
        raise ConfigError(f"unknown precision '{precision}'; known: auto, bf16, fp32")
    return choose_precision(precision, accelerator=device.type)[0].startswith("bf16")


def look_at(
    backbone: Backbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    image_size: int | None,
    batch_size: int,
    device: str,
    precision: str,
    **wanted: bool,
) -> Iterator[Features]:
    """Yield what the backbone makes of the rows, batch by batch, in evaluation mode; the caller turns gradients off.

    Args:
        backbone: Moved to the device; its training mode is put back afterwards.
        store: Where the images are.
        rows: Which.
        image_size: Side of the input; by default the size that belongs to the weights.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `bf16` or `fp32`.
        wanted: What the features shall carry, see `Backbone.forward_features`.
    """
    where = choose_device(device)
    size = backbone.preprocessing.image_size if image_size is None else (image_size, image_size)
    half = autocast_bf16(precision, where)
    with _frozen(backbone.to(where)):
        for start in range(0, len(rows), batch_size):
            inputs = to_input(store.images[rows[start : start + batch_size]], backbone, where, size)
            with torch.autocast(where.type, dtype=torch.bfloat16, enabled=half):
                features = backbone.forward_features(inputs, **wanted)
            yield features


def extract_features(
    backbone: Backbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    image_size: int | None = None,
    batch_size: int = 128,
    device: str = "auto",
    kind: str = "auto",
    precision: str = "auto",
    advance: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "rows dim"]:
    """Compute the features of the rows, in their order, in evaluation mode and without gradients.

    Args:
        backbone: Moved to the device; its training mode is put back afterwards.
        store: Where the images are.
        rows: Which.
        image_size: Side of the input; by default the size that belongs to the weights.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        kind: See `vesalius.evaluation.feature_kinds`.
        precision: `auto`, `bf16` or `fp32`.
        advance: Called with the number of images of each finished batch.

    Raises:
        EvaluationError: No rows.
    """
    if not len(rows):
        raise EvaluationError("features of no image were asked for: name at least one row")
    kind = choose_kind(backbone, kind)
    how: dict[str, Any] = {"image_size": image_size, "batch_size": batch_size, "device": device}
    how |= asked_of_backbone(kind)
    parts = []
    with torch.inference_mode():
        for features in look_at(backbone, store, rows, precision=precision, **how):
            parts.append(pool_features(features, kind).cpu().numpy())
            if advance is not None:
                advance(len(parts[-1]))
    return np.concatenate(parts)


def cached_features(
    backbone: Backbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    folder: Path,
    image_size: int | None = None,
    device: str = "auto",
    kind: str = "auto",
    precision: str = "auto",
    **options: Any,
) -> Float[np.ndarray, "rows dim"]:
    """Return `extract_features` from `folder`, or compute and keep them there (written whole or not at all).

    The file's name is a digest of the weights, the store, the rows, the input size, the kind of features and the
    precision, so that a change of any of them computes anew; a damaged file is computed anew as well.
    """
    kind = choose_kind(backbone, kind)
    precision = "bf16" if autocast_bf16(precision, choose_device(device)) else "fp32"
    size = backbone.preprocessing.image_size if image_size is None else (image_size, image_size)
    what = [_LAYOUT, backbone_fingerprint(backbone), store.fingerprint, size, kind, precision]
    path = folder / f"{digest_of(what, np.asarray(rows, dtype=np.int64))}.npz"
    advance = options.get("advance", lambda _: None)
    how = {"image_size": image_size, "device": device, "kind": kind, "precision": precision, **options}
    kept = kept_arrays(
        path,
        lambda: {"features": extract_features(backbone, store, rows, **how)},
        found=lambda: advance(len(rows)),
    )
    return np.asarray(kept["features"])


def backbone_fingerprint(backbone: Backbone) -> str:
    """Return a digest of the architecture, the preprocessing and every weight and buffer."""
    digest = hashlib.sha256(f"{backbone.name} {backbone.preprocessing.model_dump()}".encode())
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _frozen(backbone: Backbone) -> Iterator[None]:
    training = backbone.training
    backbone.eval()
    try:
        yield
    finally:
        backbone.train(training)
