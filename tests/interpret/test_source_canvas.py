"""Maps over the square that a backbone sees, drawn over the file's own pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vesalius.data.fit import fit
from vesalius.data.source_image import SourceImage
from vesalius.errors import ConfigError
from vesalius.interpret.attention_maps import enlarge_nearest
from vesalius.interpret.part_maps import PartMaps
from vesalius.interpret.pictures import PART_COLOURS
from vesalius.interpret.source_canvas import SourceCanvas, check_upsampling, sample_map
from vesalius.records.sample import Window


def source(rows: int, columns: int, *, size: int = 48, mode: str = "pad", gray: int = 100) -> SourceImage:
    pixels = np.full((rows, columns, 3), gray, np.uint8)
    square, placed = fit(pixels[..., 0], size, mode)
    window = Window(low=0.0, high=255.0, source="range")
    return SourceImage(name="a", sha256="", frame=0, pixels=pixels, square=square, placement=placed, window=window)


def one_cell(row: int, column: int, side: int = 4) -> torch.Tensor:
    values = torch.zeros(side, side)
    values[row, column] = 1.0
    return values


@pytest.mark.parametrize("size", [(12, 12), (7, 19), (3, 2)])
def test_places_of_pixel_centres_give_what_torch_gives(size: tuple[int, int]) -> None:
    values = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    down = (torch.arange(size[0]) + 0.5) * 4 / size[0]
    across = (torch.arange(size[1]) + 0.5) * 5 / size[1]
    smooth = functional.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(sample_map(values, down, across), smooth)
    repeated = enlarge_nearest(values[None, None], size)[0, 0]
    assert torch.equal(sample_map(values, down, across, upsampling="nearest"), repeated)


def test_a_padded_image_gets_the_part_of_the_map_that_lies_on_it() -> None:
    """24 x 48 pixels lie in rows 12 to 36 of the 48 x 48 square, so that cell row 1 of 4 begins at their top."""
    canvas = SourceCanvas(source(24, 48))
    heat = canvas.project(one_cell(1, 2), upsampling="nearest")
    assert heat.shape == (24, 48)
    assert heat[:12, 24:36].all()
    assert heat.sum() == 12 * 12
    assert canvas.project(one_cell(0, 2), upsampling="nearest").sum() == 0, "the upper bar is not in the file"


def test_a_cropped_image_stays_bare_where_nothing_looked() -> None:
    canvas = SourceCanvas(source(24, 48, size=24, mode="crop"))
    heat = canvas.project(torch.ones(2, 2))
    assert np.isnan(heat[:, :12]).all()
    assert np.isnan(heat[:, 36:]).all()
    assert (heat[:, 12:36] == 1).all()
    drawn = canvas.overlay(one_cell(0, 0, 2), (2.0, 2.0), upsampling="nearest")
    assert (drawn[:, :12] == 100).all()
    assert (drawn[12:, 12:24] < 60).all(), "seen, but not attended: dim"
    assert drawn[:12, 12:24].sum() > drawn[:12, 24:36].sum()


def test_a_last_patch_that_was_filled_up_is_cut() -> None:
    """40 px of input are 2.5 patches of 16: the third patch's second half lies beyond the image."""
    canvas = SourceCanvas(source(40, 40, size=40))
    heat = canvas.project(one_cell(2, 0, 3), (2.5, 2.5), upsampling="nearest")
    assert heat[32:, :16].all()
    assert heat.sum() == 8 * 16


def test_brightness_is_of_the_whole_map() -> None:
    """Attention on the bars is not shown, and must not make what little is left look like much."""
    values = one_cell(0, 0)
    values[1, 2] = 0.1
    drawn = SourceCanvas(source(24, 48)).overlay(values, (4.0, 4.0), upsampling="nearest")
    alone = SourceCanvas(source(24, 48)).overlay(one_cell(1, 2), (4.0, 4.0), upsampling="nearest")
    assert drawn[5, 30].max() < alone[5, 30].max() / 2


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(20, 90),
    columns=st.integers(20, 90),
    mode=st.sampled_from(["pad", "crop", "squash"]),
    row=st.integers(1, 3),
    column=st.integers(1, 3),
    longest=st.sampled_from([None, 64]),
)
def test_the_peak_of_the_overlay_is_the_peak_of_the_attention(rows, columns, mode, row, column, longest) -> None:
    read = source(rows, columns, size=40, mode=mode)
    x, y = read.placement.to_source((column + 0.5) * 8, (row + 0.5) * 8)  # the cell's centre, by the store's own map
    canvas = SourceCanvas(read, longest=longest)
    height, width = canvas.picture.shape[:2]
    if not (1 < x < columns - 1 and 1 < y < rows - 1):
        return  # on a bar
    heat = np.nan_to_num(canvas.project(one_cell(row, column, 5)))
    shown = canvas.overlay(one_cell(row, column, 5), (5.0, 5.0)).sum(-1, dtype=int)
    for drawn, pixels in ((heat, 0.51), (shown, 1.51)):  # 8-bit colours of neighbouring pixels may be equal
        at = np.argwhere(drawn == drawn.max()).mean(0) + 0.5
        assert at[0] * rows / height == pytest.approx(y, abs=pixels * rows / height)
        assert at[1] * columns / width == pytest.approx(x, abs=pixels * columns / width)


def test_parts_are_outlined_each_in_its_colour_and_place() -> None:
    values = torch.zeros(2, 4, 4)
    values[0, 1, 0], values[1, 2, 3] = 1.0, 1.0
    parts = PartMaps(caption="masks", names=("lung", "heart"), values=values)
    canvas = SourceCanvas(source(24, 48))
    drawn = canvas.outline_parts(parts, parts.names)
    for colour, half in zip(PART_COLOURS, (np.s_[:12, :24], np.s_[12:, 24:]), strict=False):
        found = (drawn == colour).all(-1)
        assert found[half].sum() == found.sum() > 10
    assert canvas.outline_part(canvas.picture, parts, "liver", parts.names) is canvas.picture
    # Of maps in another order, or with fewer parts, each part keeps the colour that the legend gives it.
    heart = PartMaps(caption="other", names=("heart",), values=values[1:])
    assert (canvas.outline_parts(heart, parts.names) == PART_COLOURS[1]).all(-1).sum() > 10
    assert not (canvas.outline_parts(heart, parts.names) == PART_COLOURS[0]).all(-1).any()


def test_unknown_upsampling() -> None:
    with pytest.raises(ConfigError, match="did you mean 'nearest'"):
        check_upsampling("neares")
