"""Dense transfer: figures by hand, the linear layer against scikit-learn, every arm beside, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.load import load_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, LabelError, StoreError
from vesalius.evaluation.dense_maps import backbone_maps, cells_of, pixel_maps
from vesalius.evaluation.mask_parts import known_pixels, mask_parts
from vesalius.evaluation.place_classifier import dice_offsets, fit_places
from vesalius.evaluation.segment_counts import SegmentCounts
from vesalius.evaluation.segment_figures import figures_of
from vesalius.evaluation.segment_options import SegmentOptions

QUICK = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50, "protocol": "folds", "folds": 2}
PARTS = {"left_lung", "right_lung", "heart"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=40, in_chans=1, drop_path=0.0))
    save_backbone(backbone, folder / "backbone", state=backbone.state_dict())
    return folder


def test_every_arm_is_scored(run: Path, phantom_store: Path) -> None:
    results = {one.label: one for one in pipeline.evaluate_segment(run, data=phantom_store, **QUICK)}
    assert set(results) == {*PARTS, "mean"}
    for result in results.values():
        found = {(one.arm, one.metric): one.value for one in result.scores}
        assert {arm for arm, _ in found} == {"pretrained", "random_init", "pixels", "mean_mask"}
        for arm, _ in found:
            assert 0 < found[arm, "iou"] < found[arm, "dice"] < 1
        assert found["pixels", "dice"] > 0.5
    for arm in ("pretrained", "pixels"):
        each = [next(s.value for s in results[p].scores if (s.arm, s.metric) == (arm, "dice")) for p in PARTS]
        mean = next(s.value for s in results["mean"].scores if (s.arm, s.metric) == (arm, "dice"))
        assert mean == pytest.approx(np.mean(each), abs=1e-9)
    folder = next((run / "evaluations").glob("segment-heart-*"))
    table = pd.read_parquet(folder / "predictions.parquet")
    patients = open_store(phantom_store).manifest["patient"].nunique()
    assert table.groupby("arm").size().eq(patients).all()
    assert json.loads((folder / "result.json").read_text())["settings"]["decoder"] == "linear"


@pytest.mark.parametrize("kind", ["maps", "regions"])
def test_images_whose_own_masks_taught_the_run_are_left_out(
    run: Path, phantom_store: Path, tmp_path: Path, kind: str
) -> None:
    taught = tmp_path / "run"
    shutil.copytree(run / "backbone", taught / "backbone")
    store = open_store(phantom_store)
    labelled = {"images": [store.manifest["sha256"].iloc[3]], "stores": [store.fingerprint]}
    (taught / "recipe.yaml").touch()
    (taught / "run.json").write_text(json.dumps({"data": {kind: {"labelled": labelled}}}))
    (heart,) = pipeline.evaluate_segment(taught, data=phantom_store, parts=["heart"], **QUICK)
    (whole,) = pipeline.evaluate_segment(run, data=phantom_store, parts=["heart"], **QUICK)
    assert heart.test_images == whole.test_images - 1
    said = heart.settings["notes"]
    assert said[0] == "left out: 1 image whose own mask is the exemplar's"
    assert "trained on images of this very store" in said[1]
    assert whole.settings["notes"] == []


def test_fewer_labels_are_drawn_several_times(run: Path, phantom_store: Path) -> None:
    (heart,) = pipeline.evaluate_segment(
        run, data=phantom_store, parts=["heart"], fractions=(0.1, 1.0), seeds=2, random_inits=2, **QUICK
    )
    plain = {one.fraction: one for one in heart.scores if (one.arm, one.metric) == ("pixels", "dice")}
    assert {fraction: one.seeds for fraction, one in plain.items()} == {0.1: 2, 1.0: 1}
    assert plain[0.1].value < plain[1.0].value
    assert plain[0.1].spread > 0
    twins = {one.fraction: one.seeds for one in heart.scores if (one.arm, one.metric) == ("random_init", "dice")}
    assert twins == {0.1: 2, 1.0: 2}


def test_baselines_are_counted_once_in_a_shared_folder(
    run: Path, phantom_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file is made again; another backbone's run finds the twin and the pixels, not the maps of the first."""
    options = {"data": phantom_store, "parts": ["heart"], "cache": tmp_path / "cache"} | QUICK
    first = pipeline.evaluate_segment(run, **options)
    kept = sorted((tmp_path / "cache" / "segmented").glob("*.npz"))
    assert len(kept) == 3
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    counted: list[int] = []
    real = SegmentCounts.of_maps
    monkeypatch.setattr(SegmentCounts, "of_maps", lambda *given: counted.append(1) or real(*given))
    assert pipeline.evaluate_segment(run, **options) == first
    assert len(counted) == 1
    other = tmp_path / "other"
    torch.manual_seed(1)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=40, in_chans=1, drop_path=0.0))
    save_backbone(backbone, other / "backbone", state=backbone.state_dict())
    (second,) = pipeline.evaluate_segment(other, **options)
    assert len(counted) == 2
    values = [{(s.arm, s.metric): s.value for s in one.scores} for one in (first[0], second)]
    assert values[0]["random_init", "dice"] == values[1]["random_init", "dice"]
    assert values[0]["pretrained", "dice"] != values[1]["pretrained", "dice"]
    pipeline.evaluate_segment(run, **(options | {"seed": 1}))
    assert len(counted) == 5


