from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.normalise import to_input
from vesalius.data.store import Store
from vesalius.errors import EvaluationError
from vesalius.evaluation.features import cached_features, extract_features
from vesalius.evaluation.raw_pixels import area_weights, pixel_features, shrink
from vesalius.evaluation.untrained_twin import calibrate_batch_norm, random_twin


class _Pixels(Store):
    """A store whose images lie in memory."""

    def __init__(self, images: np.ndarray, fingerprint: str = "f0") -> None:
        super().__init__(path=Path("memory"), info={"fingerprint": fingerprint})
        self.__dict__["pixels"] = images

    @property
    def images(self) -> np.ndarray:
        return self.__dict__["pixels"]


def _images(*, count: int = 7, size: int = 64, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(0, info.max, size=(count, size, size)).astype(dtype)


def _vit(*, in_chans: int = 1, seed: int = 0):
    torch.manual_seed(seed)
    return create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=48, in_chans=in_chans)).eval()


def _resnet():
    torch.manual_seed(0)
    return create_backbone(BackboneConfig(name="resnet18", image_size=48, in_chans=1)).eval()


CPU = {"device": "cpu", "precision": "fp32"}


def test_kinds_are_cls_and_mean_side_by_side_and_match_the_backbone() -> None:
    backbone, images = _vit(), _images()
    rows = np.array([4, 0, 2])
    both = extract_features(backbone, _Pixels(images), rows, **CPU)
    cls = extract_features(backbone, _Pixels(images), rows, kind="cls", **CPU)
    mean = extract_features(backbone, _Pixels(images), rows, kind="mean", batch_size=2, **CPU)
    np.testing.assert_allclose(both, np.concatenate([cls, mean], axis=1), atol=1e-5)
    pixels = torch.from_numpy(images[rows]).float()[:, None] / 255
    small = functional.interpolate(pixels, size=(48, 48), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        expected = backbone.forward_features((small - 0.5) / 0.25)
    np.testing.assert_allclose(cls, expected.cls.numpy(), atol=1e-5)
    np.testing.assert_allclose(mean, expected.patches.mean(dim=1).numpy(), atol=1e-5)


def test_a_backbone_without_cls_gives_the_mean_and_no_rows_are_refused() -> None:
    assert extract_features(_resnet(), _Pixels(_images()), np.arange(3), **CPU).shape == (3, 512)
    with pytest.raises(EvaluationError, match="features of no image"):
        extract_features(_resnet(), _Pixels(_images()), np.arange(0), **CPU)


def test_heads_and_grid_are_extracted_like_any_other_kind() -> None:
    features = extract_features(_vit(), _Pixels(_images()), np.arange(7), kind="heads+grid", batch_size=3, **CPU)
    assert features.shape == (7, 192 * (3 + 3 * 3))  # a grid of 3 x 3 tokens has no finer cells than that


def test_sixteen_bits_are_not_cut_to_eight_and_channels_are_fitted() -> None:
    gray, colour = _vit(), _vit(in_chans=3)
    narrow = _images()
    wide = narrow.astype(np.uint16) * 257
    cpu = torch.device("cpu")
    torch.testing.assert_close(to_input(wide, gray, cpu, (48, 48)), to_input(narrow, gray, cpu, (48, 48)))
    assert to_input(narrow, colour, cpu, (48, 48)).shape == (7, 3, 48, 48)
    three = np.repeat(narrow[..., None], 3, axis=3)
    torch.testing.assert_close(to_input(three, gray, cpu, (48, 48)), to_input(narrow, gray, cpu, (48, 48)))
    torch.testing.assert_close(to_input(three, colour, cpu, (48, 48)), to_input(narrow, colour, cpu, (48, 48)))


def test_the_whole_image_is_resized_as_the_exported_config_says() -> None:
    backbone, images = _vit(), 64 + _images(count=2, size=80) // 2  # Pillow clips between its two passes, we do not
    assert backbone.description()["pretrained_cfg"]["interpolation"] == "bicubic"
    assert backbone.description()["pretrained_cfg"]["crop_pct"] == 1.0
    ours = to_input(images, backbone, torch.device("cpu"), (48, 48)) * 0.25 + 0.5
    pillow = [np.asarray(Image.fromarray(one).resize((48, 48), Image.Resampling.BICUBIC)) for one in images]
    np.testing.assert_allclose(ours[:, 0].numpy() * 255, np.stack(pillow), atol=1.01)


def test_an_untrained_batch_norm_is_calibrated_and_its_dead_branches_wake() -> None:
    store, rows = _Pixels(_images(count=40)), np.arange(40)
    twins = [random_twin(_resnet(), seed=1) for _ in range(2)]
    dead = [name for name, value in twins[0].named_parameters() if name.endswith("bn2.weight") and not value.any()]
    assert len(dead) == 8
    raw = extract_features(random_twin(_resnet(), seed=1), store, rows, **CPU)
    first, again = (
        extract_features(calibrate_batch_norm(t, store, rows, device="cpu"), store, rows, **CPU) for t in twins
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, raw)
    assert all(value.any() for name, value in twins[0].named_parameters() if name.endswith("bn2.weight"))
    assert not twins[0].training
    inputs = to_input(store.images, twins[0], torch.device("cpu"), (48, 48))
    kept = []
    twins[0].model.bn1.register_forward_pre_hook(lambda _, arguments: kept.append(arguments[0]))
    with torch.no_grad():
        twins[0].forward_features(inputs)
    torch.testing.assert_close(twins[0].model.bn1.running_mean, kept[0].mean(dim=(0, 2, 3)), atol=1e-4, rtol=1e-3)
    vit = _vit()
    before = {key: value.clone() for key, value in vit.state_dict().items()}
    calibrate_batch_norm(vit, store, rows, device="cpu")
    assert all(torch.equal(value, before[key]) for key, value in vit.state_dict().items())


def test_training_mode_is_put_back_and_batch_norm_untouched() -> None:
    backbone = _resnet().train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    extract_features(backbone, _Pixels(_images()), np.arange(7), **CPU)
    assert backbone.training
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_the_cache_is_read_and_renewed_when_anything_changes(tmp_path, monkeypatch) -> None:
    backbone, store, rows = _vit(), _Pixels(_images()), np.arange(4)
    first = cached_features(backbone, store, rows, folder=tmp_path, **CPU)
    [path] = tmp_path.glob("*.npz")
    np.savez(path, features=first + 1)
    np.testing.assert_array_equal(cached_features(backbone, store, rows, folder=tmp_path, **CPU), first + 1)
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(cached_features(backbone, store, rows, folder=tmp_path, **CPU), first)
    cached_features(backbone, store, rows, folder=tmp_path, kind="cls", **CPU)
    cached_features(backbone, store, rows[::-1].copy(), folder=tmp_path, **CPU)
    cached_features(backbone, store, rows, folder=tmp_path, image_size=32, **CPU)
    cached_features(backbone, _Pixels(_images(), "other"), rows, folder=tmp_path, **CPU)
    with torch.no_grad():
        next(backbone.parameters()).add_(1e-3)
    cached_features(backbone, store, rows, folder=tmp_path, **CPU)
    assert len(list(tmp_path.glob("*.npz"))) == 6


def test_the_twin_is_untrained_seeded_and_leaves_the_generator_alone() -> None:
    backbone = _vit()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    twin, again, other = (random_twin(backbone, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    key = next(key for key, value in backbone.state_dict().items() if key.endswith("qkv.weight"))
    weights = [one.state_dict()[key] for one in (backbone, twin, again, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[3])


@pytest.mark.parametrize(("size", "side"), [(64, 32), (100, 32), (224, 32), (20, 32)])
def test_shrinking_keeps_area_and_mean(size: int, side: int) -> None:
    weights = area_weights(size, side)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), side / size, atol=1e-5)
    images = _images(size=size)
    small = shrink(images, side=side)
    np.testing.assert_allclose(small.mean(axis=(1, 2)), images.mean(axis=(1, 2)) / 255, atol=1e-4)


def test_shrinking_by_a_whole_factor_is_the_block_mean_also_in_colour_and_sixteen_bits() -> None:
    images = _images(dtype=np.uint16)
    blocks = images.reshape(7, 32, 2, 32, 2).mean(axis=(2, 4)) / 65535
    np.testing.assert_allclose(shrink(images, side=32), blocks, atol=1e-5)
    colour = np.stack([images, images // 2, images // 4], axis=3)
    np.testing.assert_allclose(shrink(colour, side=32)[..., 0], blocks, atol=1e-5)
    assert pixel_features(_Pixels(colour), np.array([3, 1])).shape == (2, 3072)
