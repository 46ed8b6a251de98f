"""What a step of several shipped recipes takes: in turn, in one process, on the phantom with its knowledge maps.

Each step reads its batch and maps, draws and makes the views, runs method, guidance, backward and optimizer, as a
training does. Peak memory is measured in a process of its own for each recipe. Ratios are to the first recipe.

    OMP_NUM_THREADS=2 taskset -c 0,1 python benchmarks/recipe_step.py [RECIPE ...]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from guided_step import make_store
from recipe_side import RecipeSide, peak_mib, take_in_turn
from result_files import machine, write_results

RECIPES = ("anatomy/dino-small", "anatomy/contrast-small", "anatomy/small", "medino/deformable-small")


def measure(store: Path, recipes: tuple[str, ...], rounds: int) -> list[dict[str, Any]]:
    from vesalius.training.allocator import memory_kept

    peaks = {name: peak_mib(name, [], store) for name in recipes}
    with memory_kept():
        sides = {name: RecipeSide(name, [], store) for name in recipes}
        seconds = take_in_turn(sides, rounds)
    base = recipes[0]
    return [
        {
            "recipe": name,
            "rounds": rounds,
            "seconds": round(statistics.median(values), 3),
            "ratio": round(statistics.median(a / b for a, b in zip(values, seconds[base], strict=True)), 3),
            "peak_mib": round(peaks[name]),
            "peak_ratio": round(peaks[name] / peaks[base], 3),
        }
        for name, values in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--rounds", type=int, default=32)
    parser.add_argument("--images", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(make_store(Path(folder), options.images), tuple(options.recipes), options.rounds)
    columns = {
        "recipe": "{recipe}",
        "rounds": "{rounds}",
        "s a step": "{seconds}",
        "ratio": "{ratio}",
        "peak MiB": "{peak_mib:,}",
        "ratio of peaks": "{peak_ratio}",
    }
    write_results("recipe_step", "What a step of a recipe takes", machine("timm"), rows, columns)


if __name__ == "__main__":
    main()
