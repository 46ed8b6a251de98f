"""Does attention find the anatomy? Every part of a labelled store, scored beside the maps that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.data.pool_record import count_seen, read_pool
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import EvaluationError, LabelError, nearest
from vesalius.evaluation.attention_arms import Arm, baseline_arms, head_arms
from vesalius.evaluation.features import autocast_bf16, to_input
from vesalius.evaluation.intervals import PatientResamples, draw_resamples, percentile_interval
from vesalius.evaluation.untrained_twin import random_twin
from vesalius.evaluation.verdict import compare
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.interpret.attention_maps import attention_maps
from vesalius.interpret.localisation import average_precision, best_dice, enlarge, mass_overlap, pointing_game
from vesalius.records.result import Result, Score
from vesalius.training.run_folder import RunFolder

__all__ = ["AttentionOptions", "attention_rows", "evaluate_attention"]

_TWIN_SEED = 1_000_003
_Figures = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionOptions:
    """What shapes the figures.

    Attributes:
        image_size: Side of the input; by default the size that belongs to the weights. Larger inputs have finer maps.
        upsampling: `bilinear` or `nearest`, from the patch grid to the mask's pixels.
        mass: Share of the attention whose patches are compared with the part.
        precision: `auto`, `bf16` or `fp32`.
        bootstrap: Resamples of the patients.
        seed: Of the resamples and of the untrained twin.
    """

    image_size: int | None = None
    upsampling: str = "bilinear"
    mass: float = 0.6
    precision: str = "auto"
    bootstrap: int = 1000
    seed: int = 0


def evaluate_attention(
    run: Path,
    store: Store,
    *,
    parts: Sequence[str] = (),
    maps: KnowledgeMaps | None = None,
    options: AttentionOptions = AttentionOptions(),
    batch_size: int = 64,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Result, ...]:
    """Score the last block's attention against the masks of a store, part by part, and write the outcome.

    Args:
        run: The run folder.
        store: Images with masks.
        parts: Which; by default all of the store.
        maps: Knowledge maps of this store: their parts are scored as `registered_exemplar`, and the exemplar's own mask
            as `exemplar_unmoved`.
        options: What else shapes the figures.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        advance: Told how many images a model has looked at.

    Raises:
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold.
        BackboneError: The backbone has no [CLS].
        RunError: The run has no backbone, or the result cannot be written.
    """
    backbone = load_backbone(run / "backbone")
    names, rows = _parts(store, parts)
    twin = random_twin(backbone, seed=_TWIN_SEED + options.seed)
    how: dict[str, Any] = {"batch_size": batch_size, "device": device, "advance": advance, "options": options}
    rows_of = {
        "pretrained": attention_rows(backbone, store, rows, **how),
        "random_init": attention_rows(twin, store, rows, **how),
    }
    labels = torch.from_numpy(store.masks[rows])
    resamples = draw_resamples(
        store.manifest["patient"].to_numpy()[rows], resamples=options.bootstrap, seed=options.seed
    )
    changed = _changed(options, maps)
    results = []
    for name, value in names.items():
        truth = labels == value
        arms = [
            arm
            for model, attention in rows_of.items()
            for arm in head_arms(
                model, attention, truth, assigned=_assigned(run, name, model), upsampling=options.upsampling
            )
        ]
        grid = (rows_of["pretrained"].shape[2], rows_of["pretrained"].shape[3])
        arms += baseline_arms(truth, grid, given=_given(maps, name, rows))
        result, table = _score(name, arms, truth, resamples, options)
        result = _with_settings(
            result, run=run, store=store, rows=rows, backbone=backbone, options=options, changed=changed
        )
        table.insert(0, "image_id", np.tile(store.manifest["source"].to_numpy()[rows], len(arms)))
        folder = result_folder(run, task="attention", label=name, fingerprint=store.fingerprint, changed=changed)
        write_result(folder, result, predictions=table)
        results.append(result)
    return tuple(results)


@torch.inference_mode()
def attention_rows(
    backbone: Backbone,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    options: AttentionOptions,
    batch_size: int = 64,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> Float[Tensor, "images heads down across"]:
    """Compute every head's [CLS] attention over the patch grid, each map summing to 1."""
    where = choose_device(device)
    size = backbone.preprocessing.image_size if options.image_size is None else (options.image_size,) * 2
    half = autocast_bf16(options.precision, where)
    backbone = backbone.to(where).eval()
    parts = []
    for start in range(0, len(rows), batch_size):
        inputs = to_input(store.images[rows[start : start + batch_size]], backbone, where, size)
        with torch.autocast(where.type, dtype=torch.bfloat16, enabled=half):
            features = backbone.forward_features(inputs, patches=False, attention=True)
        assert features.attention is not None  # noqa: S101 (asked for)
        parts.append(attention_maps(features.attention.float().cpu(), features.grid))
        advance(len(inputs))
    return torch.cat(parts)


def _parts(store: Store, wanted: Sequence[str]) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
    """Return the value of every part in the label maps, and the rows that have masks."""
    store.masks  # noqa: B018 (refuses a store without masks)
    there = {name: value for value, name in enumerate(store.info["arrays"]["masks"]["parts"]) if value > 0}
    for name in wanted:
        if name not in there:
            raise LabelError(
                f"{store.path}: its masks have no part {name!r}; parts: {sorted(there)}{nearest(name, there)}"
            )
    rows = np.flatnonzero(store.manifest["has_masks"].to_numpy(dtype=bool)).astype(np.int64)
    if not len(rows):
        raise EvaluationError(f"{store.path}: no image has a mask; attention has nothing to be compared with")
    return {name: there[name] for name in (wanted or there)}, rows


