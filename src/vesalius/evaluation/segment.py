"""Dense transfer: how well a backbone segments, frozen under a linear layer or trained with a decoder.

Beside stand an untrained twin, plain pixels and the mean mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import ConfigError, LabelError
from vesalius.evaluation.classifier import Setup
from vesalius.evaluation.dense_maps import DenseMaps, backbone_maps, pixel_maps
from vesalius.evaluation.features import autocast_bf16, backbone_fingerprint
from vesalius.evaluation.finetune import image_side
from vesalius.evaluation.kept_arrays import digest_of, kept_arrays
from vesalius.evaluation.mask_parts import leave_out_labelled, mask_parts
from vesalius.evaluation.segment_counts import SegmentCounts
from vesalius.evaluation.segment_networks import TrainedArm, check_draws
from vesalius.evaluation.segment_options import SegmentOptions
from vesalius.evaluation.segment_scores import SegmentScoring
from vesalius.evaluation.untrained_twin import TWIN_SEED, calibrate_batch_norm, random_twin, untrained_arms
from vesalius.progress import bar, say
from vesalius.records.result import Result
from vesalius.training.run_folder import RunFolder

__all__ = ["evaluate_segment"]

_Array = npt.NDArray[Any]

_DEFAULTS = SegmentOptions()


def evaluate_segment(
    run: Path,
    store: Store,
    *,
    parts: Sequence[str] = (),
    options: SegmentOptions = _DEFAULTS,
    batch_size: int = 32,
    device: str = "auto",
    cache: Path | None = None,
    keep_networks: bool = False,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Score a run by the masks of a store, and write the outcome: a result a part, and one of their mean.

    Decoder `linear`: a linear layer (`vesalius.evaluation.place_classifier`) learns what part each place of the maps
    belongs to, from labelled patients of the training side; its logits, brought to the masks' resolution, decide every
    pixel. Dice and IoU are taken over all images of a patient together, `iou_pooled` over those of all patients, the
    Hausdorff distance image by image; patients without the part are left out.

    Another decoder is trained with the backbone as its encoder (`vesalius.evaluation.segmentation_network`), in rounds
    chosen by patients held out, and the untrained twin from scratch in the same way. Every training is kept.

    Beside the run's backbone stand its untrained twin, plain pixels with their neighbours and place (the same layer),
    and the mean mask of what was learned from, which looks at no image.

    Args:
        run: Any run; its backbone must have stages.
        store: Images with masks.
        parts: Which; by default all that the masks hold.
        options: What else shapes the figures.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        cache: Where the counts of every arm are kept (`segmented/`), the run by default: a killed evaluation goes on,
            and those that share the folder share their baselines.
        keep_networks: Whether the networks of the largest amount of labels, in its first draw, stay in the run, as
            `segmented/*.safetensors`, so that they can be explained.
        progress: Show a bar.

    Raises:
        ConfigError: Unknown protocol or an amount of labels that is none.
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold, or none of the scored images, or none of the labelled ones, or,
            where a network is trained, of those held out.
        SplitError: Too few patients.
        BackboneError: A backbone without stages, or without those that the decoder needs.
        EvaluationError: The loss of a training is not finite.
    """
    if keep_networks and not options.trained:
        raise ConfigError(
            f"decoder {options.decoder} trains no network that could be kept; use fpn, unet, deeplabv3, fcn"
        )
    there, rows = mask_parts(store, parts)
    rows, notes = leave_out_labelled(run, store, rows)
    job = SegmentCounts(store, rows, there, options=options, batch_size=batch_size)
    _check_test_side(job)
    check_draws(job)
    backbone = load_backbone(RunFolder(run).backbone)
    where = choose_device(device)
    size = backbone.preprocessing.image_size if options.image_size is None else (options.image_size,) * 2
    twins = [random_twin(backbone, seed=TWIN_SEED + options.seed + one) for one in range(options.random_inits)]
    kept = (cache or run) / "segmented"
    networks: dict[str, list[Backbone]] = {"pretrained": [backbone], "random_init": twins}
    if options.trained:
        side = image_side(backbone, options.image_size)
        setup = Setup(where, autocast_bf16(options.precision, where), side)
        counts, told = _trained(
            job,
            networks,
            untrained_arms(run),
            setup,
            kept,
            keep=run / "segmented" if keep_networks else None,
            progress=progress,
        )
    else:
        for twin in (one for name in untrained_arms(run) for one in networks[name]):
            calibrate_batch_norm(twin, store, rows, image_size=options.image_size, device=device)
        counts, told = _layers(job, networks, where, kept, size=(size[0], size[1]), progress=progress), {}
    counts |= _pixels(job, kept, size=(size[0], size[1]), progress=progress)
    counts["mean_mask"] = job.of_mean_mask()
    scoring = SegmentScoring(run, job, backbone.name, notes, told)
    results = [scoring.result(name, counts, [place]) for place, name in enumerate(there)]
    if len(there) > 1:
        results.append(scoring.result("mean", counts, list(range(len(there)))))
    return tuple(results)


