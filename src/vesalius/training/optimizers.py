"""Optimizers with the schedules of the papers: learning rate, weight decay, clipping per parameter tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from timm.optim.lars import Lars
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from vesalius.config import StrictModel
from vesalius.schedules import Progress, cosine, stepwise, warmup_cosine

__all__ = ["OptimizerConfig", "build_optimizer", "clip_each", "set_schedules"]


class OptimizerConfig(StrictModel):
    """Options of the optimizer; the defaults are DINO's.

    Attributes:
        name: `adamw`, `adam`, `sgd` or `lars`.
        lr: Peak learning rate at a batch of 256; scaled linearly with the batch unless `scale_lr` is off.
        scale_lr: Multiply `lr` by batch / 256.
        warmup_epochs: Linear from 0; at most half of a training, and a tenth of one that `training.steps` or a budget
            makes, whose length is not the recipe's.
        schedule: Of the rate after the warm-up: `cosine` to `min_lr`, or `steps`, times `factor` at each milestone.
        milestones: Shares of the training: [.6, .9] are epochs 12 and 18 of 20.
        factor: Of each step.
        min_lr: End of the cosine.
        weight_decay, weight_decay_end: Cosine from the one to the other; biases and 1-D parameters have none.
        decay_all: Let biases and 1-D parameters decay as well, as SimSiam (appendix A) and MoCo do.
        clip_each: Largest gradient norm of each parameter tensor (not of all together); 0 for none.
        momentum: Of SGD and LARS.
        trust: Of LARS (You et al. 2017, arXiv 1708.03888): a tensor's step is this times its norm over its gradient's.
    """

    name: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    lr: float = Field(default=5e-4, gt=0)
    scale_lr: bool = True
    warmup_epochs: float = Field(default=10.0, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    factor: float = Field(default=0.1, gt=0)
    min_lr: float = Field(default=1e-6, ge=0)
    weight_decay: float = Field(default=0.04, ge=0)
    weight_decay_end: float = Field(default=0.4, ge=0)
    decay_all: bool = False
    clip_each: float = Field(default=3.0, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    trust: float = Field(default=0.001, gt=0)

    @model_validator(mode="after")
    def _check_milestones(self) -> OptimizerConfig:
        if bool(self.milestones) is not (self.schedule == "steps"):
            raise ValueError(
                f"schedule = {self.schedule} with milestones = {list(self.milestones)}: steps needs milestones, as "
                "shares of the training ([0.6, 0.9]), and cosine has none"
            )
        return self


def build_optimizer(
    config: OptimizerConfig, parameters: Iterable[tuple[str, nn.Parameter]], *, constant_lr: tuple[str, ...] = ()
) -> Optimizer:
    """Group the parameters (decayed or not) and build the optimizer; rates are set by `set_schedules`.

    Args:
        config: Options.
        parameters: By name; those that ask for no gradient are left out.
        constant_lr: Beginnings of the names of parameters that keep the peak of the learning rate.
    """
    groups = _groups(parameters, constant_lr, decay_all=config.decay_all)
    if config.name == "adamw":
        return AdamW(groups, lr=0.0, weight_decay=config.weight_decay, fused=True)
    if config.name == "adam":
        return Adam(groups, lr=0.0, weight_decay=0.0, fused=True)
    if config.name == "lars":
        # Biases and norms take plain SGD steps, as in SimCLR and BYOL; the rest adapts, whether it decays or not.
        groups = [group | {"always_adapt": group["decays"]} for group in groups]
        return Lars(groups, lr=0.0, momentum=config.momentum, trust_coeff=config.trust)
    return SGD(groups, lr=0.0, momentum=config.momentum, fused=True)


def set_schedules(
    optimizer: Optimizer, config: OptimizerConfig, progress: Progress, *, batch_size: int, own_length: bool = True
) -> tuple[float, float]:
    """Set this step's learning rate and weight decay; return both.

    Args:
        optimizer: Of `build_optimizer`.
        config: Options.
        progress: The step.
        batch_size: Of all processes.
        own_length: Whether the training takes the recipe's own epochs.
    """
    peak = config.lr * (batch_size / 256.0 if config.scale_lr else 1.0)
    # A warm-up made for a longer training would leave nothing to train with.
    longest = progress.total_steps // (2 if own_length else 10)
    warmup = min(int(config.warmup_epochs * progress.steps_per_epoch), max(1, longest))
    if config.schedule == "steps" and progress.step >= warmup:
        lr = stepwise(peak, config.factor, config.milestones, progress.fraction)
    else:
        lr = warmup_cosine(peak, min(config.min_lr, peak), progress, warmup)
    weight_decay = cosine(config.weight_decay, config.weight_decay_end, progress.fraction)
    for group in optimizer.param_groups:
        group["lr"] = peak if group.get("constant", False) else lr
        if group["decays"]:
            group["weight_decay"] = weight_decay
    return lr, weight_decay


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], largest: float) -> Tensor:
    """Scale every gradient whose own norm exceeds `largest` (infinity: none) down to it; return the largest norm met.

    The authors of DINO clip each parameter tensor by itself, which is not the global-norm clipping of most trainers.
    """
    gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch.stack(torch._foreach_norm(gradients))
    if math.isinf(largest):
        return norms.max()
    factors = list((largest / (norms + 1e-6)).clamp(max=1.0).unbind())
    if norms.device.type == "cpu":
        # Here a look at the norms waits for nothing, and most tensors need not be touched.
        gradients, factors = _where([bool(factor < 1) for factor in factors], gradients, factors)
    if gradients:
        torch._foreach_mul_(gradients, factors)
    return norms.max()


def _groups(
    parameters: Iterable[tuple[str, nn.Parameter]], constant_lr: tuple[str, ...], *, decay_all: bool
) -> list[dict[str, Any]]:
    """Sort parameters by whether they decay and whether their rate is constant; groups of nothing are left out."""
    sorted_: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            decays = decay_all or (parameter.ndim > 1 and not name.endswith(".bias"))
            sorted_.setdefault((decays, name.startswith(constant_lr) if constant_lr else False), []).append(parameter)
    return [
        {"params": sorted_[decays, constant], "decays": decays, "constant": constant}
        | ({} if decays else {"weight_decay": 0.0})
        for decays, constant in ((True, False), (False, False), (True, True), (False, True))
        if (decays, constant) in sorted_
    ]


def _where(wanted: list[bool], *lists: list[Tensor]) -> tuple[list[Tensor], ...]:
    return tuple(list(itertools.compress(one, wanted)) for one in lists)
