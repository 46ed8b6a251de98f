"""What guidance adds to a training step: the same DINO step with and without it, alternating in one process.

Each step reads its batch (and, guided, its knowledge maps), draws and makes the views, runs method, guidance, backward
and optimizer, as a training does (`TrainingStep`). Phantom radiographs, ViT-Ti/16 and ViT-S/16, bf16 where the CPU
multiplies it. Peak memory is measured in a process of its own for each side. `--only 'tiny.*cls'` runs the cases that
it meets (`backbone px batch vector`) and leaves the others in the results file as they are.

    OMP_NUM_THREADS=2 taskset -c 0,1 python benchmarks/guided_step.py
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from recipe_side import RecipeSide, peak_mib, take_in_turn
from result_files import kept_rows, machine, write_results

GUIDANCE = {
    "unguided": None,
    "attention": "{attention: {heads: {left_lung: 0, right_lung: 1, heart: 2}}}",
    "coordinates": "{coordinates: {}}",
    "both": "{attention: {heads: {left_lung: 0, right_lung: 1, heart: 2}}, coordinates: {}}",
    "all three": "{attention: {heads: {left_lung: 0, right_lung: 1, heart: 2}}, coordinates: {}, contrast: {}}",
    "both, last tokens": "{attention: {heads: {left_lung: 0, right_lung: 1, heart: 2}}, coordinates: {tokens: last}}",
}
CASES = (
    ("vit_tiny_patch16_224", 112, 64, "cls"),
    ("vit_tiny_patch16_224", 112, 64, "average"),
    ("vit_small_patch16_224", 224, 16, "cls"),
)
"""Backbone, side of the views, batch, and the vector that DINO trains: [CLS] alone, or its average with the mean patch,
as in the shipped recipes for small sets."""


def make_store(folder: Path, images: int) -> Path:
    from vesalius import pipeline
    from vesalius.data.phantom import write_phantom

    write_phantom(folder / "scans", images=images, seed=0)
    pipeline.prepare(folder / "scans", folder / "store", progress=False)
    image = sorted((folder / "scans" / "images").iterdir())[0]
    parts = {"left_lung": 1, "right_lung": 2, "heart": 3}
    mask = folder / "scans" / "masks" / image.name
    pipeline.guide(folder / "store", exemplars=[image], masks=[mask], parts=parts, progress=False)
    return folder / "store"


def overrides_of(guidance: str | None, case: tuple[str, int, int, str]) -> list[str]:
    name, size, batch, vector = case
    options = [f"views.options={{locals: 0, size: {size}, area: [0.4, 1.0]}}", f"training.batch_size={batch}"]
    options += [
        f"backbone={{name: {name}, image_size: {size}, drop_path: 0, pool: {vector}}}",
        "method.prototypes=2048",
    ]
    return [*options, *([] if guidance is None else [f"guidance={guidance}"])]


def measure(store: Path, case: tuple[str, int, int, str], rounds: int) -> list[dict[str, Any]]:
    from vesalius.training.allocator import memory_kept

    given = {name: overrides_of(guidance, case) for name, guidance in GUIDANCE.items()}
    peaks = {name: peak_mib("dino", overrides, store) for name, overrides in given.items()}
    with memory_kept():
        sides = {name: RecipeSide("dino", overrides, store) for name, overrides in given.items()}
        seconds = take_in_turn(sides, rounds)
    base = seconds["unguided"]
    rows = []
    for name, values in seconds.items():
        ratio = statistics.median(one / other for one, other in zip(values, base, strict=True))
        rows.append(
            {
                "backbone": case[0],
                "size": case[1],
                "batch": case[2],
                "pool": case[3],
                "date": datetime.date.today().isoformat(),
                "rounds": rounds,
                "guidance": name,
                "seconds": round(statistics.median(values), 4),
                "ratio": round(ratio, 3),
                "peak_mib": round(peaks[name]),
                "peak_ratio": round(peaks[name] / peaks["unguided"], 3),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), options.images)
        chosen = [case for case in CASES if re.search(options.only, " ".join(str(one) for one in case))]
        for case in chosen:
            write(
                measure(store, case, options.rounds)
                + kept_rows("guided_step", ("backbone", "size", "batch", "pool"), [case])
            )


def write(rows: list[dict[str, Any]]) -> None:
    columns = {
        "backbone": "{backbone}",
        "px": "{size}",
        "batch": "{batch}",
        "trained vector": "{pool}",
        "guidance": "{guidance}",
        "rounds": "{rounds}",
        "s a step": "{seconds}",
        "ratio (asked <= 1.05)": "{ratio}",
        "peak MiB": "{peak_mib:,}",
        "ratio": "{peak_ratio}",
    }
    write_results("guided_step", "What guidance adds to a training step", machine("timm"), rows, columns)


if __name__ == "__main__":
    main()
