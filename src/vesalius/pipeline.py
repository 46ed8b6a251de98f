"""The verbs: one function each, the only module that knows all the parts."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import RunError, StoreError

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from rich.console import Console
    from torch import Tensor

    from vesalius.backbones.interface import Backbone
    from vesalius.data.batches import ImagePool
    from vesalius.data.doctor_report import DoctorReport
    from vesalius.data.prepare_summary import PrepareSummary
    from vesalius.data.store import Store
    from vesalius.records.result import Result
    from vesalius.training.monitors import Probe
    from vesalius.training.recipe import Recipe
    from vesalius.training.run_folder import RunFolder

# Everything heavy is imported inside the verbs, so that `vesalius --help` and `import vesalius` stay fast.

__all__ = ["doctor", "evaluate", "open_store", "prepare", "pretrain", "report"]

Data = str | Path | Sequence[str | Path]
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


def pretrain(
    recipe: str | Path,
    *,
    data: Data,
    out: str | Path,
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

    from vesalius.training.recipe import load_recipe
    from vesalius.training.run_folder import RunFolder
    from vesalius.training.train import Pretraining, leads, resolve_recipe

    console = console or Console()
    folder = RunFolder(Path(out))
    pool, about = _open_pool(data)
    if resume and folder.exists:
        if overrides or budget_minutes is not None:
            raise RunError(f"{folder.path}: a resumed run keeps its recipe; leave out --set and --budget-minutes")
        resolved, notes = folder.recipe(), _NOTHING
        if folder.state()["status"] == "done":
            console.print(f"{folder.path}: already done", highlight=False)
            _keep_pool(pool, about, folder)
            _draw_pictures(resolved, pool, folder)
            return folder.path
    else:
        budget = () if budget_minutes is None else (f"training.budget_minutes={budget_minutes}",)
        resolved, notes = resolve_recipe(load_recipe(recipe, overrides=[*overrides, *budget]), len(pool))
        if leads(resolved):
            folder.check_free()
        resume = False
    if not leads(resolved):
        console = Console(quiet=True)
    for note in notes:
        console.print(note, highlight=False)
    probes = _probes(resolved, pool, console)
    state = {"command": shlex.join(["vesalius", *sys.argv[1:]]), "recipe": resolved.name, "data": about, "notes": notes}
    if leads(resolved) and resume:
        _keep_pool(pool, about, folder)
    Pretraining(recipe=resolved, pool=pool, folder=folder, probes=probes, console=console).run(
        state=state, resume=resume
    )
    if leads(resolved):
        _draw_pictures(resolved, pool, folder)
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


def report(runs: Sequence[str | Path], out: str | Path, *, data: Sequence[str | Path] = ()) -> Path:
    """Write one self-contained page about one or several runs."""
    from vesalius.report.page import report as write_report

    return write_report([Path(run) for run in runs], Path(out), data=[Path(store) for store in data])


def _open_pool(data: Data) -> tuple[ImagePool, dict[str, Any]]:
    """Open `STORE[@SPLITS]` entries; return the images and what run.json says of them."""
    from vesalius.data.batches import ImagePool

    entries = [data] if isinstance(data, (str, Path)) else list(data)
    if not entries:
        raise StoreError("no data: name at least one store that `vesalius prepare` wrote")
    parts, names, splits, digest, patients = [], [], [], hashlib.sha256(), set()
    for entry in entries:
        path, sign, wanted = str(entry).rpartition("@")
        if not sign or Path(entry).exists():
            path, wanted = str(entry), "train"
        store = open_store(path)
        rows = store.rows() if wanted == "all" else store.rows(split=wanted.split("+"))
        parts.append((store, rows))
        names.append(store.path.name)
        splits.append(wanted)
        digest.update(f"{store.fingerprint}@{wanted}".encode())
        patients |= set(store.manifest["patient"].iloc[rows])
    pool = ImagePool(parts)
    return pool, {
        "store": " + ".join(names),
        "fingerprint": digest.hexdigest(),
        "images": len(pool),
        "patients": len(patients),
        "split": splits,
    }


def _keep_pool(pool: ImagePool, about: dict[str, Any], folder: RunFolder) -> None:
    """Record which images are trained on, unless the run in the folder was begun on others."""
    from vesalius.data.pool_record import write_pool

    if not folder.exists or folder.state()["data"]["fingerprint"] == about["fingerprint"]:
        write_pool(folder.pool_file, pool.parts)


def _probes(recipe: Recipe, pool: ImagePool, console: Console) -> list[Probe]:
    """Choose the online monitors: feature rank always, k-NN on the label asked for or on two that are there."""
    from vesalius.errors import LabelError, VesaliusError
    from vesalius.evaluation.online import knn_probe, rank_probe

    monitors, precision = recipe.monitors, recipe.training.precision
    store, rows = pool.parts[0]
    probes: list[Probe] = [rank_probe(store, rows[: monitors.images], precision=precision)]
    stores = [part for part, _ in pool.parts]
    if monitors.knn_store is not None:
        stores = [open_store(monitors.knn_store)]
    wanted = [
        (part, name)
        for part in stores
        for name, spec in part.labels.items()
        if (monitors.knn_label or name) == name and spec["kind"] in ("binary", "multiclass")
    ]
    if monitors.knn_label is not None and not wanted:
        raise LabelError(f"monitors.knn_label: no classifiable label '{monitors.knn_label}' in the stores given")
    for part, name in wanted:
        if len(probes) > 2:
            break
        try:
            probes.append(knn_probe(part, name, images=monitors.knn_images, precision=precision))
        except VesaliusError as error:
            console.print(f"no online k-NN on '{name}': {error}", highlight=False)
    return probes


def _draw_pictures(recipe: Recipe, pool: ImagePool, folder: RunFolder) -> None:
    """Draw sample views and, where the backbone has [CLS], its attention, into the run folder, once."""
    import numpy as np
    import torch

    from vesalius.backbones.load import load_backbone
    from vesalius.interpret.pictures import save_png, views_picture
    from vesalius.views.make_views import make_views
    from vesalius.views.plans import plan_by_name

    if (folder.pictures / "views.png").is_file():
        return
    backbone = load_backbone(folder.backbone)
    about = backbone.preprocessing
    plan = plan_by_name(recipe.views.plan, **recipe.views.options)
    rows = np.linspace(0, len(pool) - 1, min(6, len(pool))).astype(np.int64)
    images = pool.gather(rows)
    generator = torch.Generator().manual_seed(recipe.training.seed)
    views = make_views(images, plan, generator, out_channels=about.in_chans, mean=about.mean, std=about.std)
    if backbone.has_cls:
        save_png(_attention(images, backbone), folder.pictures / "attention.png")
    save_png(views_picture(views, about.mean, about.std), folder.pictures / "views.png")


def _attention(images: Tensor, backbone: Backbone) -> NDArray[uint8]:
    import numpy as np
    import torch

    from vesalius.evaluation.features import to_input
    from vesalius.interpret.pictures import attention_picture

    pixels = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
    if pixels.dtype != np.uint8:
        pixels = (pixels * 255.0).round().astype(np.uint8)
    with torch.no_grad():
        x = to_input(pixels, backbone, torch.device("cpu"), backbone.preprocessing.image_size)
        features = backbone.forward_features(x, attention=True)
    assert features.attention is not None  # noqa: S101 (asked for above)
    shown = torch.from_numpy(pixels).float().div(255.0)
    shown = shown[:, None] if shown.ndim == 3 else shown.permute(0, 3, 1, 2)
    return attention_picture(shown, features.attention, features.grid)
