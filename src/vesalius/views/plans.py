"""Which views a method looks at, with every number of the papers' augmentations in the open."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vesalius.errors import ConfigError, nearest
from vesalius.views.bands import Fill, Interpolation

__all__ = ["PLANS", "ViewPlan", "ViewSpec", "plan_by_name"]


class ViewSpec(BaseModel):
    """How one kind of view is drawn. Strengths s mean a factor uniform in [max(0, 1 - s), 1 + s], as in torchvision.

    Attributes:
        name: Role in the plan (`global_1`, `local`).
        count: How many such views are drawn.
        size: Side of the square view in pixels.
        area: Range of the crop's share of the image area; beyond 1 it takes in what lies outside the image.
        aspect: Range of the crop's width over height, log-uniform.
        translation: Largest shift of the crop, as a share of the image side; it may leave the image.
        flip_p: Probability of a left-right flip.
        vertical_flip_p: Probability of an upside-down flip.
        rotation_p, rotation_deg: Probability and largest angle of a turn about the crop's centre.
        interpolation: `bicubic` or `bilinear`; antialiased when shrinking.
        fill: What lies outside the image: `zero`, `minimum` (the image's own), `edge` or `reflect`.
        jitter_p: Probability that the colour jitter (the next four, in random order per image) happens at all.
        brightness, contrast, saturation: Strengths. Saturation and hue leave one-channel images as they are.
        hue: Largest turn of the hue, as a share of the circle.
        brightness_p, contrast_p: Probability of each once the jitter happens.
        gray_p: Probability of dropping the colour.
        gamma, gamma_p: Strength and probability of x ** factor.
        sharpness, sharpness_p: Strength and probability of sharpening or softening.
        blur_p, blur_sigma: Probability and range of the Gaussian blur's standard deviation in view pixels.
            The kernel has 2 * ceil(3 * largest sigma) + 1 taps.
        solarize_p, solarize_threshold: Probability of inverting all values at or above the threshold (of 1).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    count: int = Field(1, ge=0)
    size: int = Field(224, ge=1)
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    translation: float = Field(0.0, ge=0, le=1)
    flip_p: float = Field(0.0, ge=0, le=1)
    vertical_flip_p: float = Field(0.0, ge=0, le=1)
    rotation_p: float = Field(0.0, ge=0, le=1)
    rotation_deg: float = Field(0.0, ge=0, le=180)
    interpolation: Interpolation = "bicubic"
    fill: Fill = "zero"
    jitter_p: float = Field(1.0, ge=0, le=1)
    brightness: float = Field(0.0, ge=0)
    brightness_p: float = Field(1.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0)
    contrast_p: float = Field(1.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0)
    hue: float = Field(0.0, ge=0, le=0.5)
    gray_p: float = Field(0.0, ge=0, le=1)
    gamma: float = Field(0.0, ge=0, lt=1)
    gamma_p: float = Field(1.0, ge=0, le=1)
    sharpness: float = Field(0.0, ge=0)
    sharpness_p: float = Field(1.0, ge=0, le=1)
    blur_p: float = Field(0.0, ge=0, le=1)
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize_p: float = Field(0.0, ge=0, le=1)
    solarize_threshold: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _check_ranges(self) -> ViewSpec:
        for field, low, high in (("area", 0.0, 4.0), ("aspect", 0.0, 1e3), ("blur_sigma", 0.0, 1e3)):
            first, last = getattr(self, field)
            if not low < first <= last <= high:
                raise ValueError(f"{field} = ({first}, {last}): expected {low} < low <= high <= {high}")
        return self

    @property
    def blur_kernel(self) -> int:
        """Taps of the blur kernel: three standard deviations of the largest sigma to either side."""
        return 2 * int(-(-3 * self.blur_sigma[1] // 1)) + 1


class ViewPlan(BaseModel):
    """The views of one training step, in order.

    Attributes:
        name: The plan's name.
        specs: Kinds of views; one with `count` n stands for n views.
        teacher_views: Places, in the expanded order, of the views that the teacher sees.
        note: Where the numbers come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    specs: tuple[ViewSpec, ...] = Field(min_length=1)
    teacher_views: tuple[int, ...] = (0, 1)
    note: str = ""

    @model_validator(mode="after")
    def _check_teacher(self) -> ViewPlan:
        if any(not 0 <= place < len(self) for place in self.teacher_views):
            raise ValueError(f"teacher_views {self.teacher_views} of a plan with {len(self)} views")
        return self

    def __len__(self) -> int:
        return sum(spec.count for spec in self.specs)

    def at_size(self, size: int) -> ViewPlan:
        """Return the plan with global views of another size; local ones keep theirs."""
        specs = tuple(
            spec.model_copy(update={"size": size}) if spec.name.startswith("global") else spec for spec in self.specs
        )
        return self.model_copy(update={"specs": specs})

    @property
    def expanded(self) -> tuple[tuple[str, ViewSpec], ...]:
        """Name and spec of every view; the views of a spec with count > 1 are numbered from 1."""
        return tuple(
            (spec.name if spec.count == 1 and spec.name != "local" else f"{spec.name}_{number + 1}", spec)
            for spec in self.specs
            for number in range(spec.count)
        )


def _pair(first: ViewSpec, **second: Any) -> tuple[ViewSpec, ViewSpec]:
    return first, first.model_copy(update={"name": "global_2", **second})


_DINO = ViewSpec(
    name="global_1", area=(0.4, 1), flip_p=0.5, jitter_p=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1,
    gray_p=0.2, blur_p=1.0, blur_sigma=(0.1, 2.0),
)  # fmt: skip
_FIXED = _DINO.model_copy(update={"area": (0.14, 1.0), "saturation": 0.0, "hue": 0.0, "gray_p": 0.0})
_MEDINO = ViewSpec(
    name="global_1", area=(0.765625, 0.765625), aspect=(1, 1), translation=0.05, rotation_p=0.2, rotation_deg=30,
    interpolation="bilinear", brightness=0.2, brightness_p=0.1, contrast=0.2, contrast_p=0.1, sharpness=0.2,
    sharpness_p=0.1,
)  # fmt: skip
_SMALL = ViewSpec(
    name="global_1", size=112, area=(0.5, 1), interpolation="bilinear", rotation_p=0.2, rotation_deg=5,
    brightness=0.1, contrast=0.1, gamma=0.1, blur_p=0.2, blur_sigma=(0.1, 1.0),
)  # fmt: skip


_WHOLE = ViewSpec(name="whole", area=(1, 1), aspect=(1, 1), jitter_p=0.0)
"""The image as it is, which no option but the size changes."""

_GUIDED = ViewSpec(
    name="global_1", size=160, area=(0.42, 1), aspect=(0.9, 1.1), interpolation="bilinear", rotation_p=0.5,
    rotation_deg=15, brightness=0.2, contrast=0.2, gamma=0.2, fill="zero",
)  # fmt: skip


def _local(base: ViewSpec, **changes: Any) -> ViewSpec:
    return base.model_copy(update={"name": "local", "area": (0.05, 0.4), "blur_p": 0.5, **changes})


PLANS: dict[str, ViewPlan] = {
    "dino": ViewPlan(
        name="dino",
        specs=(*_pair(_DINO, blur_p=0.1, solarize_p=0.2), _local(_DINO, count=8, size=96)),
        note="Caron 2021: two global and eight local crops; ImageNet or own mean and std",
    ),
    "fixed-size": ViewPlan(
        name="fixed-size",
        specs=(*_pair(_FIXED, blur_p=0.1, solarize_p=0.2), _local(_FIXED, count=0, size=96)),
        note="DINO-CXR (arXiv 2308.00475): two views of one size, no local crops; DINO's settings restricted to gray",
    ),
    "medino-chest": ViewPlan(
        name="medino-chest",
        specs=(*_pair(_MEDINO), _local(_MEDINO, count=0, size=96, blur_p=0.0)),
        note="MeDINO (Miao 2022, Table 3): a crop of 224 in 256, no flip, no colour; the shift (5 %) is ours",
    ),
    "small-chest": ViewPlan(
        name="small-chest",
        specs=(*_pair(_SMALL), _local(_SMALL, count=0, size=48)),
        note="ours, for small sets and CPUs: mild, so that an untrained network still matches the views (docs/LOG.md)",
    ),
    "r2o": ViewPlan(
        name="r2o",
        specs=(*_pair(_DINO.model_copy(update={"area": (0.08, 1.0)}), blur_p=0.1, solarize_p=0.2), _WHOLE),
        note="R2O (Gokul 2022): BYOL's two views, and the whole image for the regions",
    ),
    "r2o-chest": ViewPlan(
        name="r2o-chest",
        specs=(*_pair(_SMALL), _WHOLE.model_copy(update={"size": 112, "interpolation": "bilinear"})),
        note="ours: the mild views of small-chest, and the whole image for the regions",
    ),
    "guided-chest": ViewPlan(
        name="guided-chest",
        specs=(_GUIDED, _local(_GUIDED, count=0, size=80)),
        teacher_views=(0,),
        note="ours, for guidance alone: one view, crops and turns strong enough that place must be read off the image",
    ),
}

_GLOBAL_ONLY, _FIXED_KIND = ("size", "area"), ("whole",)
_SPECIAL = {"locals": "count", "local_size": "size", "local_area": "area"}


def plan_by_name(name: str, **overrides: Any) -> ViewPlan:
    """Return a named plan with some of its numbers changed.

    Args:
        name: One of `PLANS`.
        **overrides: `size` and `area` change the global views, `locals` (how many), `local_size` and `local_area` the
            local ones; any other field of `ViewSpec` changes every view but the whole image, which takes its size
            alone, and `"global_2.solarize_p"` one kind of view. A `dino` plan with `locals=0` takes the area (0.14, 1)
            that its authors advise, unless `area` is given.

    Raises:
        ConfigError: For a plan, field or value that does not exist, naming the nearest that does.
    """
    if name not in PLANS:
        raise ConfigError(f"view plan '{name}' does not exist{nearest(name, PLANS)} (known: {', '.join(PLANS)})")
    plan = PLANS[name]
    if name == "dino" and overrides.get("locals") == 0:
        overrides = {"area": (0.14, 1.0), **overrides}
    changes: dict[str, dict[str, Any]] = {spec.name: {} for spec in plan.specs}
    for key, value in overrides.items():
        for spec_name, field in _targets(key, tuple(changes)):
            changes[spec_name][field] = value
    try:
        specs = tuple(ViewSpec(**{**spec.model_dump(), **changes[spec.name]}) for spec in plan.specs)
        return ViewPlan(name=name, specs=specs, teacher_views=plan.teacher_views, note=plan.note)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"view plan '{name}': {where} = {first['input']!r}: {first['msg']}") from error


def _targets(key: str, spec_names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Which (spec, field) pairs an override speaks of."""
    fields = [field for field in ViewSpec.model_fields if field not in {"name", "count"}]
    if key in _SPECIAL and "local" in spec_names:
        return [("local", _SPECIAL[key])]
    if key in _GLOBAL_ONLY:
        return [(spec, key) for spec in spec_names if spec not in ("local", *(_FIXED_KIND if key != "size" else ()))]
    if key in fields:
        return [(spec, key) for spec in spec_names if spec not in _FIXED_KIND]
    spec, _, field = key.partition(".")
    if spec in spec_names and field in fields:
        return [(spec, field)]
    known = [
        *fields,
        *(_SPECIAL if "local" in spec_names else ()),
        *(f"{spec}.{field}" for spec in spec_names for field in fields),
    ]
    raise ConfigError(f"view option '{key}' does not exist{nearest(key, known)}")
