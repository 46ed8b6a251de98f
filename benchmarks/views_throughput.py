"""Store reading + two views against PIL decode + torchvision v2 per sample, one core.

Both sides make two views an image with the same operations (random resized crop, flip, brightness and contrast, blur,
solarize, normalise) from the same pictures. Ours reads a memory-mapped uint8 array of 256-px images in batches of 64;
the peer opens one PNG at a time and runs the torchvision v2 chain, on uint8 tensors (as its documentation advises) and
on PIL images, and is credited with the faster of the two. Repeats are interleaved and medians taken. CPU seconds are
compared, since other work may share the machine; wall seconds stand beside them.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/views_throughput.py

With VESALIUS_DATA set, `chest_xray` PNG re-encodes are measured as well as the phantom.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from result_files import machine
from torchvision.transforms import v2

from vesalius.data.phantom import Phantom
from vesalius.views.make_views import make_views
from vesalius.views.plans import PLANS, ViewPlan, ViewSpec, plan_by_name

IMAGES = 64
MEAN, STD = 0.5, 0.25
TARGETS = {(224, 256): 3.0, (112, 256): 8.0, (224, 1024): None, (112, 1024): 15.0}


def both_plan(size: int) -> ViewPlan:
    spec = ViewSpec(
        name="view", count=2, size=size, area=(0.3, 1), flip_p=0.5, interpolation="bilinear",
        brightness=0.4, contrast=0.4, blur_p=0.5, blur_sigma=(0.1, 2.0), solarize_p=0.2,
    )  # fmt: skip
    return ViewPlan(name="benchmark", specs=(spec,), note="the operations both sides run")


def peer_chain(size: int, kind: str) -> v2.Compose:
    operations = [
        v2.RandomResizedCrop(size, scale=(0.3, 1), antialias=True),
        v2.RandomHorizontalFlip(0.5),
        v2.ColorJitter(brightness=0.4, contrast=0.4),
        v2.RandomApply([v2.GaussianBlur(both_plan(size).specs[0].blur_kernel, (0.1, 2.0))], 0.5),
        v2.RandomSolarize(128, 0.2),
    ]
    tail = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([MEAN], [STD])]
    return v2.Compose([v2.ToImage(), *operations, *tail] if kind == "tensor" else [*operations, v2.ToImage(), *tail])


def peer_views(paths: list[Path], chain: v2.Compose) -> int:
    batch = []
    for path in paths:
        with Image.open(path) as file:
            picture = file.convert("L")
        batch += [chain(picture), chain(picture)]
    return len(torch.stack(batch))


def our_views(store: np.ndarray, plan: ViewPlan, generator: torch.Generator, dtype: torch.dtype) -> int:
    rows = torch.randperm(len(store), generator=generator)[:64].sort().values.numpy()
    images = torch.from_numpy(store[rows])[:, None]
    return sum(len(view.pixels) for view in make_views(images, plan, generator, mean=[MEAN], std=[STD], dtype=dtype))


def measure(sides: dict[str, Callable[[], int]], repeats: int) -> dict[str, dict[str, float]]:
    """Views a second of every side, by CPU and by wall time: medians over interleaved repeats."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(repeats):
        for name, side in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            count = side()
            seconds[name].append(((time.process_time() - cpu) / count, (time.perf_counter() - wall) / count))
    return {
        name: {
            "views_per_cpu_second": 1 / statistics.median(cpu for cpu, _ in runs),
            "views_per_wall_second": 1 / statistics.median(wall for _, wall in runs),
        }
        for name, runs in seconds.items()
    }


