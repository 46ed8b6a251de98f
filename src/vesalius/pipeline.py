"""The verbs: one function each, the only module that knows all the parts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.data.batches import ImagePool
    from vesalius.data.doctor_report import DoctorReport
    from vesalius.data.knowledge_maps import KnowledgeMaps
    from vesalius.data.open_pool import Data
    from vesalius.data.prepare_summary import PrepareSummary
    from vesalius.data.store import Store
    from vesalius.records.result import Result
    from vesalius.training.run_folder import RunFolder

# Everything heavy is imported inside the verbs, so that `vesalius --help` and `import vesalius` stay fast.

__all__ = ["doctor", "evaluate", "evaluate_attention", "guide", "open_store", "prepare", "pretrain", "report"]

_NOTHING: tuple[str, ...] = ()


def open_store(path: str | Path) -> Store:
    """Open a store: `.images`, `.manifest`, `.masks` and maps by name, see `vesalius.data.store.Store`."""
    from vesalius.data.store import open_store as open_it

    return open_it(Path(path))


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    dataset: str = "auto",
    size: int = 256,
    bits: int = 8,
    fit: str = "pad",
    channels: str | int = "auto",
    window: str | tuple[float, float] = "auto",
    frames: str = "auto",
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
    workers: int | None = None,
    engine: str = "local",
    seed: int = 0,
    split: str = "auto",
    labels_csv: str | Path | None = None,
    salt_file: str | Path | None = None,
    adapter_options: Mapping[str, Any] | None = None,
    resume: bool = True,
    progress: bool = True,
) -> PrepareSummary:
    """Turn a folder of scans into a store; each option is explained at `vesalius.data.prepare.prepare`."""
    from vesalius.data.prepare import prepare as prepare_it

    return prepare_it(
        source,
        out,
        dataset=dataset,
        size=size,
        bits=bits,
        fit=fit,
        channels=channels,
        window=window,
        frames=frames,
        axis=axis,
        volume=volume,
        key=key,
        workers=workers,
        engine=engine,
        seed=seed,
        split=split,
        labels_csv=labels_csv,
        salt_file=salt_file,
        adapter_options=adapter_options,
        resume=resume,
        progress=progress,
    )


def doctor(
    source: str | Path,
    *,
    dataset: str = "auto",
    axis: str | int = "axial",
    volume: int = 0,
    key: str | None = None,
) -> DoctorReport:
    """Look at a folder of scans and say what would be read; changes nothing."""
    from vesalius.data.doctor import doctor as examine

    return examine(source, dataset=dataset, axis=axis, volume=volume, key=key)


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


def pretrain(
    recipe: str | Path,
    *,
    data: Data,
    out: str | Path,
    maps: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    budget_minutes: float | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> Path:
    """Pretrain a backbone on the images of one or several stores.

    Args:
        recipe: Name of a shipped recipe (`dino/small`) or path of a YAML file; not read when resuming.
        data: Store, or stores; `STORE` means its train split, `STORE@all`, `STORE@train+val` others.
        out: Run folder to write.
        maps: Folders of knowledge maps, one a store, where the recipe has guidance; by default each store's own of the
            name that the recipe gives.
        overrides: Assignments as in `training.batch_size=32`.
        budget_minutes: Train as long as this instead of the recipe's epochs.
        resume: Go on in an existing run folder, with its own recipe.
        console: Where to speak; standard output by default.

    Returns:
        The run folder.

    Raises:
        ConfigError, StoreError, RunError, CheckpointError, TrainingError, BackboneError: See their descriptions.
    """
    from rich.console import Console

    from vesalius.data.knowledge_maps import open_knowledge
    from vesalius.data.open_pool import open_pool
    from vesalius.evaluation.online import choose_probes
    from vesalius.interpret.run_pictures import draw_run
    from vesalius.training.recipe import load_recipe
    from vesalius.training.run_folder import RunFolder
    from vesalius.training.train import Pretraining, leads, resolve_recipe

    console = console or Console()
    folder = RunFolder(Path(out))
    pool, about = open_pool(data)
    if resume and folder.exists:
        if overrides or budget_minutes is not None:
            raise RunError(f"{folder.path}: a resumed run keeps its recipe; leave out --set and --budget-minutes")
        resolved, notes = folder.recipe(), _NOTHING
        if folder.state()["status"] == "done":
            console.print(f"{folder.path}: already done", highlight=False)
            _keep_pool(pool, about, folder)
            draw_run(resolved, pool, folder)
            return folder.path
    else:
        budget = () if budget_minutes is None else (f"training.budget_minutes={budget_minutes}",)
        resolved, notes = resolve_recipe(load_recipe(recipe, overrides=[*overrides, *budget]), len(pool))
        if leads(resolved):
            folder.check_free()
        resume = False
    knowledge = None
    if resolved.guidance is not None:
        coordinates = resolved.guidance.coordinates is not None
        knowledge = open_knowledge(pool, resolved.guidance.maps, maps, coordinates=coordinates)
        about |= {"maps": knowledge.description()}
    if not leads(resolved):
        console = Console(quiet=True)
    for note in notes:
        console.print(note, highlight=False)
    probes = choose_probes(
        resolved.monitors,
        pool,
        precision=resolved.training.precision,
        say=lambda text: console.print(text, highlight=False),
    )
    state = {"command": shlex.join(["vesalius", *sys.argv[1:]]), "recipe": resolved.name, "data": about, "notes": notes}
    if leads(resolved) and resume:
        _keep_pool(pool, about, folder)
    Pretraining(recipe=resolved, pool=pool, folder=folder, probes=probes, console=console, knowledge=knowledge).run(
        state=state, resume=resume
    )
    if leads(resolved):
        draw_run(resolved, pool, folder)
    return folder.path


def evaluate(
    run: str | Path,
    *,
    data: str | Path,
    task: str,
    label: str,
    test_data: str | Path | None = None,
    protocol: str = "auto",
    folds: int = 5,
    k: int = 20,
    fractions: Sequence[float] = (0.01, 0.05, 0.1, 1.0),
    seeds: int = 3,
    random_inits: int = 2,
    features: str = "auto",
    solver: str = "lbfgs",
    image_size: int | None = None,
    batch_size: int = 128,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Result:
    """Score a run's frozen backbone beside its untrained twin, raw pixels and chance.

    `data` is a labelled store; `test_data` another one that is scored instead of the first one's test side. See
    `vesalius.evaluation.options.EvaluationOptions` for what shapes the figures, `evaluate_run` for the rest.
    """
    from vesalius.evaluation.evaluate_run import evaluate_run
    from vesalius.evaluation.options import EvaluationOptions

    options = EvaluationOptions(
        protocol=protocol,
        folds=folds,
        k=k,
        fractions=tuple(fractions),
        seeds=seeds,
        random_inits=random_inits,
        features=features,
        solver=solver,
        image_size=image_size,
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
    )
    scored = None if test_data is None else open_store(test_data)
    where: dict[str, Any] = {"batch_size": batch_size, "device": device, "progress": progress}
    return evaluate_run(
        Path(run), open_store(data), task=task, label=label, test_store=scored, options=options, **where
    )


def evaluate_attention(
    run: str | Path,
    *,
    data: str | Path,
    parts: Sequence[str] = (),
    maps: str | Path | None = None,
    image_size: int | None = None,
    upsampling: str = "bilinear",
    batch_size: int = 64,
    device: str = "auto",
    precision: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Score where a run's backbone looks against the masks of a store, one result a part.

    `maps` names knowledge maps of this store, whose parts are then scored beside; the rest is explained at
    `vesalius.evaluation.attention`.
    """
    from vesalius.data.knowledge_maps import find_maps
    from vesalius.evaluation.attention import AttentionOptions
    from vesalius.evaluation.attention import evaluate_attention as score
    from vesalius.progress import bar

    store = open_store(data)
    options = AttentionOptions(
        image_size=image_size, upsampling=upsampling, precision=precision, bootstrap=bootstrap, seed=seed
    )
    given = None if maps is None else find_maps(store, maps)
    where: dict[str, Any] = {"batch_size": batch_size, "device": device}
    with bar("attention", 2 * len(store), show=progress) as advance:
        return score(Path(run), store, parts=parts, maps=given, options=options, advance=advance, **where)


def report(runs: Sequence[str | Path], out: str | Path, *, data: Sequence[str | Path] = ()) -> Path:
    """Write one self-contained page about one or several runs."""
    from vesalius.report.page import report as write_report

    return write_report([Path(run) for run in runs], Path(out), data=[Path(store) for store in data])


def _keep_pool(pool: ImagePool, about: dict[str, Any], folder: RunFolder) -> None:
    """Record which images are trained on, unless the run in the folder was begun on others."""
    from vesalius.data.pool_record import write_pool

    if not folder.exists or folder.state()["data"]["fingerprint"] == about["fingerprint"]:
        write_pool(folder.pool_file, pool.parts)
