"""From a store to knowledge maps of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.pipeline.stores import open_store

if TYPE_CHECKING:
    from vesalius.data.knowledge_maps import KnowledgeMaps

__all__ = ["guide"]


def guide(
    store: str | Path,
    *,
    template: str = "deformable",
    out: str | Path | None = None,
    exemplars: Sequence[str | Path] = (),
    masks: Sequence[str | Path] = (),
    parts: Mapping[str, int] | None = None,
    atlas: str | Path | None = None,
    backend: str = "batched",
    combine: str = "best",
    map_size: int = 64,
    workers: int | None = None,
    engine: str = "local",
    device: str = "auto",
    resume: bool = True,
    progress: bool = True,
) -> KnowledgeMaps:
    """Make knowledge maps for every image of a store.

    Args:
        store: The images.
        template: `triangular`, `deformable` or `atlas` (a mean image of the store itself; exemplars are optional).
        out: Folder to write; by default `STORE/maps/<template>`, where `pretrain` finds them by name.
        exemplars: Labelled images whose parts are carried to the others.
        masks: Their label maps, in the same order.
        parts: Part name to its value in the label maps.
        atlas: Folder of another store's maps, whose atlas is used in place of a new one.
        backend: `batched` or `elastix`.
        combine: Of several exemplars: `best` or `vote`.
        map_size: Side of the maps.
        workers: Processes; by default one a core, one on a GPU.
        engine: `local`, `ray` or `dask`.
        device: `auto`, `cpu` or `cuda`.
        resume: Go on with what an interrupted run left.
        progress: Show a bar.

    Raises:
        ConfigError, KnowledgeError, RegistrationError, StoreError: See their descriptions.
    """
    from vesalius.data.engines import worker_count
    from vesalius.devices import choose_device
    from vesalius.guidance.choose_template import choose_template
    from vesalius.guidance.guide import guide as guide_store
    from vesalius.interpret.maps_pictures import draw_maps
    from vesalius.progress import bar

    opened = open_store(store)
    chosen = choose_template(
        template,
        opened,
        exemplars=[Path(one) for one in exemplars],
        masks=[Path(one) for one in masks],
        parts=parts or {},
        atlas=None if atlas is None else Path(atlas),
        backend=backend,
        combine=combine,
        map_size=map_size,
    )
    where = choose_device(device).type
    folder = opened.path / "maps" / template if out is None else Path(out)
    count = worker_count(workers) if where == "cpu" or workers is not None else 1
    with bar(f"{template} maps", len(opened), show=progress) as advance:
        made = guide_store(
            opened, chosen, folder, workers=count, engine=engine, device=where, resume=resume, advance=advance
        )
    draw_maps(opened, made)
    return made
