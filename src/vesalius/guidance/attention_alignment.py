"""Chosen heads of the last block learn to look at chosen parts (MeDINO, Miao 2022; Gokul 2022, chapter 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from vesalius.distributed import divisor_of
from vesalius.errors import ConfigError, nearest
from vesalius.guidance.base import Guidance, GuidanceOutput, WeightedConfig
from vesalius.guidance.maps_in_view import parts_in_view
from vesalius.losses.attention_alignment_loss import attention_inside, coverage_loss, linear_alignment_loss
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["AttentionAlignment", "AttentionConfig"]

SMALLEST_PART = 0.5
"""Patches of a part that must be in view before a head is asked to look at it."""


class AttentionConfig(WeightedConfig):
    """Which head looks at which part, and how it is told.

    Attributes:
        loss: `coverage` (the row shall be the part's own distribution) or `linear` (the paper's pair of terms).
        heads: Part to head, for example `{left_lung: 0, right_lung: 1, heart: 2}`; the other heads stay free.
        weight: Of the loss; of `linear` it multiplies both lambdas.
        inclusion, exclusion: Lambda 1 and 2 of the linear loss.
    """

    loss: Literal["coverage", "linear"] = "coverage"
    heads: dict[str, int] = Field(min_length=1)
    inclusion: float = Field(default=1.0, ge=0)
    exclusion: float = Field(default=1.0, ge=0)


class AttentionAlignment(Guidance):
    """Compares each guided head's [CLS] row with its part's map, in every view of the student."""

    needs_attention = True

    def __init__(self, config: AttentionConfig, names: PartNames, *, heads: int) -> None:
        """Check that the parts and heads are there.

        Args:
            config: Options.
            names: The parts that the maps hold.
            heads: How many the backbone's last block has.

        Raises:
            ConfigError: A part that the maps do not hold, a head that does not exist, or one head for two parts.
        """
        super().__init__()
        for part, head in config.heads.items():
            if part not in names.names:
                held = ", ".join(names.names) or "no parts"
                raise ConfigError(
                    f"guidance.attention.heads: no part '{part}' in the maps, which hold {held}"
                    f"{nearest(part, names.names)}"
                )
            if not 0 <= head < heads:
                raise ConfigError(
                    f"guidance.attention.heads: {part} on head {head}, but the backbone has 0 to {heads - 1}"
                )
        if len(set(config.heads.values())) < len(config.heads):
            raise ConfigError(f"guidance.attention.heads = {config.heads}: a head can look at one part only")
        self.config, self.names = config, names
        self.channels = [names.names.index(part) for part in config.heads]
        self.heads = list(config.heads.values())

    def forward(
        self, features: Sequence[Features], views: Sequence[View], knowledge: Knowledge, progress: Progress
    ) -> GuidanceOutput:
        """Compute the loss; see `Guidance.forward`."""
        losses, insides, seen = [], [], []
        for feature, view in zip(features, views, strict=True):
            assert feature.attention is not None  # noqa: S101 (build_guidance asked for it)
            target = feature.at_tokens(parts_in_view(knowledge, view, self.names, feature.grid)[:, self.channels])
            attention = feature.attention[:, self.heads].float()
            losses.append(self._loss(attention, target))
            insides.append(attention_inside(attention, target)[0])
            seen.append((target.sum(-1) > SMALLEST_PART) & knowledge.guided[:, None])
        each, inside, counts = torch.cat(losses), torch.cat(insides), torch.cat(seen).float()
        count = divisor_of(counts.sum(0))
        per_part = (each * counts).sum(0) / count
        kept = (inside.detach() * counts).sum(0) / count
        logs: dict[str, Tensor] = {}
        for place, part in enumerate(self.config.heads):
            logs[f"attention_loss/{part}"] = per_part[place].detach()
            logs[f"attention_inside/{part}"] = kept[place]
        return GuidanceOutput(loss=self.config.weight_at(progress) * per_part.mean(), logs=logs)

    def _loss(self, attention: Tensor, target: Tensor) -> Tensor:
        if self.config.loss == "coverage":
            return coverage_loss(attention, target)
        return linear_alignment_loss(
            attention, target, inclusion=self.config.inclusion, exclusion=self.config.exclusion
        )
