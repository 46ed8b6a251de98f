"""Are regions objects? How well the best region of an image covers a part of the anatomy, or any other mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.backbones.normalise import to_input
from vesalius.data.batches import ImagePool
from vesalius.data.gray import unit_pixels
from vesalius.data.knowledge_maps import find_maps
from vesalius.data.pool_record import count_seen, read_pool
from vesalius.data.region_maps import RegionPool
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import ConfigError
from vesalius.evaluation.features import autocast_bf16
from vesalius.evaluation.image_scores import score_images
from vesalius.evaluation.intervals import draw_resamples
from vesalius.evaluation.mask_parts import leave_out_labelled, mask_parts, with_images
from vesalius.evaluation.options import differing
from vesalius.evaluation.untrained_twin import TWIN_SEED, calibrate_batch_norm, random_twin, untrained_arms
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.methods.kmeans import kmeans
from vesalius.methods.regions import refine_regions
from vesalius.records.result import Result
from vesalius.records.view import View
from vesalius.training.run_folder import RunFolder

__all__ = ["RegionOptions", "best_overlap", "evaluate_regions", "regions_of"]

Labels = Integer[Tensor, "batch rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOptions:
    """What shapes the figures.

    Attributes:
        prior: Name of the store's maps that hold the prior regions.
        clusters: How many regions an image may have when they are joined, for every arm alike.
        stage: Whose features join them, see `Backbone.forward_stage`.
        image_size: Side of the input; by default the weights' own.
        precision: Of the forward pass.
        bootstrap: Resamples of the patients.
        seed: Of k-means, the untrained twin and the resamples.
    """

    prior: str = "slic"
    clusters: int = 8
    stage: int = -2
    image_size: int | None = None
    precision: str = "auto"
    bootstrap: int = 1000
    seed: int = 0


def evaluate_regions(
    run: Path,
    store: Store,
    *,
    parts: Sequence[str] = (),
    options: RegionOptions = RegionOptions(),
    batch_size: int = 32,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Result, ...]:
    """Score regions, joined by a run's features, against the masks of a store: a result a part, and one of their mean.

    The figure is the IoU of a part with the one region of the image that covers it best. Beside the run's backbone
    stand its untrained twin, superpixels joined by their mean brightness (or colour), the prior's own regions, k-means
    of the pixels with as many clusters, and the ceiling: the best that any joining of the prior could do.

    Args:
        run: Any run; its backbone must have stages.
        store: Images with masks and prior regions.
        parts: Which; by default all that the masks hold.
        options: What else shapes the figures.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        advance: Told how many images are done.

    Raises:
        ConfigError: Fewer than two clusters.
        KnowledgeError: The store has no such regions; make them with `vesalius guide STORE --template slic`.
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold.
        BackboneError: A backbone without such a stage.
    """
    if options.clusters < 2:
        raise ConfigError(f"clusters = {options.clusters}: expected 2 or more")
    there, rows = mask_parts(store, parts)
    maps = find_maps(store, options.prior)
    rows, notes = leave_out_labelled(run, store, rows, maps)
    prior = RegionPool(ImagePool([(store, rows)]), [maps])
    backbone = load_backbone(RunFolder(run).backbone)
    twin = random_twin(backbone, seed=TWIN_SEED + options.seed)
    arms = {"pretrained": backbone, "random_init": twin}
    for arm in untrained_arms(run):
        calibrate_batch_norm(arms[arm], store, rows, image_size=options.image_size, device=device)
    figures: dict[str, dict[str, list[Tensor]]] = {name: {} for name in there}
    shares: dict[str, npt.NDArray[np.float64]] = {name: np.full(len(rows), np.nan) for name in there}
    for start in range(0, len(rows), batch_size):
        chosen = np.arange(start, min(start + batch_size, len(rows)))
        regions = regions_of(arms, store, rows[chosen], prior, chosen, options=options, device=device)
        masks = torch.from_numpy(store.masks[rows[chosen]])
        for name, value in there.items():
            part = masks == value
            for arm, labels in regions.items():
                figures[name].setdefault(arm, []).append(best_overlap(labels, part))
            figures[name].setdefault("prior_ceiling", []).append(_ceiling(regions["prior_regions"], part))
            shares[name][chosen] = part.float().mean(dim=(1, 2)).numpy()
        advance(len(chosen))
    scoring = _Scoring(run, store, rows, prior, options, notes)
    overlaps = {
        name: {arm: torch.cat(one).double().numpy() for arm, one in of_arms.items()}
        for name, of_arms in figures.items()
    }
    results = [scoring.part(name, of_arms, shares[name]) for name, of_arms in overlaps.items()]
    if len(overlaps) > 1:
        arms_there = next(iter(overlaps.values()))
        whole = {arm: _mean_there([of_arms[arm] for of_arms in overlaps.values()]) for arm in arms_there}
        results.append(scoring.part("mean", whole, None))
    return tuple(results)


@torch.inference_mode()
def regions_of(
    arms: dict[str, Backbone],
    store: Store,
    rows: npt.NDArray[np.int64],
    prior: RegionPool,
    places: npt.NDArray[np.int64],
    *,
    options: RegionOptions,
    device: str = "auto",
) -> dict[str, Labels]:
    """Return the regions of some images by arm: of every backbone, and of the baselines.

    Args:
        arms: Backbones by name.
        store: The images.
        rows: Which.
        prior: Regions to join.
        places: Where these images are in `prior`.
        options: What else shapes them.
        device: Where it is computed.
    """
    where = choose_device(device)
    labels = prior.gather(places).to(where)
    images = store.images[rows]
    found: dict[str, Labels] = {}
    joined: dict[str, Any] = {"clusters": options.clusters, "over": "image"}
    for arm, backbone in arms.items():
        size = (options.image_size, options.image_size) if options.image_size else backbone.preprocessing.image_size
        pixels = to_input(images, backbone.to(where).eval(), where, size)
        bf16 = autocast_bf16(options.precision, where)
        with torch.autocast(where.type, dtype=torch.bfloat16, enabled=bf16):
            features = backbone.forward_stage(pixels, options.stage).float()
        found[arm] = refine_regions(features, labels, _whole(pixels), generator=_generator(options), **joined)
    shown = functional.interpolate(
        unit_pixels(images).to(where), size=labels.shape[1:], mode="bilinear", antialias=True, align_corners=False
    )
    # Brightness is a feature map like any other; normalised means of one channel would all be 1, so 1 stands beside.
    beside = torch.cat([shown, torch.ones_like(shown[:, :1])], dim=1)
    found["joined_by_brightness"] = refine_regions(
        beside, labels, _whole(shown), generator=_generator(options), **joined
    )
    vectors = shown.flatten(2).transpose(1, 2)
    there = torch.ones(vectors.shape[:2], dtype=torch.bool, device=where)
    by_pixel = kmeans(vectors, there, options.clusters, _generator(options)).view_as(labels)
    found |= {"prior_regions": labels.long(), "pixel_clusters": by_pixel}
    return {arm: one.cpu() for arm, one in found.items()}


def best_overlap(regions: Labels, mask: Bool[Tensor, "batch height width"]) -> Float[Tensor, "batch"]:
    """Return every image's IoU of the mask with the region that covers it best; NaN where the mask is empty."""
    inside, area, truth = _counts(regions, mask)
    best = (inside / (area + truth - inside).clamp_min(1)).amax(dim=1)
    return torch.where(truth[:, 0] > 0, best, torch.nan)


