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
from vesalius.evaluation.image_scores import ImageScores, resampled_ratios, score_images
from vesalius.evaluation.intervals import PatientResamples, draw_resamples, percentile_interval
from vesalius.evaluation.mask_parts import mask_parts
from vesalius.evaluation.options import differing
from vesalius.evaluation.segment_counts import PLACES, SegmentCounts, figures_of
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
        """Average over patients, say how it stands, and write.

        Args:
            name: Of the part, or `mean`.
            counts: By arm and amount of labels `[seeds, patients, parts, 5]`, see `segment_counts.figures_of`.
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
        told = score_images(_over_draws(figures), resamples)
        scores = [
            score.over_draws(np.nanmean(figures[score.arm][score.metric], axis=1).tolist()) for score in told.scores
        ]
        draws = dict(told.draws)
        for arm, one in counts.items():
            drawn, value = _pooled(one.sum(axis=0), resamples)
            draws[arm, POOLED] = drawn
            low, high = percentile_interval(drawn)
            pooled = Score(arm=arm, metric=POOLED, value=value, low=low, high=high)
            scores.append(pooled.over_draws([_pooled(draw)[1] for draw in one]))
        learned = self.job.images_learned(fraction)
        return ImageScores(tuple(replace(one, fraction=fraction, images=learned) for one in scores), draws)

    def _settings(self) -> dict[str, Any]:
        options = self.job.options
        return {
            **{key: getattr(options, key) for key in ("decoder", "image_size", "precision", "random_inits", "seeds")},
            "fractions": list(options.fractions),
            "sides": self.job.sides.reason,
            "backbone": self.backbone,
            "places": PLACES,
            "figures": "all images of a patient together; mean over draws of labels, then over patients; of iou_pooled "
            "all pixels of all patients and draws together",
            "stores": [{"name": self.job.store.path.name, "fingerprint": self.job.store.fingerprint}],
            "notes": self.notes,
            **self.told,
        }

    def _changed(self) -> dict[str, Any]:
        changed = differing(self.job.options)
        if set(self.job.parts) < set(mask_parts(self.job.store, ())[0]):
            changed["parts"] = sorted(self.job.parts)
        return changed


def pooled_pixels(table: pd.DataFrame) -> tuple[_Array, _Array]:
    """Read `[patients, parts]` pixels common to guess and truth, and those of either, from an arm's predictions."""
    common, union = (table[[name for name in table if str(name).startswith(kind)]] for kind in (_COMMON, _UNION))
    return common.to_numpy(dtype=np.float64), union.to_numpy(dtype=np.float64)


def _table(counts: Mapping[str, _Array], figures: _Figures, names: _Array, parts: Sequence[str]) -> pd.DataFrame:
    """Lay out every arm's figures of every patient, and the pixels that the pooled ones are of."""
    tables = []
    for arm, means in _over_draws(figures).items():
        common, union = _overlap(counts[arm].sum(axis=0))
        pixels = {f"{_COMMON}{part}": common[:, place] for place, part in enumerate(parts)}
        pixels |= {f"{_UNION}{part}": union[:, place] for place, part in enumerate(parts)}
        tables.append(pd.DataFrame({"arm": arm, **means, **pixels}))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "image_id", np.tile(names, len(counts)))
    table.insert(1, "patient", table["image_id"])
    return table


def _over_draws(figures: _Figures) -> dict[str, dict[str, _Array]]:
    """Average every patient's figures over the draws of labels."""
    return {arm: {key: each.mean(axis=0) for key, each in one.items()} for arm, one in figures.items()}


def _overlap(counts: _Array) -> tuple[_Array, _Array]:
    """Return the pixels common to guess and truth, and those of either, of counts `[..., 5]`."""
    common, predicted, true = (counts[..., place] for place in range(3))
    return common, predicted + true - common


def _pooled(counts: _Array, resamples: PatientResamples | None = None) -> tuple[npt.NDArray[np.float64], float]:
    """Return the pooled IoU of counts `[patients, parts, 5]` in every resample, and of all patients."""
    common, union = _overlap(counts)
    whole = resampled_ratios(common, union, None)
    return (whole if resamples is None else resampled_ratios(common, union, resamples)), float(whole[0])
