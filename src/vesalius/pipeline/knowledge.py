"""From a store to knowledge maps of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import ConfigError
from vesalius.pipeline.stores import open_store

if TYPE_CHECKING:
    from vesalius.data.knowledge_maps import KnowledgeMaps
    from vesalius.data.store import Store
    from vesalius.guidance.templates import Template

__all__ = ["guide"]


def guide(
    store: str | Path,
    *,
    template: str = "deformable",
    out: str | Path | None = None,
    exemplars: Sequence[str | Path] = (),
    masks: Sequence[str | Path] = (),
    parts: Mapping[str, int] | Sequence[str] | None = None,
    atlas: str | Path | None = None,
    backend: str = "batched",
    combine: str = "best",
    train_on: str | Path | None = None,
    segmenter_weights: str | Path | None = None,
    segmenter: Mapping[str, Any] | str | None = None,
    map_size: int | None = None,
    segments: int | None = None,
    workers: int | None = None,
    engine: str = "local",
    device: str = "auto",
    resume: bool = True,
    progress: bool = True,
) -> KnowledgeMaps:
    """Make knowledge maps for every image of a store.

    Args:
        store: The images.
        template: `triangular`, `deformable`, `atlas` (a mean image of the store itself; exemplars are optional),
            `average` (the mean of a segmenter's predictions over the store), `predicted` (each image's own) or `slic`
            (superpixels, for the method r2o).
        out: Folder to write; by default `STORE/maps/<template>`, where `pretrain` finds them by name.
        exemplars: Images that are registered to the others, and whose parts are carried to them.
        masks: Their label maps, in the same order; with `deformable` none at all for places without parts.
        parts: Part name to its value in the label maps; for `average` and `predicted` names alone, all by default.
        atlas: Folder of another store's maps, whose atlas is used in place of a new one.
        backend: `batched` or `elastix`.
        combine: Of several exemplars: `best` or `vote`.
        train_on: For `average` and `predicted`: `STORE[@SPLITS]` with masks; the segmenter is written to
            `<out>.segmenter`.
        segmenter_weights: In place of it: folder of a segmenter that is trained already.
        segmenter: Its name, or its options, see `vesalius.guidance.train_segmenter.SegmenterOptions`.
        map_size: Side of the maps; 64 by default, of `slic` up to 224.
        segments: Of `slic`: about how many superpixels an image; 100 by default, as R2O has them.
        workers: Processes; by default one a core, one on a GPU.
        engine: `local`, `ray` or `dask`.
        device: `auto`, `cpu` or `cuda`.
        resume: Go on with what an interrupted run left.
        progress: Show a bar.

    Raises:
        ConfigError, KnowledgeError, RegistrationError, StoreError, TrainingError: See their descriptions.
    """
    from vesalius.data.engines import worker_count
    from vesalius.devices import choose_device
    from vesalius.guidance.choose_template import BY_PREDICTION, check_template, choose_template, default_side
    from vesalius.interpret.maps_pictures import draw_maps
    from vesalius.pipeline.predicting import predicting_template

    opened = open_store(store)
    map_size = default_side(template, opened) if map_size is None else map_size
    check_template(template, opened, map_size=map_size)
    predicts = template in BY_PREDICTION
    of_templates = {"exemplars": exemplars, "masks": masks, "atlas": atlas}
    of_segmenters = {"train_on": train_on, "segmenter_weights": segmenter_weights, "segmenter": segmenter}
    alone = template in ("triangular", "slic")
    of_superpixels = {} if template == "slic" else {"segments": segments}
    of_others = {**(of_templates if predicts or alone else {}), **({} if predicts else of_segmenters), **of_superpixels}
    _check_words(template, of_others)
    where = choose_device(device).type
    folder = opened.path / "maps" / template if out is None else Path(out)
    count = worker_count(workers) if where == "cpu" or workers is not None else 1
    make = partial(_make, opened, workers=count, engine=engine, device=where, resume=resume, show=progress)
    if predicts:
        chosen = predicting_template(
            opened,
            folder,
            template=template,
            train_on=train_on,
            weights=segmenter_weights,
            parts=parts or (),
            segmenter=segmenter,
            map_size=map_size,
            make=make,
            device=where,
            resume=resume,
            show=progress,
        )
    else:
        chosen = choose_template(
            template,
            opened,
            exemplars=[Path(one) for one in exemplars],
            masks=[Path(one) for one in masks],
            parts=_values(parts),
            atlas=None if atlas is None else Path(atlas),
            backend=backend,
            combine=combine,
            map_size=map_size,
            segments=segments,
        )
    made = make(chosen, folder)
    draw_maps(opened, made)
    return made


def _make(store: Store, template: Template, folder: Path, *, show: bool, **options: Any) -> KnowledgeMaps:
    from vesalius.guidance.guide import guide as guide_store
    from vesalius.progress import bar

    with bar(f"{template.name} maps", len(store), show=show) as advance:
        return guide_store(store, template, folder, advance=advance, **options)


def _check_words(template: str, unfitting: Mapping[str, object]) -> None:
    """Refuse words that only other templates understand, rather than do without them in silence."""
    given = [name for name, value in unfitting.items() if value or value == 0]
    if given:
        raise ConfigError(
            f"template '{template}' makes nothing of {', '.join(given)}; leave out, or choose another one"
        )


def _values(parts: Mapping[str, int] | Sequence[str] | None) -> Mapping[str, int]:
    if parts and not isinstance(parts, Mapping):
        raise ConfigError(f"--parts {','.join(parts)}: give each part its value in the masks, NAME=VALUE by commas")
    return parts if isinstance(parts, Mapping) else {}