def test_no_patient_is_learned_from_and_scored(phantom_store: Path) -> None:
    store = open_store(phantom_store)
    options = SegmentOptions(protocol="folds", folds=3, fractions=(0.2, 1.0), seeds=2)
    job = SegmentCounts(store, np.arange(len(store)), {"heart": 3}, options=options, batch_size=32)
    assert len(job.draws) == 3 * (2 + 1)
    done: list[int] = []
    counts = job.of_maps([pixel_maps((16, 16))] * 2, done.append)
    assert {fraction: len(one) for fraction, one in counts.items()} == {0.2: 2, 1.0: 2}
    assert sum(done) == len(done) == job.fits(2) == 3 * (2 + 2)
    for draw in job.draws:
        assert not set(job.patients[draw.train]) & set(job.patients[draw.test])


def test_figures_by_hand() -> None:
    """One draw, two patients, two parts: 6 of 8 and 10 pixels in common; the second patient lacks the second part."""
    counts = np.array([[[[6, 8, 10, 9, 3], [2, 4, 4, 5, 1]], [[5, 5, 5, 0, 2], [0, 3, 0, 0, 0]]]], dtype=float)
    found = figures_of(counts, "mm")
    assert found["dice"].tolist() == [[pytest.approx((12 / 18 + 0.5) / 2), 1.0]]
    assert found["iou"].tolist() == [[pytest.approx((6 / 12 + 2 / 6) / 2), 1.0]]
    assert found["hd95_mm"].tolist() == [[pytest.approx((3 + 5) / 2), 0.0]]
    assert np.isnan(figures_of(np.zeros((1, 1, 1, 5)), "px")["dice"]).all()


