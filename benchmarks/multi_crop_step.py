"""Fixed-size views against multi-crop: time and peak memory of a DINO step. DINO-CXR (arXiv 2308.00475) gives none.

Two global views alone, or with eight local ones of 96 px beside them; nothing else differs. Phantom radiographs, views
of 224 px, three backbones over batch sizes, bf16 where the CPU multiplies it. The two sides alternate in one process,
and the ratio of seconds is the median over rounds; peak memory is of a process of its own. `--only 'resnet50 8'` runs
the cases that it meets (`backbone batch`) and leaves the others in the results file as they are.

    OMP_NUM_THREADS=2 taskset -c 0,1 python benchmarks/multi_crop_step.py
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from recipe_side import RecipeSide, peak_mib
from result_files import RESULTS, kept_rows, machine, write_results

SIDES = {"fixed-size, 2 views": 0, "multi-crop, 2 + 8": 8}
BACKBONES = ("vit_small_patch16_224", "vitae_v2_small", "resnet50")
BATCHES = (4, 8, 16, 32)


def make_store(folder: Path, images: int) -> Path:
    from vesalius import pipeline
    from vesalius.data.phantom import write_phantom

    write_phantom(folder / "scans", images=images, seed=0)
    pipeline.prepare(folder / "scans", folder / "store", progress=False)
    return folder / "store"


def overrides_of(locals_: int, backbone: str, batch: int) -> list[str]:
    return [
        f"views={{plan: dino, options: {{size: 224, locals: {locals_}}}}}",
        f"backbone={{name: {backbone}, image_size: 224, drop_path: 0.1}}",
        "method.prototypes=4096",
        f"training.batch_size={batch}",
    ]


def measure(store: Path, backbone: str, batch: int, rounds: int) -> list[dict[str, Any]]:
    from vesalius.training.allocator import memory_kept

    given = {name: overrides_of(locals_, backbone, batch) for name, locals_ in SIDES.items()}
    peaks = {name: peak_mib("dino-cxr", overrides, store, steps=2) for name, overrides in given.items()}
    with memory_kept():
        sides = {name: RecipeSide("dino-cxr", overrides, store) for name, overrides in given.items()}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, side in sides.items():
                taken = side.take()
                if number >= 1:
                    seconds[name].append(taken)
    rows: list[dict[str, Any]] = [
        {
            "backbone": backbone,
            "batch": batch,
            "views": name,
            "rounds": rounds,
            "seconds": round(statistics.median(values), 3),
            "peak_mib": round(peaks[name]),
        }
        for name, values in seconds.items()
    ]
    fixed, cropped = rows
    # Of the two steps of a round, which stand side by side: a minute in which the machine is slow falls on both.
    ratios = [second / first for first, second in zip(*seconds.values(), strict=True)]
    cropped["seconds_ratio"] = round(statistics.median(ratios), 2)
    cropped["peak_mib_ratio"] = round(cropped["peak_mib"] / fixed["peak_mib"], 2)
    print(rows, flush=True)
    return rows


def write(rows: list[dict[str, Any]]) -> None:
    order = {name: place for place, name in enumerate(BACKBONES)}
    rows = sorted(rows, key=lambda row: (order[row["backbone"]], row["batch"], list(SIDES).index(row["views"])))
    columns = {
        "backbone": "{backbone}",
        "batch": "{batch}",
        "views": "{views}",
        "rounds": "{rounds}",
        "s a step": "{seconds}",
        "x fixed-size": "{seconds_ratio}",
        "peak MiB": "{peak_mib:,}",
        "x fixed-size, memory": "{peak_mib_ratio}",
    }
    title = "Fixed-size views against multi-crop: a DINO step at 224 px"
    write_results("multi_crop_step", title, machine("timm"), rows, columns)
    draw(rows)


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw seconds and memory over the batch, a column a backbone."""
    there = [name for name in BACKBONES if any(row["backbone"] == name for row in rows)]
    figure, axes = plt.subplots(
        2, len(there), figsize=(3.4 * len(there), 5.4), sharex=True, squeeze=False, layout="constrained"
    )
    for column, backbone in enumerate(there):
        for line, (key, unit, scale) in enumerate((("seconds", "s a step", 1.0), ("peak_mib", "peak GiB", 1 / 1024))):
            axis = axes[line][column]
            for views, style in zip(SIDES, (("#0072B2", "o"), ("#D55E00", "s")), strict=True):
                own = [row for row in rows if (row["backbone"], row["views"]) == (backbone, views)]
                values = [row[key] * scale for row in own]
                axis.plot([row["batch"] for row in own], values, color=style[0], marker=style[1], label=views)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
            axis.set_xticks(sorted({row["batch"] for row in rows}))
            axis.spines[["top", "right"]].set_visible(False)
            if column == 0:
                axis.set_ylabel(unit)
            if line == 0:
                axis.set_title(backbone, fontsize=10)
            else:
                axis.set_xlabel("images a step")
    axes[0][0].legend(frameon=False, fontsize=9)
    figure.savefig(RESULTS / "multi_crop_step.png", dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), 128)
        for backbone in BACKBONES:
            for batch in BATCHES:
                if re.search(options.only, f"{backbone} {batch}"):
                    write(
                        measure(store, backbone, batch, options.rounds)
                        + kept_rows("multi_crop_step", ("backbone", "batch"), [(backbone, batch)])
                    )


if __name__ == "__main__":
    main()
