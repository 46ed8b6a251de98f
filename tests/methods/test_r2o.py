"""R2O: the loss of region means in both directions, K over the training, what it refuses."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.errors import ConfigError
from vesalius.methods.r2o import R2o, R2oConfig
from vesalius.methods.regions import refine_regions, shares_in_view
from vesalius.methods.registry import build_method
from vesalius.schedules import Progress
from vesalius.training.recipe import load_recipe
from vesalius.views.make_views import make_views
from vesalius.views.plans import plan_by_name

PROGRESS = Progress(step=3, total_steps=10, steps_per_epoch=5)


def r2o(name: str = "test_vit", **options) -> R2o:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=32, drop_path=0.0, pool="mean"))
    return R2o(R2oConfig.model_validate({"hidden": 16, "dim": 8, "clusters": 4} | options), backbone).train()


@pytest.fixture
def views():
    plan = plan_by_name("r2o-chest", size=32, area=(0.3, 0.9))
    images = torch.randint(0, 256, (5, 1, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = make_views(images, plan, torch.Generator().manual_seed(1), out_channels=1, mean=(0.5,), std=(0.25,))
    squares = (torch.arange(48) // 8)[:, None] * 6 + torch.arange(48) // 8
    return (*made[:2], replace(made[2], regions=squares.to(torch.uint8).expand(5, -1, -1)))


@pytest.mark.parametrize(("name", "stage"), [("test_vit", -2), ("test_resnet", -2), ("test_resnet", -1)])
def test_the_loss_is_that_of_the_regions_one_by_one(views, name, stage) -> None:
    method = r2o(name, stage=stage)
    again = copy.deepcopy(method)
    student, teacher, whole = method.student, method.teacher, views[2]
    regions = refine_regions(
        teacher.backbone.forward_stage(whole.pixels, stage),
        whole.regions,
        whole,
        clusters=4,
        over="batch",
        generator=torch.Generator().manual_seed(PROGRESS.step),
    )
    ours = [student.forward_features(view.pixels) for view in views[:2]]
    theirs = [teacher.backbone.forward_features(view.pixels) for view in views[:2]]
    where, ours_of, theirs_of = [], ([], []), ([], [])
    for image in range(5):
        for region in range(4):
            masks = [shares_in_view(regions, view, ours[0].grid, count=4)[image, region] for view in views[:2]]
            if min(float(mask.sum()) for mask in masks) <= 1e-3:
                continue
            where.append(image)
            for view in range(2):
                divisor = max(float(masks[view].sum()), 1.0)
                ours_of[view].append((masks[view][:, None] * ours[view].patches[image]).sum(dim=0) / divisor)
                theirs_of[view].append((masks[view][:, None] * theirs[view].patches[image]).sum(dim=0) / divisor)
    total = torch.zeros(())
    projected = [method.projector(torch.stack(ours_of[view])) for view in range(2)]
    targets = [teacher.head(torch.stack(theirs_of[view])) for view in range(2)]
    for view in range(2):
        each = 2 - 2 * functional.cosine_similarity(method.predictor(projected[view]), targets[1 - view])
        of_image = torch.tensor(where)
        total = total + torch.stack([each[of_image == image].mean() for image in set(where)]).mean()
    output = again(views, PROGRESS)
    torch.testing.assert_close(output.loss, total, rtol=1e-4, atol=1e-5)
    assert float(output.logs["regions_an_image"]) == pytest.approx(len(where) / 5)


def test_student_learns_and_teacher_follows(views) -> None:
    method = r2o("test_resnet")
    before = copy.deepcopy(method.teacher.state_dict())
    method(views, PROGRESS).loss.backward()
    assert all(p.grad is not None for _, p in method.trained_parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
    torch.optim.SGD([p for _, p in method.trained_parameters()], lr=0.1).step()
    method.after_step(PROGRESS)
    moved = [name for name, value in method.teacher.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > 5


def test_images_whose_views_share_no_region_count_nothing(views) -> None:
    """Of the last two images the views show the upper and the lower half, and every row of pixels is a region."""
    method = r2o("test_resnet", clusters=48, over="image").eval()
    rows = torch.arange(48, dtype=torch.uint8)[:, None].expand(5, 48, 48)
    apart = []
    for view, down in zip(views[:2], (0.0, 24.0), strict=True):
        affine = view.affine.clone()
        affine[3:] = torch.tensor([[1.5, 0, 0], [0, 0.75, down]])
        apart.append(replace(view, affine=affine))
    whole = replace(views[2], regions=rows)
    output = method((*apart, whole), PROGRESS)
    few = [replace(view, pixels=view.pixels[:3], affine=view.affine[:3]) for view in apart]
    fewer = replace(whole, pixels=whole.pixels[:3], affine=whole.affine[:3], regions=rows[:3])
    torch.testing.assert_close(output.loss, method((*few, fewer), PROGRESS).loss, rtol=1e-4, atol=1e-5)


def test_images_are_clustered_in_groups_where_it_is_asked_for(views) -> None:
    """One image a group is `over: image`; those that are only looked at are one group, whatever their number."""
    squares = r2o(over="image").joined_regions(views[2], PROGRESS)
    assert torch.equal(r2o(cluster_images=1).joined_regions(views[2], PROGRESS), squares)
    assert torch.equal(
        r2o(cluster_images=2).joined_regions(views[2], PROGRESS, over="process"),
        r2o(over="process").joined_regions(views[2], PROGRESS),
    )
    with pytest.raises(ConfigError, match="does not divide the 5 images"):
        r2o(cluster_images=2)(views, PROGRESS)
    assert load_recipe("r2o/paper").method.cluster_images == 32


def test_clusters_fall_along_a_cosine() -> None:
    method = r2o(clusters=128, clusters_end=4)
    at = [method.clusters(Progress(step=step, total_steps=301, steps_per_epoch=1)) for step in (0, 100, 150, 200, 300)]
    assert at == [128, 111, 91, 66, 4]


def test_another_plan_is_refused() -> None:
    backbone = create_backbone(BackboneConfig(name="test_vit", image_size=32, pool="mean"))
    with pytest.raises(ConfigError, match=r"set views\.plan=r2o"):
        build_method(R2oConfig(), backbone, plan_by_name("small-chest", size=32))
    with pytest.raises(ConfigError, match=r"set backbone\.pool=mean"):
        build_method(
            R2oConfig(),
            create_backbone(BackboneConfig(name="test_vit", image_size=32)),
            plan_by_name("r2o-chest", size=32),
        )
