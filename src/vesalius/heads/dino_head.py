"""DINO's projection head: an MLP to a normalised bottleneck, then prototypes of unit length."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["DinoHead", "Prototypes"]


class Prototypes(nn.Module):
    """Weight-normalised linear layer without bias: logit k = gain_k * <x, v_k / |v_k|>.

    Raises:
        ValueError: By torch, where the input's width does not fit.
    """

    gain: Tensor

    def __init__(self, dim: int, prototypes: int, *, frozen_gain: bool = True) -> None:
        """Draw the prototypes; with `frozen_gain` the gain stays 1 (the authors' `norm_last_layer`)."""
        super().__init__()
        self.direction = nn.Parameter(torch.empty(prototypes, dim))
        nn.init.trunc_normal_(self.direction, std=0.02)
        gain = torch.ones(prototypes, 1)
        if frozen_gain:
            self.register_buffer("gain", gain)
        else:
            self.gain = nn.Parameter(gain)

    def forward(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows prototypes"]:
        """Compute the logits."""
        # One pass over the prototypes, where normalising and then scaling them takes two.
        scale = self.gain / self.direction.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return nn.functional.linear(x, self.direction * scale)


class DinoHead(nn.Module):
    """Projection head of DINO (Caron et al. 2021, section 3.1 and appendix C; arXiv 2104.14294).

    `dim -> hidden -> hidden -> bottleneck` with GELU, L2 normalisation, then `Prototypes`. Linear layers start
    truncated normal with standard deviation 0.02 and zero bias. Batch normalisation between them is off by default, as
    in the paper for ViTs.

    Example:
        >>> head = DinoHead(192, 1024, hidden=512)
        >>> head(torch.randn(4, 192)).shape
        torch.Size([4, 1024])
    """

    def __init__(
        self,
        dim: int,
        prototypes: int,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        layers: int = 3,
        batch_norm: bool = False,
        frozen_gain: bool = True,
    ) -> None:
        """Build the head for features of `dim`."""
        super().__init__()
        widths = [dim, *[hidden] * (layers - 1), bottleneck]
        modules: list[nn.Module] = []
        for position, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
            last = position == layers - 1
            modules.append(nn.Linear(width_in, width_out))
            if not last:
                modules += [*([nn.BatchNorm1d(width_out)] if batch_norm else []), nn.GELU()]
        self.mlp = nn.Sequential(*modules)
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.prototypes = Prototypes(bottleneck, prototypes, frozen_gain=frozen_gain)

    def forward(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows prototypes"]:
        """Compute the logits of the prototypes."""
        logits: Tensor = self.prototypes(self.embed(x))
        return logits

    def embed(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows bottleneck"]:
        """Compute what is compared with the prototypes: the bottleneck, of length 1."""
        # The authors normalise with eps 1e-6 in half precision and 1e-12 in single; the figures agree to 1e-6.
        return nn.functional.normalize(self.mlp(x), dim=-1, p=2)
