"""Guidance knows no thorax: parts of the heart in MRI slices and of the skin are carried as organs of the chest are."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vesalius import pipeline
from vesalius.data.store import open_store

pytestmark = pytest.mark.real

SIDE = 128


def write(folder: Path, name: str, image: npt.NDArray, labels: npt.NDArray) -> None:
    """Write an image and its label map as square PNGs."""
    for kind, values, how in (
        ("images", image, Image.Resampling.BILINEAR),
        ("labels", labels, Image.Resampling.NEAREST),
    ):
        (folder / kind).mkdir(exist_ok=True, parents=True)
        Image.fromarray(values).resize((SIDE, SIDE), how).save(folder / kind / f"{name}.png")


def carried(folder: Path, exemplar: str, parts: dict[str, int], *, combine: int = 1) -> dict[str, tuple[float, float]]:
    """Guide the folder's images by the first exemplar; return each part's mean Dice, carried and left where it was."""
    pipeline.prepare(folder / "images", folder / "store", size=SIDE, split="patient", progress=False)
    image, mask = folder / "images" / f"{exemplar}.png", folder / "labels" / f"{exemplar}.png"
    how = {"exemplars": [image], "masks": [mask], "parts": parts, "map_size": 64, "progress": False, "device": "cpu"}
    maps = pipeline.guide(folder / "store", **how)
    store = open_store(folder / "store")
    names = store.manifest["source"].tolist()
    truth = np.stack([np.asarray(Image.open(folder / "labels" / Path(name).name)) for name in names])
    own = np.asarray(Image.open(mask))
    found = {}
    for channel, (part, value) in enumerate(parts.items()):
        inside = truth == value
        moved = np.kron(maps.parts[np.arange(len(names))][:, channel] > 127, np.ones((1, 2, 2), dtype=bool))
        still = np.broadcast_to(own == value, inside.shape)
        there = inside.any((1, 2)) & maps.guided & (np.array(names) != image.name)
        dice = [
            2 * (one & inside).sum((1, 2)) / np.maximum(1, one.sum((1, 2)) + inside.sum((1, 2)))
            for one in (moved, still)
        ]
        found[part] = (float(dice[0][there].mean()), float(dice[1][there].mean()))
    return found


def test_cardiac_mri(real_data: Path, tmp_path: Path) -> None:
    """ACDC, the middle slice at end-diastole of each patient: right ventricle, myocardium, left ventricle."""
    for patient in sorted((real_data / "acdc" / "training").iterdir()):
        file = sorted(patient.glob("*_frame*[0-9].nii.gz"))[0]
        volume = np.asarray(nibabel.load(file).dataobj, dtype=np.float64)
        labels = np.asarray(nibabel.load(file.with_name(file.name.replace(".nii.gz", "_gt.nii.gz"))).dataobj)
        middle = volume.shape[2] // 2
        gray = np.clip(volume[..., middle] / np.percentile(volume[..., middle], 99.5), 0, 1)
        write(tmp_path, patient.name, (255 * gray).astype(np.uint8), labels[..., middle].astype(np.uint8))
    first = sorted(path.stem for path in (tmp_path / "images").iterdir())[0]
    found = carried(tmp_path, first, {"right_ventricle": 1, "myocardium": 2, "left_ventricle": 3})
    assert set(found) == {"right_ventricle", "myocardium", "left_ventricle"}
    for part, (moved, still) in found.items():
        assert moved > still, part
    assert np.mean([moved - still for moved, still in found.values()]) > 0.05


def test_dermoscopy(real_data: Path, tmp_path: Path) -> None:
    """PH2: the lesion."""
    for file in sorted((real_data / "ph2" / "images").iterdir()):
        labels = next((real_data / "ph2" / "labels").glob(f"{file.stem}*"))
        image = np.asarray(Image.open(file).convert("L"))
        write(tmp_path, file.stem, image, (np.asarray(Image.open(labels).convert("L")) > 127).astype(np.uint8))
    first = sorted(path.stem for path in (tmp_path / "images").iterdir())[0]
    moved, still = carried(tmp_path, first, {"lesion": 1})["lesion"]
    assert moved > still
