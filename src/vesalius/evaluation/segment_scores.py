"""What segmentations counted, scored: a figure an arm and amount of labels, with intervals over patients, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vesalius.data.pool_record import count_seen, read_pool
from vesalius.evaluation.image_scores import ImageScores, resampled_ratios, score_draws, score_images
from vesalius.evaluation.intervals import PatientResamples, draw_resamples
from vesalius.evaluation.mask_parts import mask_parts
from vesalius.evaluation.options import differing
from vesalius.evaluation.segment_counts import PLACES, SegmentCounts
from vesalius.evaluation.segment_figures import figures_of
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.records.result import Result, Score

__all__ = ["POOLED", "SegmentScoring", "pooled_pixels"]

POOLED = "iou_pooled"
"""IoU of the pixels of all images together, the mean over parts: what Cityscapes calls mIoU.

PASCAL VOC's own is the mean over 21 classes, the background among them, which is no part and left out here.
"""

_COMMON, _UNION = "common_", "union_"  # columns of predictions, by part

_Array = npt.NDArray[Any]
_Figures = Mapping[str, Mapping[str, _Array]]
"""By arm and metric `[seeds, patients]`."""


@dataclass(frozen=True, slots=True)
class SegmentScoring:
    """What every result of one evaluation shares.

    Attributes:
        run: Whose.
        job: Who learned from which masks.
        backbone: Its name.
        notes: For the reader.
        told: Of trainings, where there were any.
    """

    run: Path
    job: SegmentCounts
    backbone: str
    notes: list[str]
    told: dict[str, Any]

    def result(self, name: str, counts: Mapping[str, Mapping[float, _Array]], places: Sequence[int]) -> Result:
        """Average over patients and draws of labels, say how it stands, and write.

        Args:
            name: Of the part, or `mean`.
            counts: By arm and amount of labels `[seeds, patients, parts, columns]`, see
                `segment_figures.figures_of`.
            places: The parts that it is of.
        """
        job, options = self.job, self.job.options
        scored = np.unique(job.code[job.sides.test])
        resamples = draw_resamples(job.names[scored], resamples=options.bootstrap, seed=options.seed)
        scores: list[Score] = []
        comparisons: list[dict[str, Any]] = []
        for fraction in options.fractions:
            mine = {arm: one[fraction][:, scored][:, :, places] for arm, one in counts.items()}
            figures = {arm: figures_of(one, job.unit) for arm, one in mine.items()}
            told = self._scored(mine, figures, fraction, resamples)
            scores += told.scores
            comparisons += told.compared("dice", fraction=fraction)
        ours = told.find("pretrained", "dice")  # of the largest amount
        assert ours is not None  # noqa: S101 (scored above)
        pool = read_pool(self.run / "pool.parquet")
        changed = self._changed()
        result = Result(
            task="segment",
            label=name,
            kind="part",
            scores=tuple(scores),
            train_images=len(job.sides.train),
            test_images=len(job.sides.test),
            train_patients=len(np.unique(job.patients[job.sides.train])),
            test_patients=len(scored),
            protocol=job.sides.protocol,
            settings=self._settings()
            | {
                "seen_in_pretraining": None if pool is None else count_seen(pool, job.store, job.rows[job.sides.test]),
                "changed": changed,
                "comparisons": comparisons,
            },
            verdict=f"{name}: Dice {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}); "
            f"{told.stands('dice', ('random_init', 'pixels', 'mean_mask'))}.",
        )
        folder = result_folder(self.run, task="segment", label=name, fingerprint=job.store.fingerprint, changed=changed)
        table = _table(mine, figures, job.names[scored], [list(job.parts)[one] for one in places])
        write_result(folder, result, predictions=table)
        return result

    def _scored(
        self, counts: Mapping[str, _Array], figures: _Figures, fraction: float, resamples: PatientResamples
    ) -> ImageScores:
        """Score every arm at one amount of labels."""
        told = score_images(figures, resamples)
        scores, draws = list(told.scores), dict(told.draws)
        for arm, one in counts.items():
            overlaps = [_overlap(draw) for draw in one]
            values = [float(resampled_ratios(common, union, None)[0]) for common, union in overlaps]
            draws[arm, POOLED] = [resampled_ratios(common, union, resamples) for common, union in overlaps]
            scores.append(score_draws(arm, POOLED, values, draws[arm, POOLED]))
        learned = self.job.images_learned(fraction)
        return ImageScores(tuple(replace(one, fraction=fraction, images=learned) for one in scores), draws)

    def _settings(self) -> dict[str, Any]:
        options, volumes = self.job.options, self.job.volumes
        left_out = [f"hd95_3d_mm leaves images out: {volumes.why}"] if volumes.slices and volumes.left else []
        return {
            **{key: getattr(options, key) for key in ("decoder", "image_size", "precision", "random_inits", "seeds")},
            "fractions": list(options.fractions),
            "sides": self.job.sides.reason,
            "backbone": self.backbone,
            "places": PLACES,
            "figures": "all images of a patient together; mean over patients, of iou_pooled all pixels of all patients "
            "together; then over draws of labels, whose bootstrap distributions the intervals pool; "
            f"hd95_{self.job.unit} the mean over the slices that show the part",
            "volumes": {
                "whole": len(volumes.whole),
                "hd95_3d_mm": "in whole volumes, the mean over those of a patient" if volumes.whole else "not given",
                "left_out": volumes.why,
            },
            "stores": [{"name": self.job.store.path.name, "fingerprint": self.job.store.fingerprint}],
            "notes": [*self.notes, *left_out],
            **self.told,
        }

    def _changed(self) -> dict[str, Any]:
        changed = differing(self.job.options)
        if set(self.job.parts) < set(mask_parts(self.job.store, ())[0]):
            changed["parts"] = sorted(self.job.parts)
        return changed


def pooled_pixels(table: pd.DataFrame) -> tuple[_Array, _Array]:
    """Read `[patients, parts]` pixels common to guess and truth, and those of either, of a draw's predictions."""
    common, union = (table[[name for name in table if str(name).startswith(kind)]] for kind in (_COMMON, _UNION))
    return common.to_numpy(dtype=np.float64), union.to_numpy(dtype=np.float64)


def _table(counts: Mapping[str, _Array], figures: _Figures, names: _Array, parts: Sequence[str]) -> pd.DataFrame:
    """Lay out every arm's and draw's figures of every patient, and the pixels that the pooled ones are of."""
    tables = []
    for arm, each in figures.items():
        for seed, draw in enumerate(counts[arm]):
            common, union = _overlap(draw)
            pixels = {f"{_COMMON}{part}": common[:, place] for place, part in enumerate(parts)}
            pixels |= {f"{_UNION}{part}": union[:, place] for place, part in enumerate(parts)}
            own = {key: values[seed] for key, values in each.items()}
            tables.append(
                pd.DataFrame({"image_id": names, "patient": names, "arm": arm, "seed": seed, **own, **pixels})
            )
    return pd.concat(tables, ignore_index=True)


def _overlap(counts: _Array) -> tuple[_Array, _Array]:
    """Return the pixels common to guess and truth, and those of either, of counts `[..., columns]`."""
    common, predicted, true = (counts[..., place] for place in range(3))
    return common, predicted + true - common
