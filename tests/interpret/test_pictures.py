from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vesalius.errors import ViewError
from vesalius.interpret import pictures
from vesalius.interpret.pictures import attention_picture, overlay, save_png, views_picture
from vesalius.records.view import View

AFFINE = torch.eye(2, 3).expand(2, 2, 3)


def _view(value: float, size: int, *, channels: int = 3, name: str = "global_1") -> View:
    pixels = torch.full((2, channels, size, size), (value - 0.5) / 0.25)
    return View(pixels=pixels, affine=AFFINE, image_size=(64, 64), name=name)


def test_views_are_shown_with_the_normalisation_undone_and_to_scale() -> None:
    views = [_view(0.2, 64), _view(0.8, 32, name="local")]
    picture = views_picture(views, [0.5] * 3, [0.25] * 3, cell=128)
    assert picture.dtype == np.uint8
    assert (picture == round(0.2 * 255)).all(-1).sum() == 2 * 128 * 128
    # The local view has half the side, so a quarter of the area.
    assert (picture == round(0.8 * 255)).all(-1).sum() == 2 * 64 * 64
    assert (picture[:20] < 128).any(), "captions are drawn"


def test_gray_views_become_rgb_and_rows_are_limited() -> None:
    picture = views_picture([_view(0.5, 16, channels=1)], [0.5], [0.25], images=1, cell=64)
    assert (picture == 128).all(-1).sum() == 64 * 64


def test_no_views() -> None:
    with pytest.raises(ViewError, match="got none"):
        views_picture([], [0.5], [0.5])


def test_overlay_is_brightest_where_the_map_is_largest_and_blends_exactly() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    heat = np.array([[0.0, 0.0], [0.0, 2.0]], np.float32)
    shown = overlay(image, heat, opacity=0.5, colours="gray")
    assert shown[0, 0].tolist() == [50, 50, 50]
    assert shown[1, 1].tolist() == [178, 178, 178]
    assert np.array_equal(overlay(image, heat, opacity=0.0), image)
    assert np.isfinite(overlay(image, np.zeros((2, 2), np.float32)).astype(float)).all()


def test_attention_picture_puts_the_heat_on_the_right_patch_of_the_right_head() -> None:
    attention = torch.zeros(1, 2, 4)
    attention[0, 0, 1] = 0.9  # head 1: upper right
    attention[0, 1, 2] = 0.9  # head 2: lower left
    images = torch.full((1, 1, 32, 32), 128, dtype=torch.uint8)
    cell, gap, caption = 96, pictures._GAP, pictures._CAPTION
    picture = attention_picture(images, attention, (2, 2), cell=cell).astype(int).sum(-1)

    def quarter_means(column: int) -> list[float]:
        left = gap + column * (cell + gap)
        shown = picture[caption : caption + cell, left : left + cell]
        half = cell // 2
        return [float(shown[r : r + half, c : c + half].mean()) for r in (0, half) for c in (0, half)]

    assert len(set(quarter_means(0))) == 1, "the image itself carries no heat"
    assert int(np.argmax(quarter_means(1))) == 1
    assert int(np.argmax(quarter_means(2))) == 2


def test_attention_picture_undoes_the_normalisation_and_outlines_the_mass() -> None:
    images = torch.zeros(1, 3, 32, 32)
    attention = torch.tensor([[[0.7, 0.1, 0.1, 0.1]]])
    picture = attention_picture(images, attention, (2, 2), mean=[0.4] * 3, std=[0.2] * 3, cell=96)
    left = pictures._GAP
    assert (picture[30:110, left : left + 96] == round(0.4 * 255)).all()
    second = picture[pictures._CAPTION :, left + 96 + pictures._GAP :][:96, :96]
    assert second[47, 20].tolist() == [255, 255, 255], "lower border of the upper left patch"
    assert second[47, 70].tolist() != [255, 255, 255]


def test_png_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    path = tmp_path / "pictures" / "views.png"
    save_png(array, path)
    assert np.array_equal(np.asarray(Image.open(path)), array)

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        save_png(array, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["views.png"]
