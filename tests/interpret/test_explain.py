"""`explain`: pictures of single images by a run, in the geometry of their files, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from vesalius import pipeline
from vesalius.backbones.load import load_backbone
from vesalius.backbones.normalise import normalise
from vesalius.errors import BackboneError, ConfigError, KnowledgeError, RunError, UnreadableImageError
from vesalius.interpret.attention_maps import attention_maps
from vesalius.interpret.pictures import overlay


def write_dicom(path: Path, pixels: np.ndarray) -> Path:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid()
    ds.Modality, ds.PatientID = "CR", "P1"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pixels.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    """256 rows of 128 columns, the full range of 8 bits."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 128)).astype(np.uint8)
    pixels[0, :2] = 0, 255
    return write_dicom(tmp_path / "case.dcm", pixels)


def explain(run: Path, *images: Path, **options) -> tuple[Path, ...]:
    return pipeline.explain(run, images, progress=False, device="cpu", **options)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def record(folder: Path) -> dict:
    return json.loads((folder / "explanation.json").read_text())


def test_a_dicom_is_drawn_at_its_own_rows_and_columns(guided_run: Path, dicom: Path) -> None:
    """Against the attention of the image padded by hand: bars of 64 columns beside it, patches of 64 px of the file."""
    (folder,) = explain(guided_run, dicom, upsampling="nearest")
    assert folder == guided_run / "explanations" / "case"
    assert {path.name for path in folder.iterdir()} == {
        "head_0.png",
        "heart_head_1.png",
        "sheet.png",
        "attention.npz",
        "explanation.json",
    }
    import pydicom

    gray = pydicom.dcmread(dicom).pixel_array
    padded = np.pad(gray, ((0, 0), (64, 64)))
    backbone = load_backbone(guided_run / "backbone")
    with torch.inference_mode():
        inputs = normalise(torch.from_numpy(padded).float()[None, None] / 255, backbone.preprocessing)
        features = backbone.forward_features(inputs, attention=True)
    maps = attention_maps(features.attention, features.grid)[0].numpy()
    assert maps.shape == (2, 4, 4)
    for head, name in enumerate(("head_0.png", "heart_head_1.png")):
        heat = np.kron(maps[head], np.ones((64, 64), np.float32))[:, 64:192]
        expected = overlay(np.repeat(gray[..., None], 3, axis=2), heat, top=float(maps[head].max()))
        shown = read(folder / name)
        assert shown.shape == (256, 128, 3)
        assert np.abs(shown.astype(int) - expected).max() <= 1
        about = record(folder)["attention"][head]
        row, column = np.unravel_index(maps[head].argmax(), (4, 4))
        assert (about["peak_x"], about["peak_y"]) == (column * 64 + 32 - 64, row * 64 + 32)
        assert about["share_beside_the_image"] == pytest.approx(maps[head][:, [0, 3]].sum(), abs=1e-5)
    assert [one["part"] for one in record(folder)["attention"]] == [None, "heart"]
    assert "P1" not in (folder / "explanation.json").read_text()


def test_the_record_says_sizes_and_geometry_and_names_no_folder(guided_run: Path, dicom: Path, tmp_path: Path) -> None:
    (folder,) = explain(guided_run, dicom, image_size=96, fit="squash", out=tmp_path / "out")
    plan = record(folder)["plan"]
    assert (plan["image_size"], plan["patch_size"], plan["upsampling"]) == ([96, 96], 16, "bilinear")
    assert (plan["image"]["rows"], plan["image"]["columns"]) == (256, 128)
    assert (plan["geometry"]["fit"], plan["geometry"]["scale_x"], plan["geometry"]["scale_y"]) == ("squash", 0.5, 1.0)
    assert str(tmp_path) not in (folder / "explanation.json").read_text()


def test_only_the_heads_asked_for(guided_run: Path, dicom: Path, tmp_path: Path) -> None:
    (folder,) = explain(guided_run, dicom, parts=["heart"], out=tmp_path / "part")
    assert {path.name for path in folder.glob("*.png")} == {"heart_head_1.png", "sheet.png"}
    (folder,) = explain(guided_run, dicom, heads=[0], out=tmp_path / "head")
    assert {path.name for path in folder.glob("*.png")} == {"head_0.png", "sheet.png"}


def test_the_same_again_changes_nothing_and_another_is_refused_or_replaces(guided_run: Path, dicom: Path) -> None:
    (folder,) = explain(guided_run, dicom)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert explain(guided_run, dicom) == (folder,)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(RunError, match=r"made otherwise \(different: heads, upsampling\).* --overwrite"):
        explain(guided_run, dicom, upsampling="nearest", heads=[0])
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    explain(guided_run, dicom, upsampling="nearest", heads=[0], overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"head_0.png", "sheet.png", "attention.npz", "explanation.json"}
    (folder / "head_0.png").unlink()
    explain(guided_run, dicom, upsampling="nearest", heads=[0])
    assert (folder / "head_0.png").is_file(), "a lost picture is drawn again"


