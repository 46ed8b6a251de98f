"""Whole training steps a second against lightly's documented DINO loop, on the same images, backbone and head widths.

Ours is `Pretraining`: memory-mapped store, batched views, `Dino`, the Lightning trainer with its callbacks (without
online probes). The peer is the plain PyTorch loop of lightly's documentation (docs.lightly.ai/examples/dino.html):
LightlyDataset over PNG files, DINOTransform, a DataLoader with 8 workers, Adam, fp32, one forward a view. Both make two
views an image with the same operations and strengths; K = 2,048 is the documentation's. Rounds of the two alternate,
each side in its own process; medians of the rounds. A round of the peer starts when its workers have filled their
queue, and every step of it makes the workers work for one step, so a round is neither before nor behind with data.

    OMP_NUM_THREADS=2 PYTHONPATH=<where lightly is> taskset -c 0,1 python benchmarks/step_throughput.py

`defaults`: each side's own (ours: bf16 where the CPU multiplies it, explicit attention, gray input; the peer: fp32,
fused attention, RGB). `same`: fp32, fused attention and three channels on both sides.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import multiprocessing
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from result_files import RESULTS, machine, write_results
from step_sides import SIDES, Case

IMAGES, PNG_SIZE = 512, 256
TARGETS = {"defaults": 2.2, "same": 1.0}
MISSING = (
    "lightly is not installed; this benchmark compares with it and nothing else needs it. Put it beside the"
    " environment, not into it (see benchmarks/README.md), and name the folder by PYTHONPATH"
)
CASES = (
    Case(backbone="vit_tiny_patch16_224", size=112, batch=64, steps=3),
    Case(backbone="vit_tiny_patch16_224", size=224, batch=32, steps=2),
    Case(backbone="vit_small_patch16_224", size=112, batch=32, steps=2),
    Case(backbone="vit_small_patch16_224", size=224, batch=16, steps=1),
)


def measure(
    case: Any, folder: Path, *, threads: int, rounds: int, warm: int, sides: Mapping[str, Callable[..., None]] = SIDES
) -> dict[str, Any]:
    """Alternate the sides, which all stay alive; medians of the rounds."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    processes = []
    for side, run in sides.items():
        pipes[side], theirs = context.Pipe()
        processes.append(context.Process(target=run, args=(theirs, case, folder, threads)))
        processes[-1].start()
        theirs.close()
    try:
        for number in range(rounds + 1):
            for side, pipe in pipes.items():
                pipe.send(case.steps if number else warm)
                answer = pipe.recv()
                if number:
                    found[side].append(answer)
        for pipe in pipes.values():
            pipe.send(0)
    except (EOFError, ConnectionError):
        raise SystemExit(f"{case}: a side stopped; its error is above") from None
    finally:
        for process in processes:
            process.join(timeout=20)
            if process.is_alive():
                process.terminate()
    return {side: _summary(answers) for side, answers in found.items()}


def _summary(answers: list[dict[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}
    summary["peak_mib"] = max(answer["peak_mib"] for answer in answers)
    return summary | {"rounds_images_per_second": [round(answer["wall"], 2) for answer in answers]}


def compare(cases: Iterator[Case], folder: Path, **options: Any) -> list[dict[str, Any]]:
    results = []
    for case in cases:
        sides = measure(case, folder, **options)
        ours, peer = sides["ours"], sides["lightly"]
        row: dict[str, Any] = {
            **asdict(case),
            **sides,
            "ratio": ours["wall"] / peer["wall"],
            "ratio_cpu": ours["cpu"] / peer["cpu"],
            "target": TARGETS[case.mode],
            "memory_ratio": ours["peak_mib"] / peer["peak_mib"],
        }
        results.append(row)
        print(
            f"{case.mode:8s} {case.backbone} {case.size}: {ours['wall']:.1f} against {peer['wall']:.1f} images/s, "
            f"{row['ratio']:.2f}x (CPU seconds {row['ratio_cpu']:.2f}x), data and views {ours['data_share']:.1%}, "
            f"memory {ours['peak_mib']:,.0f} against {peer['peak_mib']:,.0f} MiB, "
            f"loss {ours['loss']:.2f} and {peer['loss']:.2f}",
            flush=True,
        )
    return results


def matmul_gflops(threads: int) -> dict[str, int]:
    """What the machine multiplies at best in each precision: it bounds what bf16 can gain over fp32."""
    import torch

    torch.set_num_threads(threads)
    found = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        matrix = torch.randn(2048, 2048).to(dtype)
        seconds = []
        for _ in range(8):
            start = time.perf_counter()
            matrix @ matrix
            seconds.append(time.perf_counter() - start)
        found[f"matmul_{name}_gflops"] = round(2 * 2048**3 / min(seconds) / 1e9)
    return found


def about_run(threads: int) -> dict[str, Any]:
    return machine("timm", "lightning", "lightly", "vesalius", **matmul_gflops(threads))


def write(about: dict[str, Any], rows: list[dict[str, Any]], folder: Path) -> None:
    paragraphs = [part.replace("\n", " ").strip() for part in (__doc__ or "").split("\n\n")]
    columns: dict[str, str | Callable[[Mapping[str, Any]], str]] = {
        "settings": "{mode}",
        "backbone": lambda row: row["backbone"].removesuffix("_224"),
        "view, px": "{size}",
        "batch": "{batch}",
        "ours, images/s": "{ours[wall]:.1f}",
        "lightly, images/s": "{lightly[wall]:.1f}",
        "ratio (asked)": "{ratio:.2f}x ({target}x)",
        "ratio of CPU time": "{ratio_cpu:.2f}x",
        "data and views of our step (asked < 5 %)": "{ours[data_share]:.1%}",
        "peak memory, ours / lightly's main process (+ its workers), MiB": (
            "{ours[peak_mib]:,.0f} / {lightly[peak_mib]:,.0f} (+ {lightly[workers_mib]:,.0f})"
        ),
        "of it the steps' own, without what was there before the first, MiB": lambda row: " / ".join(
            f"{row[side]['peak_mib'] - row[side]['before_mib']:,.0f}" for side in ("ours", "lightly")
        ),
    }
    title = "Training steps against lightly's documented DINO loop"
    before = (paragraphs[1], paragraphs[3])
    write_results("step_throughput", title, about, rows, columns, before=before, folder=folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each side")
    parser.add_argument("--steps", type=int, help="steps a round, instead of each case's own")
    parser.add_argument("--warm", type=int, default=2, help="steps before the first round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="cases whose 'mode backbone size' matches this pattern")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if importlib.util.find_spec("lightly") is None:
        raise SystemExit(MISSING)
    from vesalius.data.phantom import write_phantom
    from vesalius.data.prepare import prepare

    modes = [replace(case, mode=mode, steps=args.steps or case.steps) for mode in TARGETS for case in CASES]
    cases = [case for case in modes if re.search(args.only, f"{case.mode} {case.backbone} {case.size}")]
    about, started = about_run(args.threads), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        write_phantom(Path(name) / "png", images=IMAGES, seed=0, size=PNG_SIZE)
        prepare(Path(name) / "png", Path(name) / "store", size=PNG_SIZE, progress=False)
        results = compare(iter(cases), Path(name), threads=args.threads, rounds=args.rounds, warm=args.warm)
    about |= {"seconds": round(time.perf_counter() - started), "rounds": args.rounds, "warm_steps": args.warm}
    write(about, results, args.out)


if __name__ == "__main__":
    main()