def _check_test_side(job: SegmentCounts) -> None:
    """Refuse a part that could not be scored.

    Raises:
        LabelError: No image of the test side shows it.
    """
    shown = job.shown[job.sides.test]
    missing = [name for place, name in enumerate(job.parts) if not shown[:, place].any()]
    if missing:
        raise LabelError(
            f"{job.store.path}: none of the {len(job.sides.test)} images of the test side shows {', '.join(missing)}, "
            "so that there is nothing to score; name the others (--label; in a study's table parts: [...]), "
            "or take --protocol folds"
        )


def _trained(
    job: SegmentCounts,
    networks: Mapping[str, Sequence[Backbone]],
    untrained: frozenset[str],
    setup: Setup,
    kept: Path,
    *,
    keep: Path | None,
    progress: bool,
) -> tuple[dict[str, Mapping[float, _Array]], dict[str, Any]]:
    """Train every network; return the counts by arm, and what is told of the trainings."""
    arms = {
        name: TrainedArm(job, inits, name not in untrained, setup, kept, arm=name, keep=keep)
        for name, inits in networks.items()
    }
    steps = sum(arm.steps() for arm in arms.values())
    if progress:
        seconds = arms["pretrained"].seconds_a_step()
        cost = f"{steps:,} steps at most, {seconds:.2f} s each: up to {steps * seconds / 60:.0f} minutes"
        say(f"segment: {cost}; what is done stays done", show=True)
    with bar("segment", steps, show=progress) as advance:
        counts: dict[str, Mapping[float, _Array]] = {name: arm.counts(advance) for name, arm in arms.items()}
    fits = [{"arm": name} | fit for name, arm in arms.items() for fit in arm.fits]
    training = job.options.training.model_dump(mode="json")
    return counts, {"training": training, "fits": fits, "held_out_images": len(job.draws[0].held_out)}


def _layers(
    job: SegmentCounts,
    networks: Mapping[str, Sequence[Backbone]],
    device: torch.device,
    kept: Path,
    *,
    size: tuple[int, int],
    progress: bool,
) -> dict[str, Mapping[float, _Array]]:
    """Fit a linear layer on the frozen maps of every network."""
    half = autocast_bf16(job.options.precision, device)
    prints = {name: [backbone_fingerprint(one) for one in inits] for name, inits in networks.items()}
    arms = {
        name: _Arm(
            [prints[name] if name == "random_init" else prints[name][0], size, half],
            [_maps(one, device, job.options) for one in inits],
        )
        for name, inits in networks.items()
    }
    with bar("segment", sum(job.fits(len(arm.inits)) for arm in arms.values()), show=progress) as advance:
        return {name: arm.counts(job, kept, advance) for name, arm in arms.items()}


def _pixels(
    job: SegmentCounts, kept: Path, *, size: tuple[int, int], progress: bool
) -> dict[str, Mapping[float, _Array]]:
    with bar("pixels", job.fits(1), show=progress) as advance:
        return {"pixels": _Arm(["pixels", size], [pixel_maps(size)]).counts(job, kept, advance)}


@dataclass(frozen=True, slots=True)
class _Arm:
    """Maps that a layer is fitted on: their initialisations, and all that tells them from others."""

    about: Any
    inits: Sequence[DenseMaps]

    def counts(self, job: SegmentCounts, folder: Path, advance: Callable[[int], None]) -> Mapping[float, _Array]:
        """Return what was counted of it, from the folder or counted now."""
        path = folder / f"{digest_of([self.about, job.about], job.rows)}.npz"
        counts = kept_arrays(
            path,
            lambda: {repr(one): of for one, of in job.of_maps(self.inits, advance).items()},
            found=lambda: advance(job.fits(len(self.inits))),
        )
        return {float(fraction): one for fraction, one in counts.items()}


def _maps(backbone: Backbone, device: torch.device, options: SegmentOptions) -> DenseMaps:
    return backbone_maps(backbone, image_size=options.image_size, device=device, precision=options.precision)