def _assigned(run: Path, part: str, model: str) -> int | None:
    guidance = RunFolder(run).recipe().guidance
    if model != "pretrained" or guidance is None or guidance.attention is None:
        return None
    return guidance.attention.heads.get(part)


def _given(maps: KnowledgeMaps | None, part: str, rows: npt.NDArray[np.int64]) -> Mapping[str, Tensor]:
    if maps is None or part not in maps.names.names:
        return {}
    channel = maps.names.names.index(part)
    moved = torch.from_numpy(maps.parts[rows][:, channel]).float()
    given = {"registered_exemplar": moved}
    if maps.still is not None:
        given["exemplar_unmoved"] = torch.from_numpy(maps.still[channel]).float().expand(len(moved), -1, -1)
    return given


def _score(
    name: str, arms: Sequence[Arm], truth: Tensor, resamples: PatientResamples, options: AttentionOptions
) -> tuple[Result, pd.DataFrame]:
    """Score every arm by every metric; return the result without its settings, and the figures of every image."""
    size = (truth.shape[1], truth.shape[2])
    scores: list[Score] = []
    draws: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
    tables, notes = [], []
    for arm in arms:
        maps = enlarge(arm.maps[:, None], size, options.upsampling)[:, 0]
        level, dice = best_dice(maps, truth)
        figures: _Figures = {
            "average_precision": average_precision(maps, truth).double().numpy(),
            "pointing_game": pointing_game(maps, truth).double().numpy(),
            f"iou_at_{options.mass:.0%}_mass".replace("%", "pct"): mass_overlap(arm.maps, truth, mass=options.mass)
            .double()
            .numpy(),
            "best_dice": dice.double().numpy(),
        }
        notes.append({"arm": arm.name, "heads": list(arm.heads), "dice_threshold": round(level, 4)})
        for metric, values in figures.items():
            draws[arm.name, metric] = _resampled(values, resamples)
            low, high = percentile_interval(draws[arm.name, metric])
            scores.append(Score(arm=arm.name, metric=metric, value=float(np.nanmean(values)), low=low, high=high))
        pooled = average_precision(maps.flatten()[None, None], truth.flatten()[None, None])
        scores.append(
            Score(
                arm=arm.name,
                metric="average_precision_pooled",
                value=float(pooled),
                low=float("nan"),
                high=float("nan"),
            )
        )
        tables.append(pd.DataFrame({"arm": arm.name, **figures}))
    ours = _find(scores, "pretrained")
    stands = []
    for other in ("mean_template", "random_init", "registered_exemplar"):
        theirs = _find(scores, other)
        if ours is not None and theirs is not None:
            key = "average_precision"
            it = compare(ours, theirs, [draws["pretrained", key]], [draws[other, key]])
            apart = ", intervals apart" if it.separate else ""
            stands.append(
                f"{it.word} {other.replace('_', ' ')} {theirs.value:.3f} ({it.difference:+.3f}, "
                f"{it.low:+.3f} to {it.high:+.3f}{apart})"
            )
    assert ours is not None  # noqa: S101 (every call scores the pretrained arm)
    verdict = f"{name}: average precision {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}); {'; '.join(stands)}."
    images, patients = len(truth), resamples.counts.shape[1]
    return (
        Result(
            task="attention",
            label=name,
            kind="part",
            scores=tuple(scores),
            train_images=0,
            test_images=images,
            train_patients=0,
            test_patients=patients,
            protocol="masks",
            settings={"arms": notes, "upsampling": options.upsampling, "mass": options.mass},
            verdict=verdict,
        ),
        pd.concat(tables, ignore_index=True),
    )


def _resampled(values: npt.NDArray[np.float64], resamples: PatientResamples) -> npt.NDArray[np.float64]:
    """Mean of the images' figures in every resample, images without the part left out."""
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    means = [
        (weights @ filled) / np.maximum(weights @ there.astype(np.float64), 1e-12) for weights in resamples.weights()
    ]
    return np.concatenate(means)


def _find(scores: Sequence[Score], arm: str) -> Score | None:
    return next((one for one in scores if one.arm == arm and one.metric == "average_precision"), None)


def _changed(options: AttentionOptions, maps: KnowledgeMaps | None) -> dict[str, Any]:
    """Return what tells this result from another of the same part: what differs from the defaults."""
    defaults = AttentionOptions()
    asked = {name: getattr(options, name) for name in ("image_size", "upsampling", "mass")}
    changed = {name: value for name, value in asked.items() if value != getattr(defaults, name)}
    return changed if maps is None else changed | {"maps": maps.digest[:8]}


def _with_settings(
    result: Result,
    *,
    run: Path,
    store: Store,
    rows: npt.NDArray[np.int64],
    backbone: Backbone,
    options: AttentionOptions,
    changed: Mapping[str, Any],
) -> Result:
    pool = read_pool(run / "pool.parquet")
    more = {
        "image_size": options.image_size or list(backbone.preprocessing.image_size),
        "backbone": backbone.name,
        "precision": options.precision,
        "stores": [{"name": store.path.name, "fingerprint": store.fingerprint}],
        "seen_in_pretraining": None if pool is None else count_seen(pool, store.manifest.iloc[rows]),
        "notes": [],
        "changed": changed,
    }
    return replace(result, settings={**result.settings, **more})