def test_distances_are_in_mm_where_the_images_tell_their_spacing(tmp_path: Path, phantom_store: Path) -> None:
    """Squares of 8 px, half of the stored resolution, found two stored pixels too far to the right."""
    truth = np.zeros((32, 32, 2), dtype=np.uint8)
    truth[8:16, 8:16] = 3
    for number in range(1, 5):
        scans = tmp_path / f"scans/training/patient00{number}"
        scans.mkdir(parents=True)
        volume = np.random.default_rng(number).integers(0, 99, truth.shape).astype(np.int16)
        for name, values in (("", volume), ("_gt", truth)):
            image = nibabel.Nifti1Image(values, np.diag([0.5, 0.5, 8.0, 1.0]))
            nibabel.save(image, scans / f"{scans.name}_frame01{name}.nii.gz")
    pipeline.prepare(tmp_path / "scans", tmp_path / "store", size=64, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    there, rows = mask_parts(store, ["left_ventricle"])
    options = SegmentOptions(protocol="folds", folds=2)
    job = SegmentCounts(store, rows, there, options=options, batch_size=4)
    assert job.unit == "mm"

    def two_to_the_right(images: np.ndarray) -> torch.Tensor:
        masks = store.masks[rows[: len(images)]] == there["left_ventricle"]
        moved = torch.from_numpy(np.roll(masks, 2, axis=2)).float()
        return torch.stack([1 - moved, moved], dim=1)

    counts = job.counted(two_to_the_right, np.arange(len(rows)))
    assert figures_of(counts[None], job.unit)["hd95_mm"] == pytest.approx(np.full((1, 4), 2 * 0.5 * 0.5))
    plain = open_store(phantom_store)
    assert SegmentCounts(plain, plain.rows(), {"heart": 1}, options=options, batch_size=4).unit == "px"


def test_the_linear_layer_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, 50, 5, generator=generator) * torch.tensor([1.0, 3.0, 0.1, 1.0, 2.0]) + 1.0
    true = torch.randn(3, 5, generator=generator)
    classes = (features @ true.T + torch.randn(6, 50, 3, generator=generator)).argmax(-1)
    shares = torch.nn.functional.one_hot(classes, 3).float()
    ours = fit_places(features, shares, [1] * 6, grid=(1e-2,))
    flat = features.flatten(0, 1).double().numpy()
    scaled = (flat - flat.mean(0)) / flat.std(0, ddof=1)
    reference = LogisticRegression(C=1 / (1e-2 * len(flat)), tol=1e-8, max_iter=1000).fit(scaled, classes.flatten())
    maps = features.flatten(0, 1).T[None, :, :, None]
    probabilities = ours(maps).softmax(1)[0, :, :, 0].T
    assert np.abs(probabilities.numpy() - reference.predict_proba(scaled)).max() < 2e-3