def _ceiling(regions: Labels, mask: Bool[Tensor, "batch height width"]) -> Float[Tensor, "batch"]:
    """Return the largest IoU of the mask with any union of regions: the purest first, cut where it is best."""
    inside, area, truth = _counts(regions, mask)
    order = (inside / area.clamp_min(1)).argsort(dim=1, descending=True)
    covered, whole = inside.gather(1, order).cumsum(dim=1), area.gather(1, order).cumsum(dim=1)
    best = (covered / (whole + truth - covered).clamp_min(1)).amax(dim=1)
    return torch.where(truth[:, 0] > 0, best, torch.nan)


def _mean_there(overlaps: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Average every image's figures over the parts that it shows; NaN where it shows none."""
    table = np.stack(overlaps)
    shown = (~np.isnan(table)).sum(axis=0)
    return np.where(shown > 0, np.nansum(table, axis=0) / np.maximum(shown, 1), np.nan)


def _counts(regions: Labels, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of each region inside the mask, of each region, and of the mask, at the mask's resolution."""
    size = (mask.shape[1], mask.shape[2])
    labels = functional.interpolate(regions[:, None].float(), size=size, mode="nearest-exact")[:, 0].long().flatten(1)
    within = mask.flatten(1).float()
    empty = torch.zeros(len(labels), int(labels.max()) + 1)
    inside = empty.scatter_add(1, labels, within)
    return inside, empty.scatter_add(1, labels, torch.ones_like(within)), within.sum(dim=1, keepdim=True)


def _whole(pixels: Tensor) -> View:
    """Return the view that shows all of its image, pixel by pixel."""
    identity = torch.eye(2, 3, device=pixels.device).expand(len(pixels), -1, -1)
    return View(pixels=pixels, affine=identity, image_size=(pixels.shape[2], pixels.shape[3]), name="whole")


def _generator(options: RegionOptions) -> torch.Generator:
    return torch.Generator().manual_seed(options.seed)


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What every result of one evaluation shares."""

    run: Path
    store: Store
    rows: npt.NDArray[np.int64]
    prior: RegionPool
    options: RegionOptions
    notes: list[str]

    def part(
        self, name: str, overlaps: dict[str, npt.NDArray[np.float64]], share: npt.NDArray[np.float64] | None
    ) -> Result:
        """Average over the images, say how it stands, write; `share`: how much of each image the part covers."""
        patients = self.store.manifest["patient"].to_numpy()[self.rows]
        resamples = draw_resamples(patients, resamples=self.options.bootstrap, seed=self.options.seed)
        found = score_images({arm: {"iou": values} for arm, values in overlaps.items()}, resamples)
        ours = found.find("pretrained", "iou")
        assert ours is not None  # noqa: S101 (scored above)
        changed = differing(self.options)
        pool = read_pool(self.run / "pool.parquet")
        settings: dict[str, Any] = {
            **{key: getattr(self.options, key) for key in ("clusters", "stage", "image_size", "precision")},
            "prior": self.prior.description(),
            "stores": [{"name": self.store.path.name, "fingerprint": self.store.fingerprint}],
            "seen_in_pretraining": None if pool is None else count_seen(pool, self.store, self.rows),
            "notes": self.notes,
            "changed": changed,
            "comparisons": found.compared("iou"),
        }
        result = Result(
            task="regions",
            label=name,
            kind="part",
            scores=found.scores,
            train_images=0,
            test_images=len(self.rows),
            train_patients=0,
            test_patients=resamples.counts.shape[1],
            protocol="masks",
            settings=settings,
            verdict=f"{name}: IoU of the best region {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}); "
            f"{found.stands('iou', ('random_init', 'joined_by_brightness', 'prior_regions', 'pixel_clusters'))}.",
        )
        of_image = {} if share is None else {"share": share}
        tables = [pd.DataFrame({"arm": arm, "iou": one} | of_image) for arm, one in overlaps.items()]
        table = pd.concat(tables, ignore_index=True)
        table = with_images(table, self.store, self.rows)
        folder = result_folder(
            self.run, task="regions", label=name, fingerprint=self.store.fingerprint, changed=changed
        )
        write_result(folder, result, predictions=table)
        return result
