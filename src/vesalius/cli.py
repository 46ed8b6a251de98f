"""The command line: one command a verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vesalius.errors import VesaliusError
from vesalius.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    help="Self-supervised pretraining for medical images: prepare, pretrain, evaluate, report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe's key; repeatable.")]
Stores = Annotated[
    list[str],
    typer.Option("--data", metavar="STORE[@SPLITS]", help="Store to train on (its train split, or @all, @train+val)."),
]


def main() -> None:
    """Run the command line; a user's error is one message on standard error and exit status 2."""
    try:
        app()
    except VesaliusError as error:
        _console(stderr=True).print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except OSError as error:
        _console(stderr=True).print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"vesalius {__version__}")
        raise typer.Exit


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of scans (DICOM, NIfTI, PNG, JPEG, TIFF, HDF5, NPZ).")],
    out: Annotated[Path, typer.Option(help="Store to write.")],
    dataset: Annotated[str, typer.Option(help="Layout: auto, folder, kermany, nih, chexpert, jsrt, ...")] = "auto",
    size: Annotated[int, typer.Option(help="Side of the stored square images, pixels.")] = 256,
    bits: Annotated[int, typer.Option(help="8 or 16 bits a pixel.")] = 8,
    fit: Annotated[str, typer.Option(help="What happens to images that are not square: pad, crop or squash.")] = "pad",
    channels: Annotated[str, typer.Option(help="auto, 1 or 3.")] = "auto",
    window: Annotated[str, typer.Option(help="auto, header, bits, percentiles, range, or LOW,HIGH.")] = "auto",
    frames: Annotated[
        str, typer.Option(help="Of files with several: first, middle, all; auto: all of arrays, else the middle.")
    ] = "auto",
    axis: Annotated[str, typer.Option(help="Of NIfTI volumes: axial, coronal, sagittal, 0, 1 or 2.")] = "axial",
    volume: Annotated[int, typer.Option(help="Of 4-D NIfTI files.")] = 0,
    key: Annotated[str | None, typer.Option(help="Array to read in HDF5 and NPZ files.")] = None,
    split: Annotated[str, typer.Option(help="auto, patient, given, or image (leaks patients).")] = "auto",
    labels_csv: Annotated[Path | None, typer.Option(help="Table of labels to join by image.")] = None,
    salt_file: Annotated[Path | None, typer.Option(help="Secret for the pseudonyms; share it among stores.")] = None,
    adapter_option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of the data set's adapter.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one a core.")] = None,
    engine: Annotated[str, typer.Option(help="local, ray, or dask://host:port.")] = "local",
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on with what an interrupted run left.")] = True,
) -> None:
    """Decode, window, resize, check and split a folder of scans into a store."""
    from vesalius import pipeline
    from vesalius.data.prepare_summary import summary_table

    summary = pipeline.prepare(
        source,
        out,
        dataset=dataset,
        size=size,
        bits=bits,
        fit=fit,
        channels=int(channels) if channels.isdigit() else channels,
        window=_window(window),
        frames=frames,
        axis=axis,
        volume=volume,
        key=key,
        split=split,
        labels_csv=labels_csv,
        salt_file=salt_file,
        adapter_options=_options(adapter_option or []),
        workers=workers,
        engine=engine,
        seed=seed,
        resume=resume,
    )
    _console().print(summary_table(summary))


@app.command()
def doctor(
    source: Annotated[Path, typer.Argument(help="Folder of scans; nothing in it is changed.")],
    dataset: Annotated[str, typer.Option(help="Layout, or auto.")] = "auto",
    axis: Annotated[str, typer.Option(help="Of NIfTI volumes: axial, coronal, sagittal, 0, 1 or 2.")] = "axial",
    volume: Annotated[int, typer.Option(help="Of 4-D NIfTI files.")] = 0,
    key: Annotated[str | None, typer.Option(help="Array to read in HDF5 and NPZ files.")] = None,
) -> None:
    """Say what is in a folder, what would be read, what not, and why."""
    from vesalius import pipeline
    from vesalius.data.doctor_report import report_tables

    _console().print(report_tables(pipeline.doctor(source, dataset=dataset, axis=axis, volume=volume, key=key)))


