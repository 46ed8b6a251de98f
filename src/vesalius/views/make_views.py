"""Images to views: parameters drawn once; crop, turn and flip in one resampling; then intensities, then the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vesalius.errors import ViewError
from vesalius.records.view import View
from vesalius.views import operations
from vesalius.views.bands import gaussian_taps, weigh_rows
from vesalius.views.crops import Crops, draw_crops
from vesalius.views.geometry import resample_boxes, resample_turned
from vesalius.views.intensity import Intensity, apply_jitter, draw_intensity
from vesalius.views.plans import ViewPlan, ViewSpec

__all__ = ["ViewParameters", "apply_views", "draw_views", "make_views"]

# Pixels worked on at a time on a CPU: the working set stays in the cache, and allocations are reused.
_CHUNK_PIXELS = 1_000_000

_Drawn = TypeVar("_Drawn", Crops, Intensity)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewParameters:
    """Everything random about one view of a batch; applying it twice gives the same pixels."""

    crops: Crops
    intensity: Intensity


def draw_views(
    plan: ViewPlan, batch: int, image_size: tuple[int, int], generator: torch.Generator
) -> tuple[ViewParameters, ...]:
    """Draw the parameters of every view of the plan for `batch` images of `image_size` (height, width), on the CPU."""
    drawn = []
    for _, spec in plan.expanded:
        crops = draw_crops(spec, batch, image_size, generator)
        intensity = draw_intensity(spec, batch, generator)
        drawn.append(ViewParameters(crops=_map(crops, Tensor.cpu), intensity=_map(intensity, Tensor.cpu)))
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
    batch, image_size = len(images), (images.shape[2], images.shape[3])
    table = _to_unit(images)
    if out_channels == 1:
        table = operations.rgb_to_grayscale(table)
    views: dict[int, View] = {}
    expanded = plan.expanded
    places = sorted(range(len(expanded)), key=lambda place: _kind(expanded[place][1]))
    for _, group in groupby(places, key=lambda place: _kind(expanded[place][1])):
        members = list(group)
        crops = _join([parameters[place].crops for place in members])
        intensity = _join([parameters[place].intensity for place in members])
        spec = expanded[members[0]][1]
        pixels = _apply_group(table, spec, crops, intensity, out_channels=out_channels, mean=mean, std=std, dtype=dtype)
        for number, place in enumerate(members):
            rows = slice(number * batch, (number + 1) * batch)
            affine = parameters[place].crops.affine((spec.size, spec.size)).to(images.device)
            views[place] = View(pixels=pixels[rows], affine=affine, image_size=image_size, name=expanded[place][0])
    return tuple(views[place] for place in range(len(expanded)))


def _kind(spec: ViewSpec) -> tuple[int, str, str, int, float]:
    """Views that agree in this are made together."""
    return (spec.size, spec.interpolation, spec.fill, spec.blur_kernel, spec.solarize_threshold)


def _apply_group(
    table: Float[Tensor, "batch c rows columns"],
    spec: ViewSpec,
    crops: Crops,
    intensity: Intensity,
    *,
    out_channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype,
) -> Float[Tensor, "n out height width"]:
    """All views of one kind, chunk by chunk."""
    count, device = len(crops.box), table.device
    low = None
    if spec.fill == "minimum":
        low = table.amin((1, 2, 3), keepdim=True)
        table = table - low
    source = torch.arange(len(table)).repeat(count // len(table))
    out = torch.empty((count, out_channels, spec.size, spec.size), dtype=dtype, device=device)
    chunk = count if device.type != "cpu" else max(1, _CHUNK_PIXELS // (table.shape[1] * spec.size**2))
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        picked, drawn = _map(crops, lambda t, r=rows: t[r]), _map(intensity, lambda t, r=rows: t[r])
        turned = _look(table, source[rows], spec, picked)
        if low is not None:
            turned.add_(low[source[rows].to(device)])
        if spec.interpolation == "bicubic":
            turned.clamp_(0, 1)
        turned = apply_jitter(turned, drawn)
        pixels = _blur_and_turn(turned, drawn.blur_sigma, spec)
        _solarize(pixels, drawn, spec.solarize_threshold)
        _normalise(pixels, out[rows], mean, std)
    return out


def _look(
    table: Float[Tensor, "batch c rows columns"], source: Int[Tensor, "n"], spec: ViewSpec, crops: Crops
) -> Float[Tensor, "n c width height"]:
    """The one resampling, columns first: banded for upright crops, grid sampling for turned ones."""
    device, size = table.device, (spec.size, spec.size)
    turned = crops.rotation_deg != 0

    def upright(rows: Tensor) -> Tensor:
        box, flip = crops.box[rows].to(device), crops.flip[rows].to(device)
        return resample_boxes(
            table, source[rows].to(device), box, flip, size, interpolation=spec.interpolation, fill=spec.fill
        )

    if not bool(turned.any()):
        return upright(torch.arange(len(source)))
    rows = turned.nonzero()[:, 0]
    affine = crops.affine(size)[rows].to(device)
    rotated = resample_turned(
        table, source[rows].to(device), affine, size, interpolation=spec.interpolation, fill=spec.fill
    )
    if len(rows) == len(source):
        return rotated
    out = torch.empty((len(source), *rotated.shape[1:]), device=device, dtype=table.dtype)
    out[rows.to(device)] = rotated
    rest = (~turned).nonzero()[:, 0]
    out[rest.to(device)] = upright(rest)
    return out


def _blur_and_turn(
    turned: Float[Tensor, "n c width height"], sigma: Float[Tensor, "n"], spec: ViewSpec
) -> Float[Tensor, "n c height width"]:
    """Blur the chosen images, along the columns before and along the rows after the transposition that all need."""
    chosen = (sigma > 0).nonzero()[:, 0]
    if len(chosen) == 0:
        return turned.transpose(2, 3).contiguous()
    taps = gaussian_taps(sigma[chosen].to(turned.device), size=spec.size, kernel_size=spec.blur_kernel)
    chosen = chosen.to(turned.device)
    turned[chosen] = weigh_rows(turned, chosen, taps)
    pixels = turned.transpose(2, 3).contiguous()
    pixels[chosen] = weigh_rows(pixels, chosen, taps)
    return pixels


def _solarize(pixels: Float[Tensor, "n c height width"], drawn: Intensity, threshold: float) -> None:
    rows = drawn.solarize.nonzero()[:, 0].to(pixels.device)
    if len(rows):
        limit = torch.full((len(rows),), threshold, device=pixels.device)
        pixels[rows] = operations.solarize(pixels[rows], limit)


def _normalise(
    pixels: Float[Tensor, "n c height width"],
    out: Float[Tensor, "n out height width"],
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write (pixels - mean) / std into `out`, repeating gray where more channels are asked for. Overwrites `pixels`."""
    channels = out.shape[1]
    means = torch.tensor(list(mean), device=pixels.device).expand(channels).view(1, -1, 1, 1)
    scales = 1 / torch.tensor(list(std), device=pixels.device).expand(channels).view(1, -1, 1, 1)
    if pixels.shape[1] == channels:
        out.copy_(pixels.mul_(scales).sub_(means * scales))
    else:
        for channel in range(channels):
            one = pixels * scales[:, channel] - means[:, channel] * scales[:, channel]
            out[:, channel : channel + 1] = one


def _to_unit(images: Shaped[Tensor, "batch c rows columns"]) -> Float[Tensor, "batch c rows columns"]:
    """Any accepted dtype to float32 in [0, 1]."""
    if images.dtype == torch.uint8:
        return images.float().mul_(1 / 255)
    if images.dtype == torch.uint16:
        return images.float().mul_(1 / 65535)
    values = images.float()
    low, high = torch.aminmax(values)
    if not (float(low) >= 0 and float(high) <= 1):
        raise ViewError(f"floating-point images in [{float(low):g}, {float(high):g}]; expected finite values in [0, 1]")
    return values


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


def _map(drawn: _Drawn, function: object) -> _Drawn:
    """Apply a function to every tensor of a parameter record."""
    return type(drawn)(**{field.name: function(getattr(drawn, field.name)) for field in fields(drawn)})  # type: ignore[operator]


def _join(drawn: Sequence[_Drawn]) -> _Drawn:
    """Stack the parameters of several views, view after view."""
    first = drawn[0]
    return type(first)(**{f.name: torch.cat([getattr(one, f.name) for one in drawn]) for f in fields(first)})
