"""What the refinement of regions adds to a step of R2O: whole steps, and the parts that make the regions, in one run.

A step is R2O's own: two views through student and teacher, region means, both heads, backward, LARS, momentum. The
refinement is everything that plain BYOL on fixed regions would not do: making the whole image's view, that through the
teacher to C4, superpixel means, k-means. Phantom radiographs with SLIC superpixels, ResNet-50 at 224 px, bf16 where the
CPU multiplies it; clusters over the batch, as the paper's K and ours.

    OMP_NUM_THREADS=2 taskset -c 0,1 python benchmarks/refinement_step.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from result_files import machine, write_results

CASES = (
    ("resnet50", 224, 16, 64),
    ("resnet50", 224, 32, 64),
    ("resnet50", 224, 32, 128),
    ("resnet50", 224, 32, 256),
    ("resnet18", 112, 64, 64),
)
"""Backbone, side of the views, batch and K."""


def make_store(folder: Path, images: int) -> Path:
    from vesalius import pipeline
    from vesalius.data.phantom import write_phantom

    write_phantom(folder / "scans", images=images, seed=0)
    pipeline.prepare(folder / "scans", folder / "store", progress=False)
    pipeline.guide(folder / "store", template="slic", progress=False)
    return folder / "store"


def measure(store: Path, case: tuple[str, int, int, int], steps: int) -> dict[str, Any]:
    from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
    from vesalius.data.batches import TrainingBatches
    from vesalius.data.open_pool import open_pool
    from vesalius.data.region_maps import open_regions
    from vesalius.methods.r2o import R2o, R2oConfig
    from vesalius.schedules import Progress
    from vesalius.training.allocator import memory_kept
    from vesalius.training.optimizers import OptimizerConfig, build_optimizer
    from vesalius.training.precision import choose_precision, suit_accelerator
    from vesalius.views.make_views import make_views
    from vesalius.views.plans import plan_by_name

    name, size, batch, clusters = case
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name=name, image_size=size, pool="mean", drop_path=0.0))
    method = R2o(R2oConfig(clusters=clusters), backbone).train()
    suit_accelerator(method, accelerator="cpu")
    optimizer = build_optimizer(OptimizerConfig(name="lars", lr=0.3, clip_each=0), list(method.trained_parameters()))
    pool, _ = open_pool(f"{store}@all")
    batches = TrainingBatches(
        pool, batch_size=batch, seed=0, total_steps=1000, regions=open_regions(pool, "slic").gather
    )
    plan = plan_by_name("r2o", size=size)
    alone = plan.model_copy(update={"specs": plan.specs[-1:], "teacher_views": (0,)})  # the whole image's
    bf16 = choose_precision("auto", accelerator="cpu")[0].startswith("bf16")
    whole, refinement = [], []
    with memory_kept():
        for step in range(steps + 2):
            now = Progress(step=step, total_steps=1000, steps_per_epoch=100)
            read = batches.read(batches.indices(step))
            begun = time.perf_counter()
            views = make_views(read.images, plan, torch.Generator().manual_seed(step))
            views = (*views[:-1], replace(views[-1], regions=read.regions))
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = method(views, now).loss
            loss.backward()
            optimizer.step()
            method.after_step(now)
            taken = time.perf_counter() - begun
            begun = time.perf_counter()
            make_views(read.images, alone, torch.Generator().manual_seed(step))
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                method.joined_regions(views[-1], now)
            if step >= 2:  # the first ones warm up
                whole.append(taken)
                refinement.append(time.perf_counter() - begun)
    share = statistics.median(one / other for one, other in zip(refinement, whole, strict=True))
    row = {
        "backbone": name,
        "size": size,
        "batch": batch,
        "clusters": clusters,
        "steps": steps,
        "seconds": round(statistics.median(whole), 3),
        "refinement_seconds": round(statistics.median(refinement), 3),
        "share": round(share, 3),
    }
    print(row, flush=True)
    return row


def write(rows: list[dict[str, Any]]) -> None:
    columns = {
        "backbone": "{backbone}",
        "px": "{size}",
        "batch": "{batch}",
        "K": "{clusters}",
        "steps": "{steps}",
        "s a step": "{seconds}",
        "s of refinement": "{refinement_seconds}",
        "share (asked <= 0.15)": "{share}",
    }
    write_results("refinement_step", "What refinement adds to a step of R2O", machine("timm"), rows, columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--images", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), options.images)
        write([measure(store, case, options.steps) for case in CASES])


if __name__ == "__main__":
    main()
