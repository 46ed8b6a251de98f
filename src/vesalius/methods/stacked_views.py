"""Views of one size go through a network as one batch (the multi-crop wrapper of DINO's authors)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from vesalius.backbones.interface import Backbone
from vesalius.records.features import Features
from vesalius.records.view import View

__all__ = ["features_of", "stack", "stack_by_size", "stack_for_norms"]


def stack(views: Sequence[View]) -> Tensor:
    """Join the views of a batch, `[views x batch, channels, height, width]`."""
    return torch.cat([view.pixels for view in views])


def stack_by_size(views: Sequence[View]) -> list[Tensor]:
    """Stack every run of views of one size as one batch."""
    runs = itertools.groupby(views, key=lambda view: view.pixels.shape)
    return [stack(tuple(run)) for _, run in runs]


def stack_for_norms(student: Backbone, views: Sequence[View]) -> list[Tensor]:
    """Stack views of one size, but leave each alone where batch norm would see several views at once.

    So it is in BYOL, SimSiam and MoCo v3, whose authors pass one view at a time.
    """
    if any(isinstance(module, _BatchNorm) for module in student.modules()):
        return [view.pixels for view in views]
    return stack_by_size(views)


def features_of(
    student: Backbone, stacks: Sequence[Tensor], batch: int, *, patches: bool = False
) -> tuple[Features, ...]:
    """Run the student once for every stack; return the features of each view, with patch tokens where asked for."""
    together = (student.forward_features(one, patches=patches) for one in stacks)
    return tuple(part for features in together for part in features.split(batch))