@app.command()
def guide(
    store: Annotated[Path, typer.Argument(help="Store whose images get knowledge maps.")],
    template: Annotated[str, typer.Option(help="triangular, deformable or atlas.")] = "deformable",
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default STORE/maps/TEMPLATE.")] = None,
    exemplar: Annotated[list[Path] | None, typer.Option(help="Labelled image; repeatable.")] = None,
    mask: Annotated[list[Path] | None, typer.Option(help="Its label map, in the order of the exemplars.")] = None,
    parts: Annotated[str, typer.Option(help="Values of the label map: left_lung=1,right_lung=2,heart=3.")] = "",
    atlas: Annotated[Path | None, typer.Option(help="Maps of another store whose atlas is to be used.")] = None,
    backend: Annotated[str, typer.Option(help="batched or elastix.")] = "batched",
    combine: Annotated[str, typer.Option(help="Of several exemplars: best or vote.")] = "best",
    map_size: Annotated[int, typer.Option(help="Side of the maps, pixels.")] = 64,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one a core.")] = None,
    engine: Annotated[str, typer.Option(help="local, ray, or dask://host:port.")] = "local",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; the batched backend's.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Go on with what an interrupted run left.")] = True,
) -> None:
    """Make knowledge maps: where the parts of the anatomy are in every image of a store."""
    from vesalius import pipeline
    from vesalius.guidance.summary import summary_table

    made = pipeline.guide(
        store,
        template=template,
        out=out,
        exemplars=list(exemplar or []),
        masks=list(mask or []),
        parts=_parts(parts),
        atlas=atlas,
        backend=backend,
        combine=combine,
        map_size=map_size,
        workers=workers,
        engine=engine,
        device=device,
        resume=resume,
    )
    _console().print(summary_table(made))
    typer.echo(f"maps: {made.path}")


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="Shipped recipe (see `vesalius recipes`) or YAML file.")],
    data: Stores,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    maps: Annotated[
        list[Path] | None, typer.Option(help="Knowledge maps, one folder a store; by default each store's own.")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    budget_minutes: Annotated[
        float | None, typer.Option(help="Train this long instead of the recipe's epochs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Pretrain a backbone on unlabelled images."""
    from vesalius import pipeline

    run = pipeline.pretrain(
        recipe,
        data=data,
        out=out,
        maps=list(maps or []),
        overrides=overrides,
        budget_minutes=budget_minutes,
        resume=resume,
        console=_console(),
    )
    typer.echo(f"run: {run}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Option(help="Labelled store.")],
    label: Annotated[
        str, typer.Option(help="Label to predict; several binary ones, or the parts of attention, as a,b,c.")
    ] = "",
    task: Annotated[str, typer.Option(help="knn, linear or attention.")] = "knn",
    maps: Annotated[Path | None, typer.Option(help="Knowledge maps of the store, scored beside the attention.")] = None,
    upsampling: Annotated[str, typer.Option(help="Of attention maps: bilinear or nearest.")] = "bilinear",
    test_data: Annotated[
        Path | None, typer.Option(help="Score on this store instead of the other's test side.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="auto, split or folds (by patient).")] = "auto",
    folds: Annotated[int, typer.Option(help="How many folds.")] = 5,
    k: Annotated[int, typer.Option(help="Neighbours.")] = 20,
    fractions: Annotated[str, typer.Option(help="Shares of the training labels, by commas.")] = "0.01,0.05,0.1,1",
    seeds: Annotated[int, typer.Option(help="Draws of the labels at each fraction.")] = 3,
    random_inits: Annotated[int, typer.Option(help="Untrained twins to compare with, at least 1.")] = 2,
    features: Annotated[str, typer.Option(help="auto, cls, mean or cls+mean.")] = "auto",
    solver: Annotated[str, typer.Option(help="Linear probe: lbfgs (L2, chosen inside) or sgd (100 epochs).")] = "lbfgs",
    image_size: Annotated[int | None, typer.Option(help="Side of the input; by default the weights' own.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    bootstrap: Annotated[int, typer.Option(help="Resamples of the patients.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of label draws, folds, twins and resamples.")] = 0,
) -> None:
    """Score the frozen backbone beside random init, raw pixels and chance."""
    from vesalius import pipeline
    from vesalius.evaluation.score_table import score_table

    if task == "attention":
        parts = [part for part in label.split(",") if part]
        shaping: dict[str, Any] = {"image_size": image_size, "upsampling": upsampling, "precision": precision}
        for one in pipeline.evaluate_attention(
            run, data=data, parts=parts, maps=maps, device=device, bootstrap=bootstrap, seed=seed, **shaping
        ):
            _console().print(score_table(one))
            typer.echo(one.verdict)
        return
    if not label:
        raise typer.BadParameter(f"--task {task} needs the --label to predict")
    result = pipeline.evaluate(
        run,
        data=data,
        task=task,
        label=label,
        test_data=test_data,
        protocol=protocol,
        folds=folds,
        k=k,
        fractions=_shares(fractions),
        seeds=seeds,
        random_inits=random_inits,
        features=features,
        solver=solver,
        image_size=image_size,
        batch_size=batch_size,
        device=device,
        precision=precision,
        bootstrap=bootstrap,
        seed=seed,
    )
    _console().print(score_table(result))
    typer.echo(result.verdict)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    data: Annotated[list[Path] | None, typer.Option(help="Stores the pictures come from, if they moved.")] = None,
) -> None:
    """Write one self-contained page about one or several runs."""
    from vesalius import pipeline

    typer.echo(f"report: {pipeline.report(list(runs), out, data=list(data or []))}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    images: Annotated[int, typer.Option(help="Phantom radiographs to render.")] = 2000,
    minutes: Annotated[float, typer.Option(help="Training budget.")] = 4.2,
    seed: Annotated[int, typer.Option(help="Of phantom and training.")] = 0,
) -> None:
    """Run the whole main job on the built-in phantom: prepare, pretrain, evaluate, report."""
    from vesalius.demo import run_demo

    for line in run_demo(out, images=images, budget_minutes=minutes, seed=seed, console=_console()):
        typer.echo(line)


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from vesalius.training.recipe import available_recipes, load_recipe

    for name in available_recipes():
        typer.echo(f"{name:20} {load_recipe(name).about}")


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr)


def _plain(error: Exception) -> str:
    """Escape what rich would read as markup."""
    from rich.markup import escape

    return escape(str(error))


def _window(text: str) -> str | tuple[float, float]:
    low, comma, high = text.partition(",")
    if not comma:
        return text
    try:
        return float(low), float(high)
    except ValueError:
        raise typer.BadParameter(f"--window {text}: expected two numbers LOW,HIGH") from None


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in text.split(",") if one.strip())
    except ValueError:
        raise typer.BadParameter(f"--fractions {text}: expected numbers above 0 and up to 1, by commas") from None


def _parts(text: str) -> dict[str, int]:
    try:
        return {name.strip(): int(value) for name, _, value in (one.partition("=") for one in text.split(",") if one)}
    except ValueError:
        raise typer.BadParameter(f"--parts {text}: expected NAME=VALUE by commas, for example heart=3") from None


def _options(assignments: list[str]) -> dict[str, Any]:
    from vesalius.config import apply_overrides

    return apply_overrides({}, assignments)


if __name__ == "__main__":
    main()
