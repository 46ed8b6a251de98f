"""Every image of a store as a run sees it: computed once, kept beside the run, resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float16, Int, UInt8
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.block_attention import heads_of_last_block
from vesalius.backbones.normalise import to_input
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.weights import weights_fingerprint
from vesalius.data.seen_images import SCHEMA, SeenImages, open_seen, write_seen
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.evaluation.embedding_map import embedding_map, map_made
from vesalius.evaluation.feature_kinds import asked_of_backbone, choose_kind, pool_features
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.interpret.attention_maps import attention_maps
from vesalius.interpret.guided_heads import name_heads
from vesalius.interpret.last_attention import last_attention

__all__ = ["see_images", "seen_folder"]

_AT_A_TIME = 32
_PARTIAL = 512  # images a file that is kept until all are seen


def seen_folder(run: Path, store: Store, *, size: tuple[int, int]) -> Path:
    """Return where it is kept: `RUN/explorer/<digest of weights, store and input size>`."""
    what = ["seen", SCHEMA, weights_fingerprint(run / "backbone"), store.fingerprint, size]
    return run / "explorer" / digest_of(what)[:16]


def see_images(
    run: Path,
    backbone: TimmBackbone,
    store: Store,
    *,
    guided: Mapping[str, int] | None = None,
    how: str = "umap",
    image_size: int | None = None,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> SeenImages:
    """Compute features, attention of the last block and a map, or open what was computed before.

    Work that was stopped goes on where it was: every 512 images are kept as they are done.

    Args:
        run: The run folder; written into its `explorer/`.
        backbone: Of the run, in evaluation mode.
        store: Whose images, all of them.
        guided: Part to head, as the recipe has it.
        how: The map, see `vesalius.evaluation.embedding_map`.
        image_size: Side of the input in pixels; by default the weights' own.
        device: `auto`, `cpu`, `cuda` or `mps`.
        advance: Told the images that are done.

    Raises:
        BackboneError: The backbone does not take this size.
        ConfigError: No such map.
        EvaluationError: Attention that is not finite.
        RunError: What was kept is damaged.
    """
    size = backbone.preprocessing.image_size if image_size is None else (image_size, image_size)
    folder, made = seen_folder(run, store, size=size), map_made(how, len(store))
    seen = open_seen(folder, images=len(store))
    if seen is not None:
        advance(len(store))
        return seen if seen.about["map"] == made else _with_map(folder, seen.about, seen.features, made)
    where = choose_device(device)
    backbone.to(where)
    parts = []
    for start in range(0, len(store), _PARTIAL):
        rows = np.arange(start, min(start + _PARTIAL, len(store)))
        kept = folder / "parts" / f"{start}.npz"
        kept_arrays(kept, lambda rows=rows: _see(backbone, store, rows, size, where))  # type: ignore[misc]
        parts.append(kept)
        advance(len(rows))
    heads = heads_of_last_block(backbone)
    about: dict[str, Any] = {
        "store": store.fingerprint,
        "weights": weights_fingerprint(run / "backbone"),
        "image_size": list(size),
        "heads": [one.caption for one in name_heads(dict(guided or {}), heads)],
        "whose_row": "[CLS]" if backbone.attention_heads else "average patch",
    }
    features = np.concatenate([_features(part) for part in parts])
    found = _with_map(folder, about, features, made, parts=parts)
    shutil.rmtree(folder / "parts", ignore_errors=True)
    return found


def _features(part: Path) -> Float16[np.ndarray, "images dim"]:
    with np.load(part, allow_pickle=False) as arrays:
        return np.asarray(arrays["features"])


def _with_map(
    folder: Path,
    about: Mapping[str, Any],
    features: Float16[np.ndarray, "images dim"],
    how: str,
    *,
    parts: Sequence[Path] = (),
) -> SeenImages:
    """Write it with places on a map."""
    places = embedding_map(np.asarray(features, dtype=np.float32), how=how)
    write_seen(folder, {**about, "map": how}, places, parts=parts)
    found = open_seen(folder, images=len(places))
    assert found is not None  # noqa: S101 (written above)
    return found


@torch.inference_mode()
def _see(
    backbone: TimmBackbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    size: tuple[int, int],
    where: torch.device,
) -> dict[str, npt.NDArray[Any]]:
    kind, heads = choose_kind(backbone, "auto"), heads_of_last_block(backbone)
    features, maps = [], []
    for start in range(0, len(rows), _AT_A_TIME):
        inputs = to_input(store.images[rows[start : start + _AT_A_TIME]], backbone, where, size)
        asked = asked_of_backbone(kind) | {"attention": bool(backbone.attention_heads)}
        found = backbone.forward_features(inputs, **asked)
        features.append(functional.normalize(pool_features(found, kind).float(), dim=1).half().cpu().numpy())
        if found.attention is not None:
            maps.append(_quantised(attention_maps(found.attention.float().cpu(), found.grid)))
        elif heads:
            maps.append(_quantised(last_attention(backbone, inputs)[0]))
    return {"features": np.concatenate(features)} | ({"attention": np.concatenate(maps)} if heads else {})


def _quantised(maps: Tensor) -> UInt8[np.ndarray, "images maps rows columns"]:
    """Bring every map to 0..255 by its highest value."""
    highest = maps.amax((2, 3), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    return np.asarray((maps / highest * 255).round().to(torch.uint8).cpu().numpy())
