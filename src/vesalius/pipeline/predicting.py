"""From a labelled store to a template that predicts: a segmenter is trained, or opened, and averaged where asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import ConfigError

if TYPE_CHECKING:
    from vesalius.data.knowledge_maps import KnowledgeMaps
    from vesalius.data.store import Store
    from vesalius.guidance.templates import Template

__all__ = ["predicting_template"]


def predicting_template(
    store: Store,
    out: Path,
    *,
    template: str,
    train_on: str | Path | None,
    weights: str | Path | None,
    parts: Mapping[str, int] | Sequence[str],
    segmenter: Mapping[str, Any] | str | None,
    map_size: int,
    make: Callable[[Template, Path], KnowledgeMaps],
    device: str,
    resume: bool,
    show: bool,
) -> Template:
    """Build `average` or `predicted`; arguments as in `vesalius.pipeline.guide`.

    `make` makes the maps of the store by a template: for `average` each image's prediction is made first, in
    `<out>.predicted`.

    Raises:
        ConfigError, KnowledgeError, StoreError, TrainingError: See their descriptions.
    """
    from vesalius.guidance.choose_segmenter import choose_segmenter
    from vesalius.guidance.predicted import AverageTemplate, PredictedTemplate
    from vesalius.training.precision import choose_precision

    if isinstance(parts, Mapping) and parts:
        raise ConfigError(
            f"--parts {','.join(f'{name}={value}' for name, value in parts.items())}: the masks of a store know their "
            f"values; give names alone, --parts {','.join(parts)}"
        )
    chosen = choose_segmenter(
        store,
        out,
        train_on=train_on,
        weights=weights,
        parts=tuple(parts),
        options={"architecture": segmenter} if isinstance(segmenter, str) else segmenter,
        device=device,
        bf16=choose_precision("auto", accelerator=device)[0] == "bf16-mixed",
        resume=resume,
        show=show,
    )
    predicted = PredictedTemplate(chosen, map_size=map_size)
    if template == "predicted":
        return predicted
    return AverageTemplate(make(predicted, out.with_name(out.name + ".predicted")))