def test_a_slice_of_a_volume(guided_run: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (20, 30, 5)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "brain.nii.gz")
    (middle,) = explain(guided_run, tmp_path / "brain.nii.gz")
    (other,) = explain(guided_run, tmp_path / "brain.nii.gz", frame=4)
    assert (middle.name, other.name) == ("brain", "brain_frame_4")
    assert [record(folder)["plan"]["image"]["frame"] for folder in (middle, other)] == [2, 4]
    assert read(other / "head_0.png").shape == (30, 20, 3)


def test_an_image_of_a_store_is_found_by_its_content(guided_run: Path, triangle_store: Path, tmp_path: Path) -> None:
    """The run's recipe names the maps `deformable`; the store has them under this name, and they are drawn."""
    scans = triangle_store.parent / "scans" / "images"
    image = tmp_path / "renamed.png"
    image.write_bytes(sorted(scans.iterdir())[7].read_bytes())
    (folder,) = explain(guided_run, image, store=triangle_store)
    assert "maps_deformable.png" in {path.name for path in folder.iterdir()}
    plan = record(folder)["plan"]
    assert [one["name"] for one in plan["maps"]] == ["deformable"]
    assert (plan["geometry"]["size"], plan["geometry"]["store"]["name"]) == (40, "store")
    assert read(folder / "heart_head_1.png").shape == (48, 48, 3), "the file's size, not the store's"
    known = read(folder / "maps_deformable.png")
    assert (known[..., 0] != known[..., 1]).any(), "coloured outlines"


def test_maps_of_an_image_that_the_store_does_not_hold(guided_run: Path, triangle_store: Path, dicom: Path) -> None:
    (folder,) = explain(guided_run, dicom, store=triangle_store)
    assert record(folder)["plan"]["maps"] == []
    with pytest.raises(KnowledgeError, match=r"case\.dcm: no image of .*store was made from this file"):
        explain(guided_run, dicom, store=triangle_store, maps=["deformable"])
    with pytest.raises(ConfigError, match="name it by --store"):
        explain(guided_run, dicom, maps=["deformable"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": [2]}, "no head 2: the last block has heads 0 to 1; did you mean 1?"),
        ({"heads": [-1]}, "did you mean 0?"),
        ({"parts": ["hart"]}, "no head is guided to 'hart'; guided: heart; did you mean 'heart'?"),
        ({"upsampling": "bilinar"}, "did you mean 'bilinear'?"),
        ({"figure": "head"}, "did you mean 'heads'?"),
        ({"figure": "parts", "heads": [0]}, "shows no heads by number"),
        ({"compare": ["other"]}, "say --figure parts, heads or distance"),
        ({"image_size": 8}, "image_size = 8: below one patch"),
    ],
)
def test_options_that_cannot_be_met(guided_run: Path, dicom: Path, options, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        explain(guided_run, dicom, **options)
    assert words in str(caught.value)
    assert not (guided_run / "explanations").exists()


def test_runs_that_cannot_be_explained(write_run: Callable[..., Path], guided_run: Path, dicom: Path) -> None:
    free = write_run("free", "guidance=null")
    with pytest.raises(ConfigError, match="the run guides none; name heads 0 to 1 by number"):
        explain(free, dicom, parts=["heart"])
    plain = write_run("resnet", "guidance.attention=null", backbone="backbone={name: test_resnet, image_size: 64}")
    with pytest.raises(BackboneError, match="resnet: test_resnet has no attention to show; use a ViT"):
        explain(plain, dicom)
    with pytest.raises(RunError, match="is no run folder"):
        explain(dicom.parent, dicom)
    (guided_run / "backbone").rename(guided_run / "gone")
    with pytest.raises(RunError, match="guided: no backbone in it"):
        explain(guided_run, dicom)


def test_files_that_cannot_be_explained(guided_run: Path, dicom: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(UnreadableImageError, match=r"notes\.png: not an image"):
        explain(guided_run, tmp_path / "notes.png")
    with pytest.raises(UnreadableImageError, match=r"none\.png: no such file"):
        explain(guided_run, tmp_path / "none.png")
    (tmp_path / "case.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"several images would be explained in .*case"):
        explain(guided_run, dicom, tmp_path / "case.png")
    with pytest.raises(ConfigError, match="got none"):
        explain(guided_run)
