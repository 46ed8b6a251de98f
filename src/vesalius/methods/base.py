"""The contract every self-supervised method keeps: views in, loss out, and its own bookkeeping after the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from torch import nn

from vesalius.backbones.interface import Backbone
from vesalius.records.step_output import StepOutput
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["Method"]


class Method(nn.Module, ABC):
    """A method owns its networks, heads, targets and their updates, so that no trainer can forget one of them.

    Attributes:
        student: The network that learns.
        trained: The parts that the optimizer trains, by their names in the module.
        synchronised_norms: Whether batch norm takes its statistics over all processes where there are several.
        constant_lr: Beginnings of the names of parameters that keep the peak of the learning rate.
    """

    student: Backbone
    trained: tuple[str, ...] = ("student",)
    synchronised_norms: bool = True
    constant_lr: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, views: Sequence[View], progress: Progress) -> StepOutput:
        """Compute the loss of one batch.

        Args:
            views: In the order of the view plan; the global views come first.
            progress: The step about to be taken.
        """

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield the parameters that the optimizer trains, by name; those that ask for no gradient stay as they are."""
        for part in self.trained:
            yield from self.get_submodule(part).named_parameters(prefix=part)

    def before_optimizer_step(self, progress: Progress) -> None:
        """Change gradients between the backward pass and the optimizer's step; nothing by default."""

    def after_step(self, progress: Progress) -> None:
        """Update what no optimizer updates (momentum teacher, queues) after each step; nothing by default."""

    def export_momentum(self, progress: Progress) -> float:
        """Return how much of the exported backbone stays in a step: 0 where it is the student, and follows at once."""
        del progress
        return 0.0

    def exported_backbone(self) -> Backbone:
        """Return the backbone to hand on, the one that the method's paper evaluates: the student by default."""
        return self.student
