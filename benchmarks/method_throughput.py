"""Images a second of every method that this package and lightly both have, side by side: from images to new weights.

Ours is a step as a training takes it (`TrainingStep`: the shipped recipe's views, method and schedules), the peer the
plain PyTorch loop of lightly's documentation (docs.lightly.ai/examples): its transform, DataLoader, heads and loss of
the same name. On both sides the same RGB images in memory, the same architecture (backbones of equal parameter counts,
checked), the same views by number and size, the same widths of the heads, the same batch, optimizer and temperatures.
All sides of a method run in one go, each in a process of its own; their rounds alternate. Images a second are medians
of the rounds; a ratio is the median of the rounds' own ratios, since what else the machine does in a round falls on
both sides, with its 95 % interval over rounds drawn anew.

`defaults`: ours in the precision that `auto` chooses (bf16 where the CPU multiplies it) against lightly in fp32, as its
examples run. `fp32`: both. `bf16`: lightly under autocast as well. lightly's loader has no worker or one, whichever
gives it more images a second in fp32, found out before each method's rounds (`--workers` fixes it).

    OMP_NUM_THREADS=2 PYTHONPATH=<where lightly is> taskset -c 0,1 python benchmarks/method_throughput.py

`--methods byol,simsiam` runs some of them and leaves the others in the results files as they are.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from method_peers import HEADS, MethodCase
from method_sides import IMAGES_FILE, run_lightly, run_ours
from result_files import RESULTS, Row, kept_rows, write_results
from step_throughput import MISSING, about_run, measure

IMAGES, IMAGE_SIZE = 256, 256
TARGETS = {"defaults": 1.5, "fp32": 1.0, "bf16": 1.0}
SIDES = {
    "ours, auto": partial(run_ours, precision="auto"),
    "lightly, fp32": partial(run_lightly, precision="fp32"),
    "ours, fp32": partial(run_ours, precision="fp32"),
    "lightly, bf16": partial(run_lightly, precision="bf16"),
}
PAIRS = {
    "defaults": ("ours, auto", "lightly, fp32"),
    "fp32": ("ours, fp32", "lightly, fp32"),
    "bf16": ("ours, auto", "lightly, bf16"),
}
CASES = (
    MethodCase(method="byol"),
    MethodCase(method="simsiam"),
    MethodCase(method="simclr"),
    MethodCase(method="moco"),
    MethodCase(method="swav", locals_=6, optimizer="adam", lr=0.001, batch=16, steps=3),
    MethodCase(method="dino", backbone="vit_tiny_patch16_224", locals_=6, optimizer="adam", lr=0.001, steps=2),
)


def write_images(folder: Path) -> None:
    """Write phantom radiographs, each tinted, so that the colour operations have something to work on."""
    from vesalius.data.phantom import Phantom

    phantom, rng = Phantom(seed=0, size=IMAGE_SIZE), np.random.default_rng(0)
    images = np.empty((IMAGES, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for place in range(IMAGES):
        pixels = phantom.render(place).pixels.astype(np.float32)
        images[place] = pixels[..., None] * (rng.uniform(0.5, 1, size=3) * 255 / max(1, pixels.max()))
    np.save(folder / IMAGES_FILE, images)


def choose_workers(case: MethodCase, folder: Path, *, threads: int, workers: int | None) -> tuple[MethodCase, Any]:
    """Return the case with the workers that suit lightly best, and its images a second with each number of them."""
    if workers is not None:
        return replace(case, workers=workers), {}
    sides = {str(number): partial(_lightly_with, workers=number) for number in (0, 1)}
    found = measure(case, folder, threads=threads, rounds=2, warm=1, sides=sides)
    rates = {number: side["wall"] for number, side in found.items()}
    return replace(case, workers=int(max(rates, key=lambda number: rates[number]))), rates


def _lightly_with(pipe: Any, case: MethodCase, folder: Path, threads: int, *, workers: int) -> None:
    run_lightly(pipe, replace(case, workers=workers), folder, threads)


def compare(case: MethodCase, folder: Path, *, workers: int | None, **options: int) -> dict[str, Any]:
    """Measure all sides of one method."""
    case, rates = choose_workers(case, folder, threads=options["threads"], workers=workers)
    bf16 = bf16_is_chosen()
    sides = {name: run for name, run in SIDES.items() if bf16 or name != "lightly, bf16"}
    found = measure(case, folder, sides=sides, **options)
    counts = _parameters(case, found)
    pairs = {mode: pair for mode, pair in PAIRS.items() if pair[1] in found}
    rounds = {name: side["rounds_images_per_second"] for name, side in found.items()}
    wall = {mode: round(paired_ratio(rounds[ours], rounds[peer])[0], 3) for mode, (ours, peer) in pairs.items()}
    cpu = {mode: round(found[ours]["cpu"] / found[peer]["cpu"], 3) for mode, (ours, peer) in pairs.items()}
    print(
        f"{case.method}: "
        + ", ".join(f"{mode} {ratio:.2f}x" for mode, ratio in wall.items())
        + " (CPU seconds "
        + ", ".join(f"{ratio:.2f}x" for ratio in cpu.values())
        + "); images/s (data, loss) "
        + ", ".join(f"{n}: {s['wall']:.1f} ({s['data_share']:.0%}, {s['loss']:.2f})" for n, s in found.items())
        + f"; {case.workers} workers; parameters {counts}",
        flush=True,
    )
    about = {"views": case.views, "heads": HEADS[case.method], "workers_images_per_second": rates}
    return asdict(case) | about | {"ratios": wall, "ratios_cpu": cpu, "sides": found}


def _parameters(case: MethodCase, found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return each side's parameters of backbone and heads; stop where backbones differ or a loss is no number."""
    counts = {n: (int(s["backbone_parameters"]), int(s["head_parameters"])) for n, s in found.items()}
    if len({backbone for backbone, _ in counts.values()}) > 1:
        raise SystemExit(f"{case.method}: the backbones differ in their parameters: {counts}")
    lost = [name for name, side in found.items() if not math.isfinite(side["loss"])]
    if lost:
        raise SystemExit(f"{case.method}: the loss is no finite number: {', '.join(lost)}")
    return counts