def test_the_strength_is_chosen_on_images_held_out() -> None:
    """Labels that have nothing to do with the features ask for the strongest; clean ones for the weakest."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 30, 40, generator=generator)
    noise = torch.nn.functional.one_hot(torch.randint(2, (8, 30), generator=generator), 2).float()
    clean = torch.nn.functional.one_hot((features[..., 0] > 0).long(), 2).float()
    folds = [0, 0, 1, 1, 1, 2, 2, 2]
    assert fit_places(features, noise, folds).l2 == 1e-1
    assert fit_places(features, clean, folds).l2 < 1e-2
    assert fit_places(features, clean, [0] * 8).l2 == 1e-3


def test_a_part_that_is_never_the_likeliest_is_brought_forward() -> None:
    """Where it has 40 % of every place, taking it all has a Dice of .8 / 1.4, leaving it 0."""
    there = torch.arange(600) % 4 == 0
    shares = torch.stack([1 - 0.4 * there, 0.4 * there], dim=1)
    logits = torch.stack([torch.zeros(600), torch.where(there, -0.4, -3.0)], dim=1)
    assert not logits.argmax(dim=1).any()
    offsets = dice_offsets(logits, shares)
    assert offsets.tolist() == [0.0, 0.5]  # the least of those that reach it
    generator = torch.Generator().manual_seed(0)
    features = torch.where(there, 1.0, 0.0).view(6, 100, 1) + 0.01 * torch.randn(6, 100, 1, generator=generator)
    fitted = fit_places(features, shares.view(6, 100, 2), [0, 0, 1, 1, 2, 2])
    found = fitted(features.view(1, 1, 600, 1)).argmax(dim=1).flatten().bool()
    assert torch.equal(found, there)
    unmoved = fit_places(features, shares.view(6, 100, 2), [1, 1, 1, 1, 2, 2])
    assert not unmoved(features.view(1, 1, 600, 1)).argmax(dim=1).any()


def test_offsets_are_not_moved_without_a_gain() -> None:
    shares = functional.one_hot(torch.arange(90) % 3, 3).float()
    assert dice_offsets(8 * shares, shares).tolist() == [0.0, 0.0, 0.0]


def test_void_is_neither_learned_from_nor_scored(tmp_path: Path) -> None:
    """A store whose frame of void pixels holds a part of the parts: whatever is said there costs nothing."""
    scans = tmp_path / "scans"
    for kind in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (scans / kind).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(12):
        codes = np.zeros((32, 32), dtype=np.uint8)
        codes[8:20, 8 + number % 3 : 20 + number % 3] = 15
        pixels = np.where(codes == 15, 200, 60) + generator.integers(0, 20, codes.shape)
        codes[:, 26:] = 255
        pixels[:, 26:] = 200  # looks like the part
        Image.fromarray(pixels.astype(np.uint8)).save(scans / f"JPEGImages/{number:02d}.jpg", quality=95)
        Image.fromarray(codes).save(scans / f"SegmentationClass/{number:02d}.png")
    names = "\n".join(f"{number:02d}" for number in range(12))
    (scans / "ImageSets/Segmentation/train.txt").write_text(names)
    pipeline.prepare(scans, tmp_path / "store", size=32, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    there, rows = mask_parts(store, ())
    assert len(there) == 20
    assert "void" not in there
    known = known_pixels(store, rows)
    assert known[:, :, :26].all()
    assert not known[:, :, 26:].any()
    options = SegmentOptions(protocol="folds", folds=2)
    job = SegmentCounts(store, rows, {"person": there["person"]}, options=options, batch_size=6)
    [counts] = job.of_maps([pixel_maps((32, 32))], lambda _: None).values()
    common, predicted, true, *_ = counts.sum(axis=(0, 1, 2))
    assert true == 12 * 144
    assert 2 * common / (predicted + true) > 0.9  # below .6 where void counts
    assert job.of_mean_mask()[1.0][..., 1].max() <= 32 * 26


def test_shares_of_cells() -> None:
    masks = np.zeros((1, 4, 4), dtype=np.uint8)
    masks[0, :2, :2], masks[0, 2:, 2:] = 1, 3
    shares = cells_of(masks, [1, 2], (2, 2))
    assert shares.shape == (1, 3, 2, 2)
    assert shares[0, 1].argmax() == 0
    assert torch.allclose(shares.sum(1), torch.ones(1, 2, 2))
    assert float(shares[0, 0, 1, 1]) > 0.8  # a part that was not asked for is background


@pytest.mark.parametrize(("name", "grid", "dim"), [("test_resnet", 10, None), ("test_vit", 2, 4 * 64)])
def test_maps_have_the_finest_grid_from_a_quarter_on(name: str, grid: int, dim: int | None) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=32 if name == "test_vit" else 40, in_chans=1))
    images = np.random.default_rng(0).integers(0, 255, (2, 40, 40), dtype=np.uint8)
    maps = backbone_maps(backbone, image_size=None, device=torch.device("cpu"), precision="fp32")(images)
    assert maps.shape[2:] == (grid, grid)
    assert dim is None or maps.shape[1] == dim
    assert pixel_maps((40, 40))(images).shape == (2, 30, 10, 10)


def test_bad_input(run: Path, phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"no part 'hart'.*heart"):
        pipeline.evaluate_segment(run, data=phantom_store, parts=["hart"], **QUICK)
    with pytest.raises(ConfigError, match="decoder = 'mlp'; known: linear, fpn, unet"):
        pipeline.evaluate_segment(run, data=phantom_store, decoder="mlp", **QUICK)
    with pytest.raises(ConfigError, match=r"lies in \(0, 1\].*; got 5.5"):
        pipeline.evaluate_segment(run, data=phantom_store, fractions=(5.5,), **QUICK)
    assert not (run / "evaluations" / "partial").exists()
    with pytest.raises(StoreError):
        pipeline.evaluate_segment(run, data=tmp_path, **QUICK)


@pytest.mark.parametrize("side", [40, 38])
def test_the_finest_stage_is_there_at_any_side(run: Path, phantom_store: Path, side: int) -> None:
    """A side that is no multiple of 4 is rounded up by the network's strides, and so it is for pixels."""
    backbone, images = load_backbone(run / "backbone"), open_store(phantom_store).images[np.arange(2)]
    found = backbone_maps(backbone, image_size=side, device=torch.device("cpu"), precision="fp32")(images)
    assert found.shape[2:] == pixel_maps((side, side))(images).shape[2:] == (10, 10)