def pictures(source: str) -> Iterator[Image.Image]:
    if source == "phantom":
        phantom = Phantom(0, size=1024)
        for index in range(IMAGES):
            yield Image.fromarray(phantom.render(index).pixels)
    else:
        files = sorted(Path(os.environ["VESALIUS_DATA"], "chest_xray").rglob("*.[jp][pn]*g"))[:: 3000 // IMAGES]
        for path in files[:IMAGES]:
            yield Image.open(path).convert("L")


def write_inputs(source: str, folder: Path) -> tuple[np.ndarray, dict[int, list[Path]]]:
    """The same pictures as PNGs of 256 and 1024 px, and as a memory-mapped array of 256 px."""
    paths: dict[int, list[Path]] = {256: [], 1024: []}
    rows = []
    for number, picture in enumerate(pictures(source)):
        for side, found in paths.items():
            shrunk = picture.resize((side, side), Image.Resampling.BICUBIC)
            found.append(folder / f"{number}-{side}.png")
            shrunk.save(found[-1])
            if side == 256:
                rows.append(np.asarray(shrunk))
    np.save(folder / "images.npy", np.stack(rows))
    return np.load(folder / "images.npy", mmap_mode="r"), paths


def against_peer(source: str, repeats: int) -> list[dict[str, object]]:
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        store, paths = write_inputs(source, Path(name))
        for (size, side), target in TARGETS.items():
            generator, plan = torch.Generator().manual_seed(0), both_plan(size)
            sides: dict[str, Callable[[], int]] = {"ours": partial(our_views, store, plan, generator, torch.float32)}
            for kind in ("tensor", "pil"):
                chain = peer_chain(size, kind)
                sides[f"torchvision_{kind}"] = partial(peer_views, paths[side][:16], chain)
            rates = measure(sides, repeats)
            best = max(rates[f"torchvision_{kind}"]["views_per_cpu_second"] for kind in ("tensor", "pil"))
            ratio = rates["ours"]["views_per_cpu_second"] / best
            results.append(
                {"source": source, "view_px": size, "png_px": side, "ratio": ratio, "target": target, **rates}
            )
            print(f"{source}: {size} px from {side}-px PNGs: {ratio:.1f}x", flush=True)
    return results


def own_plans(repeats: int) -> list[dict[str, object]]:
    """Views a second of the named plans, from 256-px images."""
    store = np.stack([Phantom(0, size=256).render(index).pixels for index in range(IMAGES)])
    sides: dict[str, Callable[[], int]] = {}
    for name in PLANS:
        for size in (224, 112, 48):
            for dtype in (torch.float32, torch.bfloat16):
                plan, generator = plan_by_name(name, size=size, locals=0), torch.Generator().manual_seed(0)
                sides[f"{name} {size} {str(dtype).removeprefix('torch.')}"] = partial(
                    our_views, store, plan, generator, dtype
                )
    return [{"plan": name, **rates} for name, rates in measure(sides, repeats).items()]


def markdown(result: dict[str, Any]) -> str:
    machine = result["machine"]
    lines = [
        "# Views a second on one core",
        "",
        (__doc__ or "").split("\n\n")[1].replace("\n", " "),
        "",
        "  ".join(f"{key}: {value};" for key, value in machine.items()),
        "",
        "| pictures | view | peer's PNG | ours, views/CPU s (wall) | torchvision, tensors | torchvision, PIL | "
        "ratio to the faster | asked |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def rate(row: dict[str, float]) -> str:
        return f"{row['views_per_cpu_second']:,.0f} ({row['views_per_wall_second']:,.0f})"

    for row in result["against_torchvision"]:
        asked = f"{row['target']:.0f}x" if row["target"] else "-"
        lines.append(
            f"| {row['source']} | {row['view_px']} px | {row['png_px']} px | {rate(row['ours'])} | "
            f"{rate(row['torchvision_tensor'])} | {rate(row['torchvision_pil'])} | {row['ratio']:.1f}x | {asked} |"
        )
    lines += ["", "Named plans without local crops, from 256-px uint8 images, from memory:", ""]
    lines += ["| plan, view px, output dtype | views/CPU s (wall) |", "|---|---|"]
    lines += [f"| {row['plan']} | {rate(row)} |" for row in result["plans"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sources = ["phantom", *(["chest_xray"] if os.environ.get("VESALIUS_DATA") else [])]
    result: dict[str, Any] = {
        "machine": machine(
            "torchvision",
            "pillow",
            capability=torch.backends.cpu.get_cpu_capability(),
            repeats=options.repeats,
        ),
        "against_torchvision": [row for source in sources for row in against_peer(source, options.repeats)],
        "plans": own_plans(options.repeats),
    }
    options.out.mkdir(exist_ok=True)
    (options.out / "views_throughput.json").write_text(json.dumps(result, indent=2) + "\n")
    (options.out / "views_throughput.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