def paired_ratio(ours: Sequence[float], peer: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the rounds' ratios and its 95 % interval, rounds drawn anew."""
    each = np.array(ours) / np.array(peer)
    drawn = np.random.default_rng(0).integers(len(each), size=(10_000, len(each)))
    low, high = np.percentile(np.median(each[drawn], axis=1), [2.5, 97.5])
    return float(np.median(each)), float(low), float(high)


def bf16_is_chosen() -> bool:
    """Say whether our `auto` is bf16 on this CPU."""
    from vesalius.training.precision import choose_precision

    return choose_precision("auto", accelerator="cpu")[0].startswith("bf16")


def write(about: dict[str, Any], rows: list[dict[str, Any]], folder: Path) -> None:
    """Write what is there so far, in the order of the cases."""
    order = [case.method for case in CASES]
    paragraphs = [part.replace("\n", " ") for part in (__doc__ or "").split("\n\n")]
    asked = ", ".join(f"{mode} >= {target}x" for mode, target in TARGETS.items())
    legend = (
        f"Asked: {asked}. In brackets: behind images a second, the share of the step that waits for data or makes "
        "views; behind a ratio, its interval, and the medians' ratio by CPU seconds, workers included."
    )
    columns: dict[str, str | Callable[[Row], str]] = {
        "method": "{method}",
        "backbone": _backbone,
        "views, px": "{views}",
        "batch": "{batch}",
        "heads": "{heads}",
        "optimizer": "{optimizer}",
        **{f"{name}, images/s": partial(_rate, side=name) for name in SIDES},
        **{mode: partial(_ratio, mode=mode) for mode in PAIRS},
        "lightly's workers": "{workers}",
        "head parameters, ours / lightly": _heads,
        "date, rounds": "{date}, {rounds}",
    }
    write_results(
        "method_throughput",
        "Every method against lightly's of the same name",
        about,
        sorted(rows, key=lambda row: order.index(row["method"])),
        columns,
        before=[*paragraphs[1:3], legend],
        folder=folder,
    )


def _backbone(row: Row) -> str:
    parameters = next(iter(row["sides"].values()))["backbone_parameters"]
    return f"{row['backbone'].removesuffix('_224')} ({parameters / 1e6:.2f} M)"


def _rate(row: Row, *, side: str) -> str:
    found = row["sides"].get(side)
    return "-" if found is None else f"{found['wall']:.1f} ({found['data_share']:.0%})"


def _ratio(row: Row, *, mode: str) -> str:
    if mode not in row["ratios_cpu"]:
        return "-"
    ratio, low, high = paired_ratio(*(row["sides"][side]["rounds_images_per_second"] for side in PAIRS[mode]))
    return f"{ratio:.2f}x [{low:.2f}, {high:.2f}] ({row['ratios_cpu'][mode]:.2f}x)"


def _heads(row: Row) -> str:
    return " / ".join(f"{row['sides'][name]['head_parameters']:,.0f}" for name in PAIRS["defaults"])


def parse() -> argparse.Namespace:
    known = [case.method for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(known), help="some of them, with commas between")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds of each side")
    parser.add_argument("--steps", type=int, help="steps a round, instead of each case's own")
    parser.add_argument("--batch", type=int, help="images a step, instead of each case's own")
    parser.add_argument("--warm", type=int, default=2, help="steps before the first round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, choices=(0, 1), help="of lightly's loader; found out by default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.methods = [name.strip() for name in args.methods.split(",")]
    if unknown := set(args.methods) - set(known):
        parser.error(f"no method {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return args


def main() -> None:
    args = parse()
    if importlib.util.find_spec("lightly") is None:
        raise SystemExit(MISSING)
    about, started, measured = about_run(args.threads), time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name))
        for shipped in (case for case in CASES if case.method in args.methods):
            case = replace(shipped, steps=args.steps or shipped.steps, batch=args.batch or shipped.batch)
            options = {"threads": args.threads, "rounds": args.rounds, "warm": args.warm}
            row = compare(case, Path(name), workers=args.workers, **options)
            measured[case.method,] = row | {"date": about["date"], "rounds": args.rounds}
            about["seconds"] = round(time.perf_counter() - started)
            others = kept_rows("method_throughput", ("method",), list(measured), args.out)  # each has its own date
            write(about, [*measured.values(), *others], args.out)


if __name__ == "__main__":
    main()
