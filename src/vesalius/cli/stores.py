"""`vesalius prepare`, `vesalius doctor` and `vesalius export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli.app import app, console
from vesalius.cli.arguments import read_options, read_window

__all__ = ["doctor", "export", "prepare"]


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of scans (DICOM, NIfTI, PNG, JPEG, TIFF, HDF5, NPZ).")],
    out: Annotated[Path, typer.Option(help="Store to write.")],
    dataset: Annotated[str, typer.Option(help="Layout: auto, folder, kermany, nih, chexpert, jsrt, ...")] = "auto",
    size: Annotated[int, typer.Option(help="Side of the stored square images, pixels.")] = 256,
    bits: Annotated[int, typer.Option(help="8 or 16 bits a pixel.")] = 8,
    fit: Annotated[
        str, typer.Option(help="How images become square: pad, squash, crop, or crop:0.7 (that share of the centre).")
    ] = "pad",
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
        window=read_window(window),
        frames=frames,
        axis=axis,
        volume=volume,
        key=key,
        split=split,
        labels_csv=labels_csv,
        salt_file=salt_file,
        adapter_options=read_options(adapter_option or []),
        workers=workers,
        engine=engine,
        seed=seed,
        resume=resume,
    )
    console().print(summary_table(summary))


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

    console().print(report_tables(pipeline.doctor(source, dataset=dataset, axis=axis, volume=volume, key=key)))


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="Store with masks.")],
    out: Annotated[Path, typer.Option(help="Where the folders go.")],
    to: Annotated[str, typer.Option(help="nnunet: its raw data set, and folds by patient.")] = "nnunet",
    name: Annotated[str, typer.Option(help="Of the data set; by default the store's folder.")] = "",
    number: Annotated[int, typer.Option(help="Of the data set, 1 to 999.")] = 1,
    form: Annotated[
        str,
        typer.Option(help="volumes (NIfTI, with spacing), images (PNG), or auto: volumes where the store tells them."),
    ] = "auto",
    folds: Annotated[int, typer.Option(help="Of the training side, by patient.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the folds.")] = 0,
) -> None:
    """Hand a store with masks on to nnU-Net: NIfTI volumes where their spacing is known, else PNG images."""
    from vesalius import pipeline

    done = pipeline.export(store, out, to=to, name=name, number=number, form=form, folds=folds, seed=seed)
    typer.echo(
        f"{done.raw}: {done.training} {done.form} to train on, {done.testing} to test on"
        + (f"; {done.without_masks} without masks left out" if done.without_masks else "")
    )
    if done.form == "volumes":
        typer.echo("a NIfTI file a volume, with the spacing of the store's pixels")
    else:
        typer.echo("a PNG file an image, without spacing" + (f": {done.why}" if done.why else ""))
    typer.echo(f"export nnUNet_raw={done.raw.parent} nnUNet_preprocessed={done.preprocessed.parent} nnUNet_results=...")
    plans = "" if done.form == "volumes" else " -c 2d"
    typer.echo(f"nnUNetv2_plan_and_preprocess -d {number}{plans} --verify_dataset_integrity")
