from __future__ import annotations

import pytest

from vesalius.errors import ConfigError
from vesalius.views.plans import PLANS, ViewPlan, ViewSpec, plan_by_name


def test_dino_is_the_multi_crop_of_the_paper():
    plan = plan_by_name("dino")
    assert len(plan) == 10
    assert [name for name, _ in plan.expanded] == ["global_1", "global_2", *(f"local_{n}" for n in range(1, 9))]
    assert [spec.size for _, spec in plan.expanded] == [224] * 2 + [96] * 8
    assert [spec.area for spec in plan.specs] == [(0.4, 1), (0.4, 1), (0.05, 0.4)]
    assert {spec.interpolation for spec in plan.specs} == {"bicubic"}
    assert plan.teacher_views == (0, 1)


def test_dino_without_locals_takes_the_advised_area_unless_told():
    assert plan_by_name("dino", locals=0).specs[0].area == (0.14, 1.0)
    assert plan_by_name("dino", locals=0, area=(0.25, 1)).specs[0].area == (0.25, 1.0)
    assert len(plan_by_name("dino", locals=0)) == 2


MULTI_CROP = [name for name, plan in PLANS.items() if "local" in [spec.name for spec in plan.specs]]


@pytest.mark.parametrize("name", [name for name in MULTI_CROP if len(PLANS[name].teacher_views) == 2])
def test_overrides_reach_the_views_they_speak_of(name):
    plan = plan_by_name(
        name, size=112, local_size=48, locals=3, local_area=[0.1, 0.3], flip_p=0, **{"global_2.blur_p": 0.25}
    )
    assert [spec.size for _, spec in plan.expanded] == [112, 112, 48, 48, 48]
    assert {spec.flip_p for spec in plan.specs} == {0}
    assert plan.specs[2].area == (0.1, 0.3)
    assert plan.specs[1].blur_p == 0.25
    assert plan.specs[0].blur_p == PLANS[name].specs[0].blur_p
    assert PLANS[name].specs[0].size in {112, 224}  # the named plan itself is untouched


@pytest.mark.parametrize("name", ["r2o", "r2o-chest"])
def test_the_whole_image_takes_no_option_but_its_size(name):
    plan = plan_by_name(name, size=96, area=(0.2, 0.4), flip_p=1, rotation_p=1, gamma_p=0.5)
    *crops, whole = (spec for _, spec in plan.expanded)
    assert [(spec.size, spec.area, spec.flip_p) for spec in crops] == [(96, (0.2, 0.4), 1)] * 2
    assert whole == PLANS[name].specs[-1].model_copy(update={"size": 96})
    with pytest.raises(ConfigError, match="view option 'locals' does not exist"):
        plan_by_name(name, locals=2)


def test_guidance_alone_needs_one_view_and_never_mirrors_it():
    plan = plan_by_name("guided-chest", size=112)
    assert [(name, spec.size, spec.flip_p) for name, spec in plan.expanded] == [("global_1", 112, 0.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "dinno"}, "dinno.*did you mean 'dino'"),
        ({"name": "dino", "flipp": 0.5}, "flipp.*did you mean 'flip_p'"),
        ({"name": "dino", "local_sice": 48}, "local_sice.*did you mean 'local_size'"),
        ({"name": "dino", "global_3.size": 4}, "global_3.size.*did you mean"),
        ({"name": "dino", "flip_p": 1.5}, r"flip_p = 1.5.*less than or equal to 1"),
        ({"name": "dino", "area": (0.5, 0.2)}, r"area = \(0.5, 0.2\)"),
        ({"name": "dino", "area": (0.0, 0.2)}, "area"),
        ({"name": "dino", "locals": -1}, "count = -1"),
        ({"name": "dino", "interpolation": "cubic"}, "interpolation"),
        ({"name": "dino", "count": 3}, "count"),
    ],
)
def test_errors_name_the_nearest(arguments, message):
    with pytest.raises(ConfigError, match=message):
        plan_by_name(**arguments)


def test_a_teacher_view_must_exist():
    with pytest.raises(ValueError, match="teacher_views"):
        ViewPlan(name="one", specs=(ViewSpec(name="only"),), teacher_views=(0, 1))


def test_blur_kernel_covers_three_sigma():
    assert ViewSpec(name="v", blur_sigma=(0.1, 2.0)).blur_kernel == 13
    assert ViewSpec(name="v", blur_sigma=(0.1, 1.1)).blur_kernel == 9
