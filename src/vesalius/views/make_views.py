"""Images to views: parameters drawn once; crop, turn and flip in one resampling; then intensities, then the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vesalius.errors import ViewError
from vesalius.records.view import View
from vesalius.views import operations
from vesalius.views.bands import gaussian_taps, weigh_rows
from vesalius.views.crops import Crops, draw_crops
from vesalius.views.geometry import box_taps, resample_separably, resample_turned
from vesalius.views.intensity import Intensity, apply_jitter, draw_intensity
from vesalius.views.plans import ViewPlan, ViewSpec

__all__ = ["ViewParameters", "apply_views", "draw_views", "make_views"]

# Image pixels worked on at a time on a CPU: the working set stays in the cache, and allocations are reused.
_CHUNK_PIXELS = 2_000_000

_Drawn = TypeVar("_Drawn", Crops, Intensity)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewParameters:
    """Everything random about one view of a batch; applying it twice gives the same pixels."""

    crops: Crops
    intensity: Intensity

    def some(self, rows: slice) -> ViewParameters:
        """Return the parameters of some of the images."""
        return ViewParameters(crops=_some(self.crops, rows), intensity=_some(self.intensity, rows))


def draw_views(
    plan: ViewPlan, batch: int, image_size: tuple[int, int], generator: torch.Generator
) -> tuple[ViewParameters, ...]:
    """Draw the parameters of every view of the plan for `batch` images of `image_size` (height, width), on the CPU."""
    drawn = []
    for _, spec in plan.expanded:
        crops = draw_crops(spec, batch, image_size, generator)
        intensity = draw_intensity(spec, batch, generator)
        drawn.append(ViewParameters(crops=_on_cpu(crops), intensity=_on_cpu(intensity)))
    return tuple(drawn)


def make_views(
    images: Shaped[Tensor, "batch channels rows columns"],
    plan: ViewPlan,
    generator: torch.Generator,
    *,
    out_channels: int = 1,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
    dtype: torch.dtype = torch.float32,
) -> tuple[View, ...]:
    """Draw and apply all views of a plan, in its order.

    Args:
        images: uint8 or uint16 of full range, or floating point in [0, 1]; 1 or 3 channels; on any device.
        plan: Which views.
        generator: The only source of randomness; the same seed gives the same parameters for every device.
        out_channels: 1 (colour is weighed to gray first) or 3 (gray is repeated last).
        mean: Subtracted at the end, in [0, 1] units; one for all channels or one a channel.
        std: Divided by at the end.
        dtype: Of the views' pixels; the work is done in float32.

    Returns:
        One `View` per view of the plan, with the affine to the coordinates of `images`.

    Raises:
        ViewError: For images or statistics that no view can be made from.
    """
    _check(images)
    parameters = draw_views(plan, len(images), (images.shape[2], images.shape[3]), generator)
    return apply_views(images, plan, parameters, out_channels=out_channels, mean=mean, std=std, dtype=dtype)


def apply_views(
    images: Shaped[Tensor, "batch channels rows columns"],
    plan: ViewPlan,
    parameters: Sequence[ViewParameters],
    *,
    out_channels: int = 1,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
    dtype: torch.dtype = torch.float32,
) -> tuple[View, ...]:
    """Apply drawn parameters; arguments as in `make_views`. Each image's views depend on that image alone."""
    _check(images)
    _check_statistics(out_channels, mean, std)
    if len(parameters) != len(plan):
        raise ViewError(f"parameters of {len(parameters)} views for plan '{plan.name}' with {len(plan)}")
    batch, image_size, device = len(images), (images.shape[2], images.shape[3]), images.device
    looks = []
    for (name, spec), drawn in zip(plan.expanded, parameters, strict=True):
        pixels = torch.empty((batch, out_channels, spec.size, spec.size), dtype=dtype, device=device)
        affine = drawn.crops.affine((spec.size, spec.size)).to(device)
        view = View(pixels=pixels, affine=affine, image_size=image_size, name=name)
        looks.append((view, spec, drawn))
    gain = _gain(images)
    chunk = (
        batch if device.type != "cpu" else max(1, _CHUNK_PIXELS // (images.shape[1] * image_size[0] * image_size[1]))
    )
    for start in range(0, batch, chunk):
        rows = slice(start, start + chunk)
        table = _table(images[rows], out_channels)
        for view, spec, drawn in looks:
            _fill(view, spec, drawn, table, rows, gain=gain, mean=mean, std=std)
    return tuple(view for view, _, _ in looks)


def _fill(
    view: View,
    spec: ViewSpec,
    parameters: ViewParameters,
    table: Float[Tensor, "n c rows pitch"],
    rows: slice,
    *,
    gain: float,
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write the views of the images `rows`, which `table` holds, into their place in `view`."""
    crops, drawn = _some(parameters.crops, rows), _some(parameters.intensity, rows)
    out, low = view.pixels[rows], None
    if spec.fill == "minimum":
        low = table[..., : view.image_size[1]].amin((1, 2, 3), keepdim=True)
        table = table - low
    turned = _look(table, spec, crops, view.affine[rows], image_size=view.image_size, gain=gain)
    if low is not None:
        turned.add_(low, alpha=gain)
    if spec.interpolation == "bicubic":
        turned.clamp_(0, 1)
    turned = apply_jitter(turned, drawn)
    direct = out.dtype == turned.dtype and out.shape[1] == turned.shape[1]
    pixels = _blur_and_turn(turned, drawn.blur_sigma, spec, out if direct else torch.empty_like(turned))
    inverted = drawn.solarize.nonzero()[:, 0].to(pixels.device)
    if len(inverted):
        pixels[inverted] = operations.solarize(pixels[inverted], spec.solarize_threshold)
    _normalise(pixels, out, mean, std)


def _look(
    table: Float[Tensor, "n c rows pitch"],
    spec: ViewSpec,
    crops: Crops,
    affine: Float[Tensor, "n 2 3"],
    *,
    image_size: tuple[int, int],
    gain: float,
) -> Float[Tensor, "n c width height"]:
    """The one resampling, columns first: banded for upright crops, grid sampling for turned ones."""
    device, size = table.device, (spec.size, spec.size)
    options: dict[str, Any] = {"interpolation": spec.interpolation, "fill": spec.fill}
    is_turned = crops.rotation_deg != 0
    out = None
    if bool(is_turned.any()):
        rows = is_turned.nonzero()[:, 0].to(device)
        rotated = resample_turned(table, rows, affine[rows], size, columns=image_size[1], **options).mul_(gain)
        if len(rows) == len(table):
            return rotated
        out = table.new_empty((len(table), *rotated.shape[1:]))
        out[rows] = rotated
    upright = (~is_turned).nonzero()[:, 0]
    row_taps, column_taps = box_taps(crops.box[upright], crops.flip[upright], image_size, size, **options)
    row_taps.weight.mul_(gain)
    upright = upright.to(device)
    straight = resample_separably(table, upright, row_taps.to(device), column_taps.to(device), image_size[1])
    if out is None:
        return straight
    out[upright] = straight
    return out


def _blur_and_turn(
    turned: Float[Tensor, "n c width height"],
    sigma: Float[Tensor, "n"],
    spec: ViewSpec,
    pixels: Float[Tensor, "n c height width"],
) -> Float[Tensor, "n c height width"]:
    """Turn rows first into `pixels`; blur the chosen images along the columns before and along the rows after."""
    chosen = (sigma > 0).nonzero()[:, 0]
    if len(chosen) == 0:
        return pixels.copy_(turned.transpose(2, 3))
    taps = gaussian_taps(sigma[chosen].to(turned.device), size=spec.size, kernel_size=spec.blur_kernel)
    chosen = chosen.to(turned.device)
    turned[chosen] = weigh_rows(turned, chosen, taps)
    pixels.copy_(turned.transpose(2, 3))
    pixels[chosen] = weigh_rows(pixels, chosen, taps)
    return pixels


def _normalise(
    pixels: Float[Tensor, "n c height width"],
    out: Float[Tensor, "n out height width"],
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write (pixels - mean) / std into `out`, which may be `pixels`, repeating gray where it has more channels."""
    channels = out.shape[1]
    means, stds = list(mean) * (channels // len(mean)), list(std) * (channels // len(std))
    for channel in range(channels):
        source, target = pixels[:, min(channel, pixels.shape[1] - 1)], out[:, channel]
        if source.data_ptr() == target.data_ptr():
            target.sub_(means[channel]).mul_(1 / stds[channel])
        else:
            target.copy_(source.sub(means[channel]).mul_(1 / stds[channel]))


def _table(images: Shaped[Tensor, "n c rows columns"], out_channels: int) -> Float[Tensor, "n out rows pitch"]:
    """Float copy of the images, in their own units, with rows padded against cache aliasing.

    Rows whose length in bytes is a multiple of 256 all start in the same few cache sets, which makes transposing them
    twice as slow.
    """
    count, channels, rows, columns = images.shape
    if channels == 3 and out_channels == 1:
        images, channels = images.float().mean(dim=1, keepdim=True), 1  # as `normalise` does
    pitch = columns + (16 if columns % 64 == 0 else 0)
    table = torch.empty((count, channels, rows, pitch), device=images.device)
    table[..., :columns] = images
    table[..., columns:] = 0
    return table


def _gain(images: Shaped[Tensor, "batch c rows columns"]) -> float:
    """Return what brings the images' values to [0, 1]."""
    if images.dtype == torch.uint8:
        return 1 / 255
    if images.dtype == torch.uint16:
        return 1 / 65535
    low, high = (float(value) for value in torch.aminmax(images))
    if not (low >= 0 and high <= 1):
        raise ViewError(f"floating-point images in [{low:g}, {high:g}]; expected finite values in [0, 1]")
    return 1.0


def _check(images: Tensor) -> None:
    if images.shape[1] not in {1, 3}:
        raise ViewError(f"images of {images.shape[1]} channels; expected [batch, 1 or 3, height, width]")
    if 0 in images.shape:
        raise ViewError(f"images of shape {tuple(images.shape)}; expected at least one image of at least one pixel")
    if images.dtype not in {torch.uint8, torch.uint16} and not images.is_floating_point():
        raise ViewError(f"images of {images.dtype}; expected uint8, uint16 or floating point in [0, 1]")


def _check_statistics(out_channels: int, mean: Sequence[float], std: Sequence[float]) -> None:
    if out_channels not in {1, 3}:
        raise ViewError(f"out_channels = {out_channels}; expected 1 or 3")
    if len(mean) not in {1, out_channels} or len(std) not in {1, out_channels}:
        raise ViewError(
            f"{len(mean)} means and {len(std)} stds for {out_channels} channels; expected 1 or one a channel"
        )
    if any(not value > 0 for value in std):
        raise ViewError(f"std = {tuple(std)}; expected positive numbers")


def _some(drawn: _Drawn, rows: slice) -> _Drawn:
    """Return the parameters of some of the images."""
    return type(drawn)(**{field.name: getattr(drawn, field.name)[rows] for field in fields(drawn)})


def _on_cpu(drawn: _Drawn) -> _Drawn:
    return type(drawn)(**{field.name: getattr(drawn, field.name).cpu() for field in fields(drawn)})
