"""The batched registration against elastix (itk-elastix), one thread each: seconds, overlap, lost images, folds.

One labelled JSRT radiograph (256 px, SCR masks of lungs and heart) is registered to the others and its masks are
carried along. Every side registers the same images on the same core; elastix one image at a time, as it works, with
its default affine and B-spline maps and with two tuned ones. Ours takes 64 images at a time, and one at a time. The
slow default runs on every --every-th image; each ratio is taken on the images both sides registered.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/registration.py path/to/jsrt
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from result_files import machine, write_results

EXEMPLAR = "JPCNN001"
MILLION, NIGHT_HOURS = 1_000_000, 10


def read(folder: Path) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Return names, images and masks (left lung, right lung, heart)."""
    files = sorted((folder / "images").glob("*.png"))
    images = torch.stack([torch.from_numpy(np.array(Image.open(file).convert("L"))) for file in files])
    labels = torch.stack([torch.from_numpy(np.array(Image.open(folder / "labels" / file.name))) for file in files])
    masks = torch.stack([labels == part for part in (1, 2, 3)], 1).float()
    return [file.stem for file in files], images[:, None].float() / 255, masks


def sides() -> dict[str, tuple[Any, int, bool]]:
    """Return of every side its registration, the images it takes at a time, and whether it is slow."""
    from vesalius.registration.batched import BatchedRegistration
    from vesalius.registration.elastix import ElastixOptions, ElastixRegistration

    return {
        "batched, 64 at a time": (BatchedRegistration(), 64, False),
        "batched, one at a time": (BatchedRegistration(), 1, False),
        "elastix, default": (ElastixRegistration(ElastixOptions(maps="default", equalised=False)), 1, True),
        "elastix, tuned": (ElastixRegistration(), 1, False),
        "elastix, tuned for speed": (ElastixRegistration(ElastixOptions(iterations=128, samples=1024)), 1, False),
    }


def measure(side: tuple[Any, int, bool], data: tuple[list[str], torch.Tensor, torch.Tensor], every: int) -> Any:
    """Register, and return seconds an image, Dice `[images, parts]` and folded shares by row."""
    from vesalius.guidance.carried_parts import focus_on
    from vesalius.registration.deformation import area_factor, warp

    registration, chunk, slow = side
    names, images, masks = data
    exemplar = names.index(EXEMPLAR)
    rows = [row for row in range(len(names)) if row != exemplar][:: every if slow else 1]
    focus = focus_on(masks[[exemplar]])
    registration.register(images[rows[:1]], images[[exemplar]], focus)  # imports and first calls are not counted
    start, places = time.perf_counter(), []
    for first in range(0, len(rows), chunk):
        found = registration.register(images[rows[first : first + chunk]], images[[exemplar]], focus)
        places.append(found.coordinates)
    seconds = (time.perf_counter() - start) / len(rows)
    coordinates = torch.cat(places)
    moved, truth = warp(masks[[exemplar]], coordinates) > 0.5, masks[rows] > 0.5
    dice = 2 * (moved & truth).sum((2, 3)) / (moved.sum((2, 3)) + truth.sum((2, 3)))
    folded = (area_factor(coordinates) <= 0).float().mean((1, 2))
    return seconds, dict(zip(rows, dice, strict=True)), dict(zip(rows, folded.tolist(), strict=True))


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Lay out the figures; ratios to the first side on common images (the rate of a side is the same on any)."""
    first, table = next(iter(found.values())), []
    for name, (seconds, dice, folded) in found.items():
        every = torch.stack(list(dice.values()))
        ours = torch.stack([first[1][row] for row in dice])
        table.append(
            {
                "side": name,
                "images": len(dice),
                "seconds": round(seconds, 4),
                "times_batched": round(seconds / first[0], 1),
                "lungs": round(float(every[:, :2].mean()), 4),
                "heart": round(float(every[:, 2].mean()), 4),
                "worst": round(float(every.mean(1).min()), 3),
                "under_75": int((every.mean(1) < 0.75).sum()),
                "folding_percent": round(100 * float(np.mean(list(folded.values()))), 3),
                "batched_on_these": [round(float(ours[:, :2].mean()), 4), round(float(ours[:, 2].mean()), 4)],
            }
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jsrt", type=Path)
    parser.add_argument("--every", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, found = read(options.jsrt), {}
    for name, side in sides().items():
        found[name] = measure(side, data, options.every)
        print(rows_of(found)[-1], flush=True)
    table = rows_of(found)
    hours = MILLION * table[0]["seconds"] / 3600
    columns = {
        "side": "{side}",
        "images": "{images}",
        "s an image": "{seconds}",
        "x batched": "{times_batched}",
        "lungs": "{lungs}",
        "heart": "{heart}",
        "worst": "{worst}",
        "< .75": "{under_75}",
        "folding %": "{folding_percent}",
        "batched there": "{batched_on_these[0]} / {batched_on_these[1]}",
    }
    arithmetic = (
        f"A million images at {table[0]['seconds']} s an image and thread are {hours:.1f} core hours: "
        f"{60 * hours / 16:.0f} minutes on 16 cores of a node, and a night of {NIGHT_HOURS} hours needs "
        f"{hours / NIGHT_HOURS:.1f} cores."
    )
    title = "Registration of JSRT radiographs, one thread"
    write_results("registration", title, machine("itk-elastix"), table, columns, after=[arithmetic])


if __name__ == "__main__":
    main()
