"""What happens to a view's intensities: parameters drawn per image in one place, applied in another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.views import operations
from vesalius.views.plans import ViewSpec
from vesalius.views.uniform import uniform

__all__ = ["Intensity", "apply_jitter", "draw_intensity"]

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """The intensity parameters of one view of every image of a batch; what was not drawn holds its identity.

    Attributes:
        order: For each image, the order of brightness (0), contrast (1), saturation (2) and hue (3).
        brightness, contrast, saturation: Factors, identity 1.
        hue: Turn as a share of the circle, identity 0.
        gray: Whether the colour is dropped.
        gamma, sharpness: Factors, identity 1.
        blur_sigma: In view pixels, 0 = no blur.
        solarize: Whether values above the threshold are inverted.
    """

    order: Int[Tensor, "n 4"]
    brightness: Float[Tensor, "n"]
    contrast: Float[Tensor, "n"]
    saturation: Float[Tensor, "n"]
    hue: Float[Tensor, "n"]
    gray: Bool[Tensor, "n"]
    gamma: Float[Tensor, "n"]
    sharpness: Float[Tensor, "n"]
    blur_sigma: Float[Tensor, "n"]
    solarize: Bool[Tensor, "n"]


def draw_intensity(spec: ViewSpec, batch: int, generator: torch.Generator) -> Intensity:
    """Draw the intensity parameters of one view of `batch` images; the generator is the only source of randomness."""
    jittered = uniform(generator, batch) < spec.jitter_p
    everywhere = torch.ones_like(jittered)
    low, high = spec.blur_sigma
    return Intensity(
        order=uniform(generator, batch, 4).argsort(1),
        brightness=_factor(spec.brightness, spec.brightness_p, jittered, generator),
        contrast=_factor(spec.contrast, spec.contrast_p, jittered, generator),
        saturation=_factor(spec.saturation, 1.0, jittered, generator),
        hue=torch.where(jittered, (2 * uniform(generator, batch) - 1) * spec.hue, 0.0),
        gray=uniform(generator, batch) < spec.gray_p,
        gamma=_factor(spec.gamma, spec.gamma_p, everywhere, generator),
        sharpness=_factor(spec.sharpness, spec.sharpness_p, everywhere, generator),
        blur_sigma=torch.where(
            uniform(generator, batch) < spec.blur_p, low + (high - low) * uniform(generator, batch), 0.0
        ),
        solarize=uniform(generator, batch) < spec.solarize_p,
    )


def _factor(strength: float, probability: float, where: Bool[Tensor, "n"], generator: torch.Generator) -> Tensor:
    """Draw factors from 1 - strength (0 at least) to 1 + strength for images of `where`, 1 elsewhere."""
    low = max(0.0, 1.0 - strength)
    chosen = uniform(generator, len(where)) < probability
    value = low + (1 + strength - low) * uniform(generator, len(where))
    return torch.where(chosen & where, value, 1.0)


def apply_jitter(images: Float[Tensor, "n c height width"], drawn: Intensity) -> Float[Tensor, "n c height width"]:
    """Apply brightness, contrast, saturation and hue in each image's own order, then gray, gamma and sharpness.

    The images, `[n, channels, height, width]` in [0, 1] and in either orientation, are overwritten. `drawn` lies on the
    CPU, so that which images an operation concerns is known without waiting for the device.
    """
    colour = images.shape[1] == 3
    kinds = 4 if colour else 2
    # For gray images only the relative order of brightness and contrast matters: two steps instead of four.
    order = drawn.order if colour else drawn.order[drawn.order < kinds].view(-1, kinds)
    for step in range(kinds):
        _affine_step(images, order[:, step], drawn)
        if colour:
            _apply(images, (order[:, step] == _SATURATION) & (drawn.saturation != 1), drawn.saturation, "saturation")
            _apply(images, (order[:, step] == _HUE) & (drawn.hue != 0), drawn.hue, "hue")
    if colour:
        _apply(images, drawn.gray, drawn.gray.float(), "gray")
    _apply(images, drawn.gamma != 1, drawn.gamma, "gamma")
    _apply(images, drawn.sharpness != 1, drawn.sharpness, "sharpness")
    return images


def _affine_step(images: Tensor, kind: Int[Tensor, "n"], drawn: Intensity) -> None:
    """Brightness or contrast, whichever this step asks of each image: a x + b, clamped; others get a = 1, b = 0."""
    contrast = torch.where(kind == _CONTRAST, drawn.contrast, 1.0)
    scale = torch.where(kind == _BRIGHTNESS, drawn.brightness, contrast)
    if bool((scale == 1).all()):
        return
    shift = (1 - contrast).to(images.device).view(-1, 1, 1, 1)
    if bool((contrast != 1).any()):
        shift = shift * operations.rgb_to_grayscale(images).mean((1, 2, 3), keepdim=True)
    images.mul_(scale.to(images.device).view(-1, 1, 1, 1)).add_(shift).clamp_(0, 1)


_OPERATIONS = {
    "saturation": operations.adjust_saturation,
    "hue": operations.adjust_hue,
    "gray": lambda images, _: operations.rgb_to_grayscale(images).expand_as(images),
    "gamma": operations.adjust_gamma,
    "sharpness": operations.adjust_sharpness,
}


def _apply(images: Tensor, chosen: Bool[Tensor, "n"], factor: Float[Tensor, "n"], operation: str) -> None:
    """Overwrite the chosen images with what the operation makes of them."""
    if bool(chosen.any()):
        rows = chosen.nonzero()[:, 0]
        factor = factor[rows].to(images.device)
        rows = rows.to(images.device)
        images[rows] = _OPERATIONS[operation](images[rows], factor)
