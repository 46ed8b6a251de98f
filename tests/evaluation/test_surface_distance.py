"""The Hausdorff distance against MONAI, by hand, and where nothing was found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from vesalius.evaluation.surface_distance import hausdorff_95


def blob(seed: int, *, size: int = 48) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 4)
    return noise > np.quantile(noise, 0.7)


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
@pytest.mark.parametrize("pixel", [(1.0, 1.0), (1.5, 0.7)])
def test_monais_figure(pixel: tuple[float, float]) -> None:
    from monai.metrics import compute_hausdorff_distance

    for seed in range(5):
        found, true = blob(seed), blob(seed + 50)
        given = [torch.from_numpy(one)[None, None].float() for one in (found, true)]
        theirs = compute_hausdorff_distance(*given, percentile=95, include_background=True, spacing=list(pixel))
        assert hausdorff_95(found, true, pixel=pixel) == pytest.approx(float(theirs), rel=1e-5)


def test_by_hand() -> None:
    true = np.zeros((20, 30), dtype=bool)
    true[5:10, 5:10] = True
    assert hausdorff_95(true, true) == 0
    assert hausdorff_95(np.roll(true, 3, axis=1), true, pixel=(1.0, 2.0)) == pytest.approx(6.0)
    assert hausdorff_95(np.roll(true, 3, axis=1), true) == hausdorff_95(true, np.roll(true, 3, axis=1))


def test_nothing_found_is_as_far_as_the_image_is_large() -> None:
    true = np.ones((30, 40), dtype=bool)
    assert hausdorff_95(~true, true) == 50
    assert hausdorff_95(~true, true, pixel=(2.0, 1.0)) == pytest.approx(math.hypot(60, 40))


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (10.0, 1.4, 1.6)])
def test_monais_figure_in_volumes(voxel: tuple[float, float, float]) -> None:
    from monai.metrics import compute_hausdorff_distance

    for seed in range(4):
        found, true = (
            ndimage.gaussian_filter(np.random.default_rng(one).normal(size=(8, 40, 36)), (1, 4, 4))
            for one in (seed, -seed % 97 + 50)
        )
        found, true = found > np.quantile(found, 0.8), true > np.quantile(true, 0.8)
        found[0], true[-1] = False, False  # slices that only one of them shows
        given = [torch.from_numpy(one)[None, None].float() for one in (found, true)]
        theirs = compute_hausdorff_distance(*given, percentile=95, include_background=True, spacing=list(voxel))
        assert hausdorff_95(found, true, pixel=voxel) == pytest.approx(float(theirs), rel=1e-5)
    assert hausdorff_95(np.zeros_like(true), true, pixel=voxel) == pytest.approx(
        np.linalg.norm(np.array(true.shape) * voxel)
    )
