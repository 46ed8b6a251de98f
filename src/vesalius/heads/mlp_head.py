"""The projectors and predictors of the joint-embedding methods: linear layers, batch norm, ReLU."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["MlpHead"]


class MlpHead(nn.Module):
    """`widths[0] -> widths[1] -> ... -> widths[-1]`, ReLU between, batch norm as the method's paper has it.

    | method | widths after the first | batch_norm | last_norm | bias, last_bias |
    |---|---|---|---|---|
    | SimCLR (Chen 2020, section 2.1) | 2048, 128 | yes | none | no, no |
    | MoCo v2 (Chen 2020, section 3) | 2048, 128 | no | none | yes, yes |
    | MoCo v3 (Chen 2021, section 3), ViT | 4096, 4096, 256 | yes | plain | no, no |
    | MoCo v3, ResNet | 4096, 256 | yes | plain | no, no |
    | BYOL (Grill 2020, section 3.3) | 4096, 256 | yes | none | yes, no |
    | SimSiam (Chen & He 2021, section 3) | 2048, 2048, 2048 | yes | plain | no, no |
    | SwAV (Caron 2020, appendix A) | 2048, 128 | yes | none | yes, yes |

    Example:
        >>> MlpHead((192, 4096, 256))(torch.randn(4, 192)).shape
        torch.Size([4, 256])
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        batch_norm: bool = True,
        last_norm: Literal["none", "plain"] = "none",
        bias: bool = True,
        last_bias: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            widths: Input, hidden layers, output.
            batch_norm: Between a hidden layer and its ReLU.
            last_norm: On the output: `plain` is batch norm without scale and shift.
            bias: Of the hidden layers.
            last_bias: Of the last layer.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(itertools.pairwise(widths), 1):
            last = place == len(widths) - 1
            layers.append(nn.Linear(before, after, bias=last_bias if last else bias))
            if not last:
                layers += [*([nn.BatchNorm1d(after)] if batch_norm else []), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.last_norm = nn.BatchNorm1d(widths[-1], affine=False) if last_norm == "plain" else nn.Identity()

    def forward(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows out"]:
        """Compute the output, not normalised."""
        out: Tensor = self.last_norm(self.layers(x))
        return out
