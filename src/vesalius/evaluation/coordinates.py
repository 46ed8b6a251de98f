"""Does every patch know its place? What the predicted places give of themselves: a segmentation and a registration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from vesalius.backbones.interface import Backbone
from vesalius.backbones.load import load_backbone
from vesalius.data.kept_template import KeptTemplate, read_template
from vesalius.data.knowledge_maps import KnowledgeMaps
from vesalius.data.pool_record import count_seen, read_pool
from vesalius.data.store import Store
from vesalius.devices import choose_device
from vesalius.errors import EvaluationError
from vesalius.evaluation.features import look_at
from vesalius.evaluation.image_scores import score_images
from vesalius.evaluation.intervals import PatientResamples, draw_resamples
from vesalius.evaluation.mask_parts import given_maps, leave_out_labelled, mask_parts, with_images
from vesalius.evaluation.options import differing
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.guidance.kept_heads import PlacesHead, read_places_head
from vesalius.records.result import Result
from vesalius.registration.deformation import identity, warp
from vesalius.training.run_folder import RunFolder

__all__ = ["CoordinateOptions", "evaluate_coordinates", "field_of_view_mm", "predict_places"]

PLACES = "places"
"""Label of the result that scores the places themselves."""

_Figures = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinateOptions:
    """What shapes the figures; see `vesalius.evaluation.attention.AttentionOptions`."""

    image_size: int | None = None
    precision: str = "auto"
    bootstrap: int = 1000
    seed: int = 0


def evaluate_coordinates(
    run: Path,
    store: Store,
    *,
    parts: Sequence[str] = (),
    maps: KnowledgeMaps | None = None,
    options: CoordinateOptions = CoordinateOptions(),
    batch_size: int = 64,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Result, ...]:
    """Score what a run's patches say of their place in the template, and write the outcome.

    The template's parts, carried by the predicted places, are a segmentation that no mask but the template's own was
    needed for: Dice and IoU a part, beside the template's parts unmoved, the mean mask of all other images and, with
    maps, the registered exemplar. With maps of the same template the places themselves are scored as well, against
    the registration's and in pixels of the template, beside those of an image that is not moved at all and the mean
    place of all other images.

    Args:
        run: A run guided by coordinates.
        store: Images with masks.
        parts: Which; by default all that store and template share.
        maps: Knowledge maps of this store.
        options: What else shapes the figures.
        batch_size: Images at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
        advance: Told how many images the model has looked at.

    Raises:
        KnowledgeError: The run was not guided by coordinates.
        StoreError: The store has no masks.
        LabelError: A part that the masks do not hold.
        EvaluationError: Template and store share no part (a template without any needs maps, by which its places are
            scored), or the maps are of another template.
    """
    folder = RunFolder(run)
    head, template = read_places_head(folder.guidance), read_template(folder.guidance)
    if maps is not None and (not maps.has_coordinates or maps.frame != template.frame):
        raise EvaluationError(
            f"{maps.path}: maps of another template than the run's; make them with the exemplar it was trained by"
        )
    backbone = load_backbone(folder.backbone)
    there, rows = mask_parts(store, parts)
    rows, notes = leave_out_labelled(run, store, rows, maps)
    shared = {name: value for name, value in there.items() if name in template.names.names}
    places_alone = not template.names.names and maps is not None and not parts
    if (not shared or len(shared) < len(parts)) and not places_alone:
        raise EvaluationError(
            f"{store.path}: has masks of {', '.join(sorted(there))}, the run's template knows "
            f"{', '.join(template.names.names) or 'no parts'}"
        )
    places = predict_places(
        backbone,
        head,
        store,
        rows,
        image_size=options.image_size,
        precision=options.precision,
        batch_size=batch_size,
        device=device,
        advance=advance,
    )
    scoring = _Scoring(run, store, rows, maps, template, options, tuple(notes))
    results = [scoring.part(name, value, places) for name, value in shared.items()]
    if maps is not None:
        results.append(scoring.places(maps, places))
    return tuple(results)


@torch.inference_mode()
def predict_places(
    backbone: Backbone,
    head: PlacesHead,
    store: Store,
    rows: Int[np.ndarray, " rows"],
    *,
    image_size: int | None = None,
    precision: str = "auto",
    batch_size: int = 64,
    device: str = "auto",
    advance: Callable[[int], None] = lambda _: None,
) -> Float[Tensor, "rows 2 down across"]:
    """Predict where every patch's centre lies in the template (x, y as shares of its sides), on the patch grid."""
    head = head.to(choose_device(device))
    how: dict[str, Any] = {"image_size": image_size, "batch_size": batch_size, "device": device}
    how |= {"patches": not head.reads_inner, "inner": head.reads_inner}
    found = []
    for features in look_at(backbone, store, rows, precision=precision, **how):
        found.append(head(features).transpose(1, 2).unflatten(2, features.grid).cpu())
        advance(len(found[-1]))
    return torch.cat(found)


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What every result of one evaluation shares."""

    run: Path
    store: Store
    rows: npt.NDArray[np.int64]
    maps: KnowledgeMaps | None
    template: KeptTemplate
    options: CoordinateOptions
    notes: tuple[str, ...]

    def part(self, name: str, value: int, places: Tensor) -> Result:
        """Score the segmentation of one part."""
        truth = torch.from_numpy(self.store.masks[self.rows] == value)
        size = (truth.shape[1], truth.shape[2])
        own = self.template.parts[:, [self.template.names.names.index(name)]]
        masks = truth.float()
        maps = {
            "pretrained": warp(own, _enlarge(places, size))[:, 0],
            "mean_template": (masks.sum(0) - masks) / max(1, len(masks) - 1),
            "exemplar_unmoved": _enlarge(own, size)[:, 0].expand(len(masks), -1, -1),
        }
        registered = given_maps(self.maps, name, self.rows).get("registered_exemplar")
        if registered is not None:
            maps["registered_exemplar"] = _enlarge(registered[:, None] / 255, size)[:, 0]
        figures = {arm: _overlap(one > 0.5, truth) for arm, one in maps.items()}
        return self._finish(name, figures, first="dice", others=("mean_template", "registered_exemplar"))

    def places(self, maps: KnowledgeMaps, places: Tensor) -> Result:
        """Score the places themselves where the registration can be trusted."""
        found = torch.from_numpy(maps.coordinates[self.rows].astype(np.float32))
        trusted = (
            torch.from_numpy(maps.known[self.rows][:, 0] > 252)
            & torch.from_numpy(maps.guided[self.rows])[:, None, None]
        )
        size = (found.shape[2], found.shape[3])
        said = {
            "pretrained": _enlarge(places, size),
            "unmoved": identity(*size).expand(len(found), -1, -1, -1),
            "mean_template": (found.sum(0) - found) / max(1, len(found) - 1),
        }
        figures = {arm: self._distances(one, found, trusted) for arm, one in said.items()}
        return self._finish(PLACES, figures, first="error_px", others=("mean_template", "unmoved"))

    def _distances(self, said: Tensor, found: Tensor, trusted: Tensor) -> _Figures:
        """Return every image's mean distance over the trusted pixels; NaN where there is none."""
        side = torch.tensor([self.template.image.shape[3], self.template.image.shape[2]]).view(1, 2, 1, 1)
        distance = ((said - found) * side).norm(dim=1)
        share = (distance * trusted).sum((1, 2)) / trusted.sum((1, 2))
        figures = {"error_px": share.double().numpy()}
        width = field_of_view_mm(self.store.manifest.iloc[self.rows], self.store.size)
        if width is not None:
            figures["error_mm"] = figures["error_px"] * width / self.template.image.shape[3]
        return figures

    def _finish(self, label: str, figures: dict[str, _Figures], *, first: str, others: tuple[str, ...]) -> Result:
        """Average, say how it stands, and write."""
        patients = self.store.manifest["patient"].to_numpy()[self.rows]
        resamples: PatientResamples = draw_resamples(patients, resamples=self.options.bootstrap, seed=self.options.seed)
        found = score_images(figures, resamples)
        ours = found.find("pretrained", first)
        assert ours is not None  # noqa: S101 (every call scores the pretrained arm)
        changed = differing(self.options) | ({} if self.maps is None else {"maps": self.maps.digest[:8]})
        pool = read_pool(self.run / "pool.parquet")
        settings: dict[str, Any] = {
            "image_size": self.options.image_size,
            "precision": self.options.precision,
            "template_px": list(self.template.image.shape[2:]),
            "stores": [{"name": self.store.path.name, "fingerprint": self.store.fingerprint}],
            "seen_in_pretraining": None if pool is None else count_seen(pool, self.store, self.rows),
            "notes": list(self.notes),
            "changed": changed,
            "comparisons": found.compared(first),
        }
        settings |= {} if self.maps is None else {"maps": self.maps.path.name}
        result = Result(
            task="coordinates",
            label=label,
            kind="part" if label != PLACES else "distance",
            scores=found.scores,
            train_images=0,
            test_images=len(self.rows),
            train_patients=0,
            test_patients=resamples.counts.shape[1],
            protocol="masks",
            settings=settings,
            verdict=f"{label}: {first.replace('_', ' ')} {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f})"
            f"{', lower is better; ' if first.startswith('error') else '; '}"
            f"{found.stands(first, others)}.",
        )
        table = pd.concat([pd.DataFrame({"arm": arm, **one}) for arm, one in figures.items()], ignore_index=True)
        table = with_images(table, self.store, self.rows)
        folder = result_folder(
            self.run, task="coordinates", label=label, fingerprint=self.store.fingerprint, changed=changed
        )
        write_result(folder, result, predictions=table)
        return result


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _overlap(found: Tensor, truth: Tensor) -> _Figures:
    """Return Dice and IoU of every image; NaN where there is nothing of the part."""
    both = (found & truth).sum((1, 2)).double()
    sizes = found.sum((1, 2)) + truth.sum((1, 2))
    there = truth.any(2).any(1)
    dice = torch.where(there, 2 * both / sizes, torch.nan)
    iou = torch.where(there, both / (sizes - both), torch.nan)
    return {"dice": dice.numpy(), "iou": iou.numpy()}


def field_of_view_mm(manifest: pd.DataFrame, side: int) -> npt.NDArray[np.float64] | None:
    """Return the width in mm that each image's square in the store shows; None unless all pixel spacings are known.

    Args:
        manifest: Of the images.
        side: Of the square, in pixels.
    """
    if "spacing_x_mm" not in manifest or manifest["spacing_x_mm"].isna().any():
        return None
    width: npt.NDArray[np.float64] = (manifest["spacing_x_mm"] * manifest["scale_x"] * side).to_numpy(dtype=np.float64)
    return width
