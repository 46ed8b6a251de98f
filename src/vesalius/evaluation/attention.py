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
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.data.pool_record import count_seen, read_pool
from vesalius.data.store import Store
from vesalius.evaluation.attention_arms import Arm, baseline_arms, head_arms
from vesalius.evaluation.attention_rows import attention_rows
from vesalius.evaluation.image_scores import score_images
from vesalius.evaluation.intervals import PatientResamples, draw_resamples
from vesalius.evaluation.mask_parts import given_maps, leave_out_labelled, mask_parts, with_images
from vesalius.evaluation.options import differing
from vesalius.evaluation.untrained_twin import TWIN_SEED, random_twin
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.interpret.localisation import average_precision, best_dice, enlarge, mass_overlap, pointing_game
from vesalius.records.result import Result, Score
from vesalius.training.run_folder import RunFolder

__all__ = ["AttentionOptions", "evaluate_attention"]

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
        maps: Knowledge maps of this store: their parts are scored as `registered_exemplar` (of the other templates
            `triangles`, `average_prediction`, `predicted_masks`), and the exemplar's own mask as `exemplar_unmoved`.
            An image whose own mask is the exemplar's is left out.
        options: What else shapes the figures.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        advance: Told how many images a model has looked at.

    Raises:
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold.
        BackboneError: The backbone gives no row of attention: no [CLS], or attention of its own kind.
        RunError: The run has no backbone, or the result cannot be written.
    """
    backbone = load_backbone(run / "backbone")
    names, rows = mask_parts(store, parts)
    rows, notes = leave_out_labelled(run, store, rows, maps)
    twin = random_twin(backbone, seed=TWIN_SEED + options.seed)
    how: dict[str, Any] = {"batch_size": batch_size, "device": device, "advance": advance}
    how |= {"image_size": options.image_size, "precision": options.precision}
    rows_of = {
        "pretrained": attention_rows(backbone, store, rows, **how),
        "random_init": attention_rows(twin, store, rows, **how),
    }
    labels = torch.from_numpy(store.masks[rows])
    patients = store.manifest["patient"].to_numpy()[rows]
    resamples = draw_resamples(patients, resamples=options.bootstrap, seed=options.seed)
    changed = _changed(options, maps)
    results = []
    for name, value in names.items():
        truth = labels == value
        arms = [
            arm
            for model, attention in rows_of.items()
            for arm in head_arms(
                model,
                attention,
                truth,
                assigned=_assigned(run, name, model),
                upsampling=options.upsampling,
                patients=patients,
            )
        ]
        grid = (rows_of["pretrained"].shape[2], rows_of["pretrained"].shape[3])
        arms += baseline_arms(truth, grid, given=given_maps(maps, name, rows))
        result, table = _score(name, arms, truth, resamples, options)
        result = _with_settings(
            result,
            run=run,
            store=store,
            rows=rows,
            backbone=backbone,
            options=options,
            maps=maps,
            changed=changed,
            notes=notes,
        )
        table = with_images(table, store, rows)
        folder = result_folder(run, task="attention", label=name, fingerprint=store.fingerprint, changed=changed)
        write_result(folder, result, predictions=table)
        results.append(result)
    return tuple(results)


def _assigned(run: Path, part: str, model: str) -> int | None:
    guidance = RunFolder(run).recipe().guidance
    if model != "pretrained" or guidance is None or guidance.attention is None:
        return None
    return guidance.attention.heads.get(part)


def _score(
    name: str, arms: Sequence[Arm], truth: Tensor, resamples: PatientResamples, options: AttentionOptions
) -> tuple[Result, pd.DataFrame]:
    """Score every arm by every metric; return the result without its settings, and the figures of every image."""
    notes, pooled = [], []
    figures: dict[str, _Figures] = {}
    for arm in arms:
        figures[arm.name], level, whole = _figures(arm, truth, options)
        notes.append({"arm": arm.name, "heads": list(arm.heads), "dice_threshold": round(level, 4)})
        nothing = float("nan")
        pooled.append(Score(arm=arm.name, metric="average_precision_pooled", value=whole, low=nothing, high=nothing))
    found = score_images(figures, resamples)
    ours = found.find("pretrained", "average_precision")
    assert ours is not None  # noqa: S101 (every call scores the pretrained arm)
    stands = found.stands("average_precision", ("mean_template", "random_init", "registered_exemplar"))
    result = Result(
        task="attention",
        label=name,
        kind="part",
        scores=(*found.scores, *pooled),
        train_images=0,
        test_images=len(truth),
        train_patients=0,
        test_patients=resamples.counts.shape[1],
        protocol="masks",
        settings={
            "arms": notes,
            "upsampling": options.upsampling,
            "mass": options.mass,
            "comparisons": found.compared("average_precision"),
        },
        verdict=f"{name}: average precision {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}); {stands}.",
    )
    return result, pd.concat([pd.DataFrame({"arm": arm, **one}) for arm, one in figures.items()], ignore_index=True)


def _figures(arm: Arm, truth: Tensor, options: AttentionOptions) -> tuple[_Figures, float, float]:
    """Return every image's figures, the threshold of the best Dice and the average precision of all pixels."""
    maps = enlarge(arm.maps[:, None], (truth.shape[1], truth.shape[2]), options.upsampling)[:, 0]
    level, dice = best_dice(maps, truth)
    overlap = mass_overlap(arm.maps, truth, mass=options.mass)
    figures = {
        "average_precision": average_precision(maps, truth),
        "pointing_game": pointing_game(maps, truth),
        f"iou_at_{options.mass:.0%}_mass".replace("%", "pct"): overlap,
        "best_dice": dice,
    }
    pooled = average_precision(maps.flatten()[None, None], truth.flatten()[None, None])
    return {name: values.double().numpy() for name, values in figures.items()}, level, float(pooled)


def _changed(options: AttentionOptions, maps: KnowledgeMaps | None) -> dict[str, Any]:
    """Return what tells this result from another of the same part: what differs from the defaults."""
    changed = differing(options)
    return changed if maps is None else changed | {"maps": maps.digest[:8]}


def _with_settings(
    result: Result,
    *,
    run: Path,
    store: Store,
    rows: npt.NDArray[np.int64],
    backbone: Backbone,
    options: AttentionOptions,
    maps: KnowledgeMaps | None,
    changed: Mapping[str, Any],
    notes: Sequence[str],
) -> Result:
    pool = read_pool(run / "pool.parquet")
    more = {
        "image_size": options.image_size or list(backbone.preprocessing.image_size),
        "backbone": backbone.name,
        "precision": options.precision,
        "stores": [{"name": store.path.name, "fingerprint": store.fingerprint}],
        "seen_in_pretraining": None if pool is None else count_seen(pool, store, rows),
        "notes": list(notes),
        "changed": changed,
    }
    more |= {} if maps is None else {"maps": maps.path.name}
    return replace(result, settings={**result.settings, **more})
