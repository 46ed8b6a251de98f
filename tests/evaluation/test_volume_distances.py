"""Hausdorff distances of whole volumes, from the NIfTI files to the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import open_store
from vesalius.evaluation.mask_parts import mask_parts
from vesalius.evaluation.segment_counts import SegmentCounts
from vesalius.evaluation.segment_figures import figures_of
from vesalius.evaluation.segment_options import SegmentOptions

SIDES, VOXEL = (20, 16, 5), (1.5, 1.25, 8.0)  # column, row, slice
PARTS = {"right_ventricle": 1, "left_ventricle": 3}
QUICK = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 20}


def learned() -> np.ndarray:
    """Two parts that every slice learned from shows alike."""
    truth = np.zeros(SIDES, dtype=np.uint8)
    truth[4:10, 4:12], truth[12:16, 6:10] = 1, 3
    return truth


def scored(seed: int) -> np.ndarray:
    """The first part moved, of some slices only; the other in the first frames only."""
    truth = np.zeros(SIDES, dtype=np.uint8)
    truth[5 + seed % 3 : 11, 3:11, seed % 2 : 4] = 1
    truth[12:17, 7:10, 2:] = 3 if seed % 2 == 0 else 0
    return truth


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("acdc") / "scans"
    generator = np.random.default_rng(0)
    for patient in range(1, 8):
        side = "training" if patient < 5 else "testing"
        folder = root / side / f"patient{patient:03d}"
        folder.mkdir(parents=True)
        for frame in (1, 9):
            truth = learned() if side == "training" else scored(2 * patient + (frame == 9))
            values = (100 * (truth > 0) + generator.integers(0, 50, SIDES)).astype(np.int16)
            for ending, content in (("", values), ("_gt", truth)):
                path = folder / f"patient{patient:03d}_frame{frame:02d}{ending}.nii.gz"
                nibabel.save(nibabel.Nifti1Image(content, np.diag([*VOXEL, 1.0])), path)
    return root


@pytest.fixture(scope="module")
def store(scans: Path) -> Path:
    pipeline.prepare(scans, scans.with_name("store"), size=20, workers=1, progress=False)
    return scans.with_name("store")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=20, in_chans=1, drop_path=0.0))
    save_backbone(backbone, folder / "backbone", state=backbone.state_dict())
    return folder


def distance(found: np.ndarray, true: np.ndarray) -> float:
    """Every edge voxel against every other, slowly."""
    edges = [np.argwhere(one ^ ndimage.binary_erosion(one)) * VOXEL for one in (found, true)]
    apart = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=2)
    return max(float(np.percentile(apart.min(axis=axis), 95)) for axis in (0, 1))


def test_the_mean_masks_distance_is_that_of_the_files(run: Path, store: Path) -> None:
    """The mean mask answers what all that is learned from show; a patient's two frames are two volumes."""
    results = {
        one.label: one
        for one in pipeline.evaluate_segment(run, data=store, parts=list(PARTS), protocol="split", **QUICK)
    }
    by_part = []
    for name, value in PARTS.items():
        patients = []
        for patient in (5, 6, 7):
            truths = [scored(2 * patient + late) == value for late in (False, True)]
            patients.append(np.mean([distance(learned() == value, one) for one in truths if one.any()]))
        found = {(one.arm, one.metric): one for one in results[name].scores}
        assert found["mean_mask", "hd95_3d_mm"].value == pytest.approx(np.mean(patients))
        assert found["mean_mask", "hd95_mm"].value < found["mean_mask", "hd95_3d_mm"].value  # blind to slices with one
        assert {arm for arm, metric in found if metric == "hd95_3d_mm"} == {
            "pretrained",
            "random_init",
            "pixels",
            "mean_mask",
        }
        by_part.append(patients)
    settings = results["left_ventricle"].settings
    assert settings["volumes"]["whole"] == 6
    assert "hd95_mm the mean over the slices that show the part" in settings["figures"]
    assert settings["notes"] == []


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
def test_random_guesses_have_monais_figure(store: Path) -> None:
    """Batches that cut volumes; the patient's figure is the mean over its volumes, a part a figure."""
    from monai.metrics import compute_hausdorff_distance

    opened = open_store(store)
    there, rows = mask_parts(opened, ("right_ventricle",))
    job = SegmentCounts(opened, rows, there, options=SegmentOptions(protocol="folds", folds=2), batch_size=7)
    noise = torch.from_numpy(
        ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(len(rows), 2, 20, 20)), (0, 0, 2, 2))
    )
    served: list[torch.Tensor] = list(noise.float().split(7))
    counts = job.counted(lambda images: served.pop(0), np.arange(len(rows)))
    ours = figures_of(counts[None], job.unit)["hd95_3d_mm"][0]
    guess, true = noise.argmax(dim=1) == 1, torch.from_numpy(opened.masks[rows] == there["right_ventricle"])
    table = opened.manifest.iloc[rows].reset_index(drop=True)
    theirs: dict[str, list[float]] = {}
    for (patient, _), own in table.groupby(["patient", "volume"]):
        given = [one[own.index.tolist()][None, None].float() for one in (guess, true)]
        voxel = [VOXEL[2], VOXEL[1], VOXEL[0]]
        figure = compute_hausdorff_distance(*given, percentile=95, include_background=True, spacing=voxel)
        theirs.setdefault(str(patient), []).append(float(figure))
    assert [len(one) for one in theirs.values()] == [2] * 7
    np.testing.assert_allclose(ours, [np.mean(theirs[name]) for name in job.names], rtol=1e-5)


def test_slices_missing_leave_their_volume_out_and_are_told(run: Path, scans: Path, tmp_path: Path) -> None:
    """A truth of which one slice was refused; other volumes of the patient still count."""
    shutil.copytree(scans, tmp_path / "scans")
    path = tmp_path / "scans" / "testing" / "patient005" / "patient005_frame01.nii.gz"
    image = nibabel.load(path)
    values = np.asarray(image.dataobj).copy()
    values[..., 2] = 7  # a constant slice is refused
    nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    pipeline.prepare(tmp_path / "scans", tmp_path / "store", size=20, workers=1, progress=False)
    (result,) = pipeline.evaluate_segment(
        run, data=tmp_path / "store", parts=["right_ventricle"], protocol="split", **QUICK
    )
    assert result.settings["volumes"]["whole"] == 5
    assert result.settings["notes"] == [
        "hd95_3d_mm leaves images out: of 29 images 4 are of volumes with slices missing, unevenly apart, or several "
        "at one place"
    ]
    folder = next(
        one
        for one in (run / "evaluations").glob("segment-right_ventricle-*")
        if "29" in (one / "result.json").read_text()
    )
    table = pd.read_parquet(folder / "predictions.parquet")
    assert table["hd95_3d_mm"].notna().all()


def test_images_that_are_no_slices_have_no_such_figure(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    (result,) = pipeline.evaluate_segment(run, data=phantom_store, parts=["heart"], protocol="folds", folds=2, **QUICK)
    assert "hd95_3d_mm" not in {one.metric for one in result.scores}
    assert result.settings["volumes"]["hd95_3d_mm"] == "not given"
    assert "tell no position of the slice" in json.loads(json.dumps(result.settings))["volumes"]["left_out"]
    assert result.settings["notes"] == []
