"""How a labelled image is looked at where a network learns from it: one view, cropped, turned, mirrored, lit anew."""

from __future__ import annotations

from vesalius.evaluation.round_options import RoundOptions
from vesalius.views.plans import ViewPlan, ViewSpec

__all__ = ["learning_view"]


def learning_view(
    options: RoundOptions, image_size: int, *, saturation: float = 0.0, hue: float = 0.0, gamma: float = 0.0
) -> ViewPlan:
    """Return the view.

    Args:
        options: `flip`, `vertical_flip`, `rotation`, `smallest_crop`, `largest_crop` and `intensity` count.
        image_size: Side of the input, px.
        saturation: How far colours may fade or gain.
        hue: How far they may turn, as a share of the circle.
        gamma: How far mid-tones may shift.
    """
    area = (options.smallest_crop, options.largest_crop)
    spec = ViewSpec(
        name="view", size=image_size, area=area, aspect=(0.85, 1.18), flip_p=options.flip,
        vertical_flip_p=options.vertical_flip, rotation_p=0.5, rotation_deg=options.rotation, interpolation="bilinear",
        brightness=options.intensity, contrast=options.intensity, saturation=saturation, hue=hue, gamma=gamma,
    )  # fmt: skip
    return ViewPlan(name="labelled", specs=(spec,), teacher_views=(0,))
