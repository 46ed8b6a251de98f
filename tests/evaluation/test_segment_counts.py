"""What is counted of a segmentation gives the figures of MONAI and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vesalius.data.store import open_store
from vesalius.evaluation.mask_parts import mask_parts
from vesalius.evaluation.segment_counts import SegmentCounts
from vesalius.evaluation.segment_figures import figures_of
from vesalius.evaluation.segment_options import SegmentOptions


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
def test_figures_are_monais_and_scikit_learns(phantom_store: Path) -> None:
    """Random guesses at the masks' own resolution; a patient's images are one volume."""
    from monai.metrics import compute_dice, compute_iou
    from sklearn.metrics import jaccard_score

    store = open_store(phantom_store)
    there, rows = mask_parts(store, ())
    options = SegmentOptions(protocol="folds", folds=2)
    job = SegmentCounts(store, rows, there, options=options, batch_size=7)
    noise = torch.randn(len(rows), len(there) + 1, *store.masks.shape[1:], generator=torch.Generator().manual_seed(0))
    truth = torch.from_numpy(store.masks[rows].astype(np.int64))
    for number, value in enumerate(there.values(), 1):
        noise[:, number] += 1.5 * (truth == value)
    served: list[torch.Tensor] = list(noise.split(7))
    counts = job.counted(lambda images: served.pop(0), np.arange(len(rows)))
    guess = noise.argmax(dim=1)
    for number, value in enumerate(there.values(), 1):
        ours = figures_of(counts[None][:, :, [number - 1]], job.unit)
        for patient in range(len(job.names)):
            of = torch.from_numpy(job.code == patient)
            found, real = ((one[of] == which)[None].float() for one, which in ((guess, number), (truth, value)))
            assert ours["dice"][0, patient] == pytest.approx(float(compute_dice(found[None], real[None])), rel=1e-6)
            assert ours["iou"][0, patient] == pytest.approx(float(compute_iou(found[None], real[None])), rel=1e-6)
            theirs = jaccard_score(real.flatten().numpy(), found.flatten().numpy())
            assert ours["iou"][0, patient] == pytest.approx(theirs, rel=1e-6)
