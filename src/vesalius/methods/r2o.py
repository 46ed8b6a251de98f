"""R2O: superpixels, joined by the teacher's features, are the objects that two views must agree on (Gokul 2022, ch. 2).

BYOL with regions in the place of images. Stated in the thesis: k-means over superpixel means of the target network's
C4, a ResNet's last but one stage; K = 64, or falling along a cosine; region means of C5 before the projector; the loss
averaged over the regions that both views show, in both directions. Ours: k-means++ with ten rounds; clusters over the
whole batch whatever the number of processes (32 images together are the paper's); ViTs by their blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.errors import ConfigError
from vesalius.heads.mlp_head import MlpHead
from vesalius.losses.region_agreement_loss import region_agreement_loss
from vesalius.methods.base import Method
from vesalius.methods.embedding_spread import embedding_spread
from vesalius.methods.momentum_teacher import MomentumTeacher
from vesalius.methods.regions import ClusteredOver, mask_pool, refine_regions, shares_in_view
from vesalius.methods.stacked_views import features_of, stack_for_norms
from vesalius.records.features import Features
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress, cosine

__all__ = ["R2o", "R2oConfig"]

_LEAST_SHARE = 1e-3
"""A region whose cells sum to less is not in a view (the thesis' public code)."""


class R2oConfig(StrictModel):
    """Options of R2O; the defaults are the thesis'.

    Attributes:
        hidden, dim: Of projector and predictor.
        teacher_momentum: tau at the start, cosine to 1.
        regions: Name of each store's maps that hold the prior, see `vesalius guide --template slic`. Maps with parts of
            the anatomy can stand in.
        clusters: K of the k-means that joins them.
        clusters_end: K at the end: int((clusters - end) cos(pi/2 progress) + end), 128 to 4 in the later paper; by
            default the same all along.
        over: Which images are clustered together.
        cluster_images: How many are, in place of `over`; divides the images of a process. 32 in the thesis, whose batch
            of 4,096 is clustered on 128 GPUs apart. None: as `over` says.
        stage: Whose features join regions: -1 the last stage (ViT: block), -2 the one before (C4).
    """

    name: Literal["r2o"] = "r2o"
    hidden: int = Field(default=4096, ge=1)
    dim: int = Field(default=256, ge=2)
    teacher_momentum: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.99
    regions: str = "slic"
    clusters: int = Field(default=64, ge=2)
    clusters_end: Annotated[int, Field(ge=2)] | None = None
    over: ClusteredOver = "batch"
    cluster_images: Annotated[int, Field(ge=1)] | None = None
    stage: int = Field(default=-2, le=-1)


class R2o(Method):
    """Student with projector and predictor of regions; the teacher follows student and projector."""

    trained = ("student", "projector", "predictor")

    def __init__(self, config: R2oConfig, backbone: Backbone, *, teacher_views: int = 2) -> None:
        """Build heads and teacher around a student; after the `teacher_views` views comes the whole image.

        Raises:
            ConfigError: A pooled vector that regions do not train.
        """
        super().__init__()
        if backbone.pool != "mean":
            raise ConfigError(
                f"method r2o trains patches, never [CLS], and {backbone.name} hands on pool = {backbone.pool}: "
                "set backbone.pool=mean"
            )
        self.config, self.student, self.shared_views = config, backbone, teacher_views
        self.projector = self._make_projector()
        self.predictor = MlpHead((config.dim, config.hidden, config.dim))
        self.teacher = MomentumTeacher(backbone.twin(), self._make_projector(), backbone, self.projector)

    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute the loss over regions in both directions, 2 - 2 cos each; see `Method.forward`.

        The last view shows the whole image and knows its regions.
        """
        shared, batch = views[: self.shared_views], len(views[0].pixels)
        clusters = self.clusters(progress)
        with torch.no_grad():
            regions = self.joined_regions(views[-1], progress)
            seen = features_of(self.teacher.backbone, stack_for_norms(self.student, shared), batch, patches=True)
        features = features_of(self.student, stack_for_norms(self.student, shared), batch, patches=True)
        shares = [
            shares_in_view(regions, view, one.grid, count=clusters) for view, one in zip(shared, features, strict=True)
        ]
        both = (shares[0].sum(dim=2) > _LEAST_SHARE) & (shares[1].sum(dim=2) > _LEAST_SHARE)
        with torch.no_grad():
            targets = [self.teacher.head(_pooled(one, share, both)) for one, share in zip(seen, shares, strict=True)]
        projected = [self.projector(_pooled(one, share, both)) for one, share in zip(features, shares, strict=True)]
        images = both.nonzero()[:, 0]
        loss = torch.stack(
            [
                region_agreement_loss(self.predictor(projected[one]), targets[1 - one], images, batch=batch)
                for one in range(2)
            ]
        ).sum()
        logs = {
            "regions_an_image": both.sum().float() / batch,
            "clusters": torch.tensor(float(clusters)),
            "embedding_spread": embedding_spread(features[0].pooled, projected[0]),
            "teacher_momentum": torch.tensor(self.teacher_momentum(progress)),
        }
        return StepOutput(loss=loss, logs=logs, student_features=features)

    def after_step(self, progress: Progress) -> None:
        """Let the teacher follow."""
        self.teacher.update(self.student, self.projector, self.teacher_momentum(progress))

    def teacher_momentum(self, progress: Progress) -> float:
        """Cosine from the start to 1, as BYOL's."""
        return cosine(float(self.config.teacher_momentum), 1.0, progress.fraction)

    def clusters(self, progress: Progress) -> int:
        """K of this step."""
        start, end = self.config.clusters, self.config.clusters_end
        return start if end is None else int((start - end) * math.cos(math.pi / 2 * progress.fraction) + end)

    @torch.no_grad()
    def joined_regions(
        self, whole: View, progress: Progress, *, over: ClusteredOver | None = None
    ) -> Integer[Tensor, "batch rows columns"]:
        """Return the prior's regions, joined to this step's K by what the teacher makes of the whole images.

        A single process that looks by itself names `over`: it must not wait for the others, nor has it whole groups.
        """
        if whole.regions is None:
            raise ConfigError("method r2o needs regions of every image and the whole image as its last view")
        features = self.teacher.backbone.forward_stage(whole.pixels, self.config.stage)
        return refine_regions(
            features,
            whole.regions,
            whole,
            clusters=self.clusters(progress),
            over=over or self.config.over,
            images=None if over else self.config.cluster_images,
            # Images that are only looked at are clustered from the same start every time.
            generator=torch.Generator().manual_seed(progress.step if self.training else 0),
        )

    def _make_projector(self) -> MlpHead:
        return MlpHead((self.student.feature_dim, self.config.hidden, self.config.dim))


def _pooled(
    features: Features, shares: Float[Tensor, "batch regions cells"], chosen: Bool[Tensor, "batch regions"]
) -> Float[Tensor, "chosen dim"]:
    """Return the mean features of the chosen regions of all images, one row each."""
    assert features.patches is not None  # noqa: S101 (asked for by the caller)
    return mask_pool(features.patches, features.at_tokens(shares))[chosen]
