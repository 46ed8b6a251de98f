"""DINO's loss: cross-entropy between the centred, sharpened teacher and the student, over all pairs of views."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.distributed import all_reduce_mean

__all__ = ["DinoLoss"]


class DinoLoss(nn.Module):
    """Self-distillation loss of DINO (Caron et al. 2021, equation 3 and algorithm 1; arXiv 2104.14294).

    loss = mean over pairs (t, v), t a teacher view, v a student view, t != v, of
    H(softmax((z_t - c) / T_t), softmax(z_v / T_s)); the centre c is updated after the loss:
    c <- m c + (1 - m) mean of the teacher's logits over the views, the batch and all processes.

    The cross-entropy is linear in the targets, so the targets of one student view are summed first and each student
    view meets its log-softmax once, whatever the number of pairs.

    Example:
        >>> loss = DinoLoss(16)
        >>> student, teacher = torch.randn(4, 8, 16), torch.randn(2, 8, 16)
        >>> loss(student, teacher, teacher_temperature=0.04).shape
        torch.Size([])
    """

    centre: Tensor
    teacher_entropy: Tensor
    mean_entropy: Tensor

    def __init__(self, prototypes: int, *, student_temperature: float = 0.1, centre_momentum: float = 0.9) -> None:
        """Start with a centre of zeros, as the authors do."""
        super().__init__()
        self.student_temperature, self.centre_momentum = student_temperature, centre_momentum
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("teacher_entropy", torch.zeros(()), persistent=False)
        self.register_buffer("mean_entropy", torch.zeros(()), persistent=False)

    def forward(
        self,
        student: Float[Tensor, "views batch prototypes"],
        teacher: Float[Tensor, "teacher_views batch prototypes"],
        *,
        teacher_temperature: float | Float[Tensor, ""],
    ) -> Float[Tensor, ""]:
        """Compute the loss, then update the centre.

        Args:
            student: Logits of all views; the first `teacher_views` of them are the views that the teacher saw.
            teacher: Logits of the teacher's views, in the same order.
            teacher_temperature: T_t at this step.
        """
        targets = self.targets(teacher, teacher_temperature)
        shared, views = teacher.shape[0], student.shape[0]
        summed = targets.sum(dim=0)
        logits = student.float() / self.student_temperature
        # H(p, softmax z) = logsumexp(z) - <p, z>, and the targets of a view that the teacher saw leave out its own.
        others = torch.stack([summed - targets[v] if v < shared else summed for v in range(views)])
        counts = torch.tensor([shared - 1 if v < shared else shared for v in range(views)], device=student.device)
        per_row = counts[:, None] * logits.logsumexp(dim=-1) - (others * logits).sum(dim=-1)
        loss = per_row.mean(dim=1).sum() / counts.sum()
        self._update_centre(teacher)
        return loss

    @torch.no_grad()
    def targets(
        self, teacher: Float[Tensor, "teacher_views batch prototypes"], temperature: float | Float[Tensor, ""]
    ) -> Float[Tensor, "teacher_views batch prototypes"]:
        """Centre and sharpen the teacher's logits; keeps their entropies for the monitors."""
        probabilities = ((teacher.float() - self.centre) / temperature).softmax(dim=-1)
        mean = all_reduce_mean(probabilities.mean(dim=(0, 1)))
        self.teacher_entropy = torch.special.entr(probabilities).sum(dim=-1).mean()
        self.mean_entropy = torch.special.entr(mean).sum()
        return probabilities

    @torch.no_grad()
    def _update_centre(self, teacher: Tensor) -> None:
        batch_centre = all_reduce_mean(teacher.float().mean(dim=(0, 1)))
        self.centre.lerp_(batch_centre, 1.0 - self.centre_momentum)
