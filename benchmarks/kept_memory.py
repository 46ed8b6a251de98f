"""What keeping memory from step to step takes off a training on labels on a CPU: with and without, in turn.

OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/kept_memory.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from result_files import machine, write_results
from torch import Tensor, nn

from vesalius.backbones.interface import Backbone

_UNCOUNTED = 3


def segmentation(batch: int, size: int) -> tuple[nn.Module, Callable[[], Tensor]]:
    """An FPN on a ResNet-18."""
    from vesalius.evaluation.fit_segmentation import segmentation_loss
    from vesalius.evaluation.segmentation_network import SegmentationNetwork

    network = SegmentationNetwork(_backbone(size), "fpn", 4, image_size=size).train()
    pixels, target = torch.randn(batch, 1, size, size), torch.zeros(batch, 5, size, size)
    target[:, [0, 4]] = 1.0
    return network, lambda: segmentation_loss(_autocast(network, pixels).float(), target, "both")


def classification(batch: int, size: int) -> tuple[nn.Module, Callable[[], Tensor]]:
    """A linear layer on a ResNet-18, all of it learning."""
    from vesalius.evaluation.classifier import Classifier

    network = Classifier(_backbone(size), 2).train()
    pixels, target = torch.randn(batch, 1, size, size), torch.arange(batch) % 2
    return network, lambda: nn.functional.cross_entropy(_autocast(network, pixels).float(), target)


def _backbone(size: int) -> Backbone:
    from vesalius.backbones.create_backbone import BackboneConfig, create_backbone

    return create_backbone(BackboneConfig(name="resnet18", image_size=size, in_chans=1, drop_path=0.0))


def _autocast(network: nn.Module, pixels: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return network(pixels)


CASES = {
    "FPN-ResNet-18, batch 8, 128 px": (segmentation, 8, 128),
    "FPN-ResNet-18, batch 16, 192 px": (segmentation, 16, 192),
    "ResNet-18, batch 32, 64 px": (classification, 32, 64),
    "ResNet-18, batch 32, 224 px": (classification, 32, 224),
}


def measure(case: str, rounds: int, steps: int) -> dict[str, object]:
    from vesalius.training.allocator import memory_kept

    kind, batch, size = CASES[case]
    torch.manual_seed(0)
    network, loss = kind(batch, size)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * rounds):
        kept = number % 2 == 1
        with memory_kept() if kept else nullcontext():
            for step in range(_UNCOUNTED + steps):
                start = time.perf_counter()
                optimizer.zero_grad()
                loss().backward()
                optimizer.step()
                if step >= _UNCOUNTED:
                    seconds[kept].append(time.perf_counter() - start)
    without, kept_seconds = (statistics.median(seconds[kept]) for kept in (False, True))
    return {
        "case": case,
        "steps": rounds * steps,
        "returned": round(without, 3),
        "kept": round(kept_seconds, 3),
        "ratio": round(kept_seconds / without, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    rows = [measure(case, options.rounds, options.steps) for case in CASES]
    columns = {
        "training": "{case}",
        "steps each": "{steps}",
        "s, memory returned": "{returned}",
        "s, memory kept": "{kept}",
        "ratio": "{ratio}",
    }
    write_results("kept_memory", "A training step on labels that keeps its memory", machine("timm"), rows, columns)


if __name__ == "__main__":
    main()
