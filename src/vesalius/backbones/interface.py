"""What every backbone offers, whatever its family, to methods, guidance and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from vesalius.config import StrictModel
from vesalius.records.features import Features

__all__ = ["Backbone", "Pool", "Preprocessing"]


class Preprocessing(StrictModel):
    """What belongs to the weights: how pixels in [0, 1] become the backbone's input.

    Attributes:
        image_size: (height, width) the backbone was made for; others are admitted where the family allows.
        in_chans: 1 or 3.
        mean: One figure a channel, subtracted.
        std: One figure a channel, divided by.
    """

    image_size: tuple[int, int]
    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


Pool = Literal["cls", "mean", "average"]
"""How the pooled vector is made: the [CLS] token, the mean patch, or the average of these two."""


class Backbone(nn.Module, ABC):
    """A feature extractor that yields `Features`.

    Attributes:
        name: As the family knows it.
        pool: What `Features.pooled` is.
        feature_dim: Its width, and that of the tokens.
        patch_size: Side of a patch in pixels; None where there are none.
        has_cls: Whether there is a [CLS] token.
        attention_heads: Of the last block, whose [CLS] row can be given; 0 where there is none.
        has_inner: Whether there are tokens that enter a last block.
        cls_alone: Whether the pooled vector is [CLS] and can be had without the patches' share of the last block.
        preprocessing: What belongs to the weights.
    """

    name: str
    pool: Pool
    feature_dim: int
    patch_size: int | None
    has_cls: bool
    attention_heads: int
    has_inner: bool
    cls_alone: bool
    preprocessing: Preprocessing
    _always_attention: bool = False
    _always_patches: bool = False
    _always_inner: bool = False

    @property
    def why_no_attention(self) -> str:
        """Say, for an error, why it gives no row of attention."""
        return f"{self.name} has {'an attention of its own kind' if self.has_cls else 'no [CLS] token'}"

    @abstractmethod
    def forward_features(
        self,
        x: Float[Tensor, "batch channels height width"],
        *,
        patches: bool = True,
        attention: bool = False,
        inner: bool = False,
        stages: bool = False,
    ) -> Features:
        """Compute features.

        Args:
            x: Normalised pixels, `[batch, channels, height, width]`.
            patches: Also give the patch tokens. Without them a ViT whose pooled vector is [CLS] has less to compute.
            attention: Also give the last block's [CLS] row for every head.
            inner: Also give the patch tokens that enter the last block of a ViT: other families have none.
            stages: Also give the feature maps of every stage, fine to coarse.

        Raises:
            BackboneError: Attention, inner tokens or stages asked of a family that has none.
        """

    @abstractmethod
    def forward_stage(
        self, x: Float[Tensor, "batch channels height width"], stage: int
    ) -> Float[Tensor, "batch dim rows columns"]:
        """Compute the map of one stage (of a ViT: one block), and nothing that comes after it.

        Args:
            x: Normalised pixels.
            stage: Counted from the last one, which is -1; of a ResNet -2 is C4.

        Raises:
            BackboneError: A family without stages, or one that has fewer.
        """

    def always(self, *, attention: bool = False, patches: bool = False, inner: bool = False) -> None:
        """Let every forward pass give attention, patches or inner tokens, whether its caller asks for them or not.

        So guidance gets what it needs from a method's student without the method knowing of it.
        """
        self._always_attention, self._always_patches, self._always_inner = attention, patches, inner

    def freeze_patch_embedding(self) -> None:
        """Let the projection of patches to tokens keep its weights; nothing in a family that has none."""

    @abstractmethod
    def twin(self, *, drop_path: float = 0.0) -> Backbone:
        """Build the same architecture afresh, with new random weights drawn from torch's generator."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what `config.json` needs to build this backbone again."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch dim"]:
        """Compute the pooled features alone, `[batch, feature_dim]`."""
        return self.forward_features(x, patches=False).pooled
