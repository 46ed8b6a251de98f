"""From a store and its runs to a page in the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.errors import ConfigError
from vesalius.pipeline.stores import open_store

if TYPE_CHECKING:
    from vesalius.data.seen_images import Answers
    from vesalius.data.store import Store
    from vesalius.explorer.exploration import Exploration, ExploredRun, Layer

__all__ = ["explore", "look_through"]


def explore(
    runs: Sequence[str | Path],
    data: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    embedding: str = "umap",
    activations: bool = True,
    text_labels: bool = False,
    image_size: int | None = None,
    device: str = "auto",
    progress: bool = True,
    begun: Callable[[str], None] = lambda _: None,
) -> None:
    """Show a store and its runs in the browser, until interrupted; see `look_through` for what is computed first.

    Args:
        runs: Run folders.
        data: The store.
        host: Where to listen, see `vesalius.explorer.serve`.
        port: Likewise.
        token: Likewise.
        embedding: As in `look_through`; this and the next ones.
        activations: Also class activation maps of networks that evaluations kept.
        text_labels: Also show labels that are free text or a number of each image's own, which may name patients.
        image_size: Side of the runs' input in pixels.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: Show bars.
        begun: Told the address to open.

    Raises:
        ConfigError, BackboneError, EvaluationError, RunError, StoreError: See their descriptions.
    """
    from vesalius.explorer.serve import open_door, serve

    door = open_door(host=host, port=port, token=token)
    with door.listening:
        found = look_through(
            runs,
            data,
            embedding=embedding,
            activations=activations,
            text_labels=text_labels,
            image_size=image_size,
            device=device,
            progress=progress,
        )
        serve(found, door, begun=begun)


def look_through(
    runs: Sequence[str | Path],
    data: str | Path,
    *,
    embedding: str = "umap",
    activations: bool = True,
    text_labels: bool = False,
    image_size: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Exploration:
    """Compute once what the page shows of every image, kept in `RUN/explorer`; work that was stopped goes on.

    Of each run: features, attention and a map of all images; of the networks that its evaluations of this store kept
    (`evaluate --keep-networks`): what they predict, and class activation maps.

    Args:
        runs: Run folders.
        data: The store.
        embedding: The map: `umap` or `pca`.
        activations: Also class activation maps, which cost a pass back through the network for every part.
        text_labels: Also show labels that are free text or a number of each image's own, which may name patients.
        image_size: Side of the input in pixels; by default the weights' own.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: Show bars.

    Raises:
        BackboneError: Damaged weights, or a backbone that does not take this size.
        ConfigError: No run, the same twice, no such map, or a package that is missing.
        RunError: No run, one without a backbone, or damaged files in it.
        StoreError: No store.
    """
    from vesalius.evaluation.embedding_map import check_map
    from vesalius.explorer.exploration import Exploration
    from vesalius.interpret.run_names import run_names

    if not runs:
        raise ConfigError("explore needs at least one run folder, got none; name one that `vesalius pretrain` wrote")
    check_map(embedding)
    store, paths = open_store(Path(data).resolve()), [Path(one) for one in runs]
    names = run_names(paths)
    for path in paths:
        _check_run(path)
    how = {"embedding": embedding, "image_size": image_size, "device": device, "progress": progress}
    seen = [
        _explored(path, name, store, activations=activations, **how)  # type: ignore[arg-type]
        for path, name in zip(paths, names, strict=True)
    ]
    return Exploration.of(store, seen, _map_layers(store), text_labels=text_labels)


def _check_run(path: Path) -> None:
    from vesalius.training.run_folder import RunFolder

    run = RunFolder(path)
    run.recipe()
    run.check_backbone()


def _explored(
    path: Path,
    name: str,
    store: Store,
    *,
    embedding: str,
    activations: bool,
    image_size: int | None,
    device: str,
    progress: bool,
) -> ExploredRun:
    from vesalius.backbones.load import load_backbone
    from vesalius.evaluation.see_images import see_images
    from vesalius.explorer.exploration import ExploredRun
    from vesalius.progress import bar
    from vesalius.training.run_folder import RunFolder

    run = RunFolder(path)
    recipe = run.recipe()
    guidance = None if recipe.guidance is None else recipe.guidance.attention
    backbone = load_backbone(run.backbone)
    with bar(f"{name}: images", len(store), show=progress) as advance:
        seen = see_images(
            path,
            backbone,
            store,
            guided={} if guidance is None else guidance.heads,
            how=embedding,
            image_size=image_size,
            device=device,
            advance=advance,
        )
    answers = _answers(path, name, store, activations=activations, device=device, progress=progress)
    return ExploredRun(name=name, path=path, seen=seen, answers=answers)


def _answers(
    path: Path, name: str, store: Store, *, activations: bool, device: str, progress: bool
) -> tuple[Answers, ...]:
    from vesalius.devices import choose_device
    from vesalius.evaluation.networks_of_run import evaluations_with_networks, open_networks
    from vesalius.evaluation.see_answers import answers_work, see_answers
    from vesalius.progress import bar, say

    found = []
    evaluations, wrong = evaluations_with_networks(path, store)
    for words in wrong:
        say(f"warning: left out, {words}", show=progress)
    for evaluation in evaluations:
        models = open_networks(path, evaluation, name=name, arm="pretrained", store=store, device=choose_device(device))
        with bar(f"{name}: answers of {evaluation}", answers_work(models), show=progress) as advance:
            found.append(see_answers(path, evaluation, models, store, activations=activations, advance=advance))
    return tuple(found)


def _map_layers(store: Store) -> list[Layer]:
    """Return the store's knowledge maps that have parts, each read as it is asked for."""
    import numpy as np

    from vesalius.data.knowledge_maps import find_maps
    from vesalius.explorer.exploration import Layer

    layers = []
    for folder in sorted(path.parent for path in (store.path / "maps").glob("*/maps.json")):
        maps = find_maps(store, folder)
        if maps.names.names:
            layers.append(
                Layer(
                    kind="map",
                    title=f"Knowledge map {folder.name}",
                    parts=maps.names.names,
                    read=lambda row, maps=maps: np.asarray(maps.parts[np.array([row])])[0],  # type: ignore[misc]
                )
            )
    return layers
