"""What a registration makes of a template's parts: maps of the image, how far to trust them, how good they are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from vesalius.guidance.templates import TemplateMaps
from vesalius.registration.deformation import Deformation, area_factor, warp

__all__ = ["carry", "focus_on", "quality_of"]

REACH, ELSEWHERE = 0.06, 0.05
"""About the parts a registration looks this share of the image's side further; all else counts this little."""

BEYOND = 0.1
"""A place this share of the template's side outside of it is still trusted: the deformation is smooth, and a patch at
the image's rim has to learn that it lies outside rather than nothing at all."""


def carry(
    parts: Float[Tensor, "1 parts rows columns"],
    found: Deformation,
    *,
    map_size: int,
    moved: Float[Tensor, "batch parts height width"] | None = None,
) -> TemplateMaps:
    """Carry a template's parts to the images registered to it.

    Args:
        parts: Of the template.
        found: Where the images' pixels lie in it.
        map_size: Side of the maps.
        moved: The parts as carried already, where they come from several templates.

    Returns:
        Maps, with `similarity` (of the registration), `folding` (share of pixels where the deformation folds) and, with
        parts, `overlap` (Dice of the moved parts with the unmoved ones, averaged) as quality.
    """
    moved = warp(parts, found.coordinates) if moved is None else moved
    factor = area_factor(found.coordinates)
    near = ((found.coordinates >= -BEYOND) & (found.coordinates <= 1 + BEYOND)).all(1, keepdim=True)
    size = (map_size, map_size)
    trusted = ((factor[:, None] > 0) & near).to(found.coordinates)
    known = functional.interpolate(trusted, size=size, mode="area") > 0.999
    quality = quality_of(parts, found, moved)
    if parts.shape[1]:
        moved = functional.interpolate(moved, size=size, mode="area")
    else:
        moved = trusted.new_zeros(len(trusted), 0, *size)
    return TemplateMaps(
        parts=moved,
        coordinates=functional.interpolate(found.coordinates, size=size, mode="area"),
        known=known.to(found.coordinates),
        quality=quality,
    )


def quality_of(
    parts: Float[Tensor, "1 parts rows columns"], found: Deformation, moved: Float[Tensor, "batch parts height width"]
) -> dict[str, Float[Tensor, "batch"]]:
    """Return the figures of `carry`'s quality: of one template's parts, moved by one deformation."""
    folding = (area_factor(found.coordinates) <= 0).float().mean((1, 2))
    quality = {"similarity": found.similarity, "folding": folding}
    return quality | ({"overlap": _dice(moved, parts).mean(1)} if parts.shape[1] else {})


def focus_on(parts: Float[Tensor, "1 parts rows columns"]) -> Float[Tensor, "1 1 rows columns"] | None:
    """Return the weights of a comparison that looks at the parts and just about them: 1 there, little elsewhere.

    Arms, neck and what lies under the diaphragm differ between two images of one view and say nothing of the parts.
    Without parts every place counts the same: None.
    """
    if not parts.shape[1]:
        return None
    reach = max(1, round(REACH * max(parts.shape[2:])))
    window = 2 * reach + 1
    near = functional.max_pool2d((parts > 0.5).to(parts).amax(1, keepdim=True), window, 1, reach)
    return near * (1 - ELSEWHERE) + ELSEWHERE


def _dice(one: Tensor, other: Tensor) -> Float[Tensor, "batch parts"]:
    """Soft Dice of two sets of maps of one size."""
    other = functional.interpolate(other, size=one.shape[2:], mode="area")
    common = (one * other).sum((2, 3))
    return 2 * common / (one.sum((2, 3)) + other.sum((2, 3))).clamp_min(1e-6)
