"""Which guidance there is: the one place that a recipe's `guidance` section and the training go through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from vesalius.backbones.interface import Backbone
from vesalius.config import StrictModel
from vesalius.errors import ConfigError
from vesalius.guidance.attention_alignment import AttentionAlignment, AttentionConfig
from vesalius.guidance.base import Guidance, GuidanceOutput
from vesalius.guidance.coordinates import Coordinates, CoordinatesConfig
from vesalius.guidance.place_contrast import PlaceContrast, PlaceContrastConfig
from vesalius.records.features import Features
from vesalius.records.knowledge import Knowledge, PartNames
from vesalius.records.view import View
from vesalius.schedules import Progress

__all__ = ["GuidanceConfig", "build_guidance"]


class GuidanceConfig(StrictModel):
    """What is known of the anatomy, and how it teaches; at least one of the three ways.

    Attributes:
        maps: Name of the stores' knowledge maps (`STORE/maps/<name>`), where no folder is given by `--maps`.
        attention: Heads look at parts, see `AttentionConfig`.
        coordinates: Patches know their place in the template, see `CoordinatesConfig`.
        contrast: The same place is told apart from patient to patient, see `PlaceContrastConfig`.
    """

    maps: str = "deformable"
    attention: AttentionConfig | None = None
    coordinates: CoordinatesConfig | None = None
    contrast: PlaceContrastConfig | None = None

    @property
    def needs_coordinates(self) -> bool:
        """Whether the maps must tell where pixels lie in the template."""
        return self.coordinates is not None or self.contrast is not None


class _Together(Guidance):
    """Several kinds of guidance, added."""

    def __init__(self, parts: Sequence[Guidance]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.needs_attention = any(part.needs_attention for part in parts)
        self.needs_patches = any(part.needs_patches for part in parts)
        self.needs_inner = any(part.needs_inner for part in parts)

    def forward(
        self, features: Sequence[Features], views: Sequence[View], knowledge: Knowledge, progress: Progress
    ) -> GuidanceOutput:
        outputs: list[GuidanceOutput] = [part(features, views, knowledge, progress) for part in self.parts]
        logs = {name: value for output in outputs for name, value in output.logs.items()}
        return GuidanceOutput(loss=torch.stack([output.loss for output in outputs]).sum(), logs=logs)

    def after_step(self, momentum: float) -> None:
        for part in self.parts:
            assert isinstance(part, Guidance)  # noqa: S101 (for the type checker)
            part.after_step(momentum)

    def kept_tensors(self) -> Iterable[tuple[str, Tensor]]:
        for part in self.parts:
            assert isinstance(part, Guidance)  # noqa: S101 (for the type checker)
            yield from part.kept_tensors()

    def trained_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        for part in self.parts:
            assert isinstance(part, Guidance)  # noqa: S101 (for the type checker)
            yield from part.trained_parameters()


def build_guidance(config: GuidanceConfig, names: PartNames, student: Backbone, *, template_side: int = 1) -> Guidance:
    """Build the guidance for maps of these parts, and let the student's features carry what it needs.

    Raises:
        ConfigError: No way of teaching is named; heads that do not exist, or of a backbone without a row of attention.
    """
    parts: list[Guidance] = []
    if config.attention is not None:
        if not student.attention_heads:
            raise ConfigError(
                f"guidance.attention: {student.why_no_attention} and so no row of attention to guide; use a plain ViT "
                "or DeiT, or guidance.coordinates, which any backbone with a token grid can take"
            )
        parts.append(AttentionAlignment(config.attention, names, heads=student.attention_heads))
    if config.coordinates is not None:
        parts.append(_coordinates(config, names, student, template_side))
    if config.contrast is not None:
        parts.append(PlaceContrast(config.contrast, names, dim=student.feature_dim))
    if not parts:
        raise ConfigError(
            "guidance: name one or several of guidance.attention, guidance.coordinates, guidance.contrast"
        )
    guidance = _Together(parts)
    student.always(attention=guidance.needs_attention, patches=guidance.needs_patches, inner=guidance.needs_inner)
    return guidance


def _coordinates(config: GuidanceConfig, names: PartNames, student: Backbone, template_side: int) -> Coordinates:
    """Choose the tokens that are asked for their place; contrast reads the last ones, which then cost nothing more."""
    assert config.coordinates is not None  # noqa: S101 (the caller looked)
    tokens = config.coordinates.tokens
    if tokens == "inner" and not student.has_inner:
        raise ConfigError(
            f"guidance.coordinates.tokens = inner: {student.name} has no blocks of tokens; leave it at last"
        )
    inner = tokens == "inner" or (tokens == "auto" and student.cls_alone and config.contrast is None)
    return Coordinates(config.coordinates, names, dim=student.feature_dim, inner=inner, template_side=template_side)
