"""Average precision of detections by COCO's own code (pycocotools), with its bootstrap over patients, or images."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.errors import ConfigError

__all__ = ["METRICS", "average_precision", "check_installed"]

METRICS = ("ap_box", "ap50_box", "ap75_box", "ap_mask", "ap50_mask", "ap75_mask")
"""Mean over IoU of .5 to .95, at .5 and at .75; of boxes and of masks."""

_KINDS = {"bbox": "box", "segm": "mask"}
_AT = {"ap": slice(None), "ap50": 0, "ap75": 5}
"""Places among the ten IoU thresholds."""

_MOST = 100
"""Detections an image that count, as COCO has it."""

_Figures = dict[str, tuple[float, npt.NDArray[np.float64]]]


def average_precision(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    resamples: int,
    seed: int,
    patients: Mapping[int, str] | None = None,
) -> _Figures:
    """Return every metric of `METRICS`: its value, and its values over resampled patients, or images.

    Classes without any object among the images drawn count nowhere, as in COCO.

    Args:
        truth: Images, annotations and categories in COCO's format.
        detections: `image_id`, `category_id`, `bbox` (x, y, width, height), `score` and `segmentation` (run lengths).
        resamples: How many.
        seed: Of what is drawn, alike for all that are scored on these images.
        patients: Of every image by its id: all images of a patient are drawn together. None draws images.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not detections:
        return {name: (0.0, np.zeros(resamples)) for name in METRICS}
    drawn = _drawn(sorted(one["id"] for one in truth["images"]), patients, resamples=resamples, seed=seed)
    found: _Figures = {}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        real = COCO()
        real.dataset = copy.deepcopy(dict(truth))  # it writes into it
        real.createIndex()
        guessed = real.loadRes([dict(one) for one in detections])
        for kind, word in _KINDS.items():
            run = COCOeval(real, guessed, kind)
            run.params.areaRng, run.params.areaRngLbl = [[0.0, 1e10]], ["all"]
            run.params.maxDets = [_MOST]
            run.evaluate()
            values = _accumulated(run)
            each = [_accumulated(run, one) for one in drawn]
            for name in _AT:
                found[f"{name}_{word}"] = (values[name], np.array([one[name] for one in each]))
    return {name: found[name] for name in METRICS}


def _drawn(
    images: Sequence[int], patients: Mapping[int, str] | None, *, resamples: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Draw patients with replacement, and return the places of their images; without patients, images themselves."""
    names = np.array(images if patients is None else [patients[one] for one in images])
    _, code = np.unique(names, return_inverse=True)
    own = [np.flatnonzero(code == number) for number in range(code.max() + 1)]
    chosen = np.random.default_rng(seed).integers(len(own), size=(resamples, len(own)))
    return [np.concatenate([own[number] for number in one]) for one in chosen]


def _accumulated(run: Any, images: npt.NDArray[np.int64] | None = None) -> dict[str, float]:
    """Return the figures of all images, or of some of them drawn with repetition."""
    whole, numbers = run.evalImgs, run.params.imgIds
    if images is not None:
        by_class = np.arange(len(whole)).reshape(-1, len(numbers))  # (class, image)
        # Read for how many there are: patients drawn have not the images of all.
        run.params.imgIds = run._paramsEval.imgIds = list(range(len(images)))
        run.evalImgs = [whole[place] for place in by_class[:, images].ravel()]
    run.accumulate()
    run.evalImgs = whole
    run.params.imgIds = run._paramsEval.imgIds = numbers
    precision = run.eval["precision"][:, :, :, 0, 0]  # (IoU, recall, class); -1 where a class has no object
    return {name: _mean(precision[at]) for name, at in _AT.items()}


def _mean(precision: npt.NDArray[np.float64]) -> float:
    there = precision[precision > -1]
    return float(there.mean()) if len(there) else float("nan")


def check_installed() -> None:
    """Refuse detection where what it needs is not there.

    Raises:
        ConfigError: pycocotools is not installed.
    """
    try:
        import pycocotools  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"detection needs a package that is not installed ({error.name}): pip install 'vesalius[detection]'"
        ) from error
