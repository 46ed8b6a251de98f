"""`vesalius demo`: the whole main job on the built-in phantom, in minutes on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.records.result import Result

__all__ = ["run_demo"]

LABEL = "any_finding"
SIZE = 128


def run_demo(out: Path, *, images: int, budget_minutes: float, seed: int, console: Console) -> list[str]:
    """Render phantoms, prepare, pretrain, evaluate, report.

    Args:
        out: Folder to write; it must be empty or new.
        images: Phantom radiographs.
        budget_minutes: Of the pretraining.
        seed: Of phantom and training.
        console: Where progress is shown.

    Returns:
        The closing lines: three of summary, one with the page's path.

    Raises:
        RunError: `out` holds files already.
    """
    from vesalius import pipeline
    from vesalius.data.phantom import write_phantom
    from vesalius.data.prepare_summary import summary_table

    if out.is_dir() and any(out.iterdir()):
        raise RunError(f"{out}: is not empty; name a new folder with --out, or remove it")
    scans, store, run = out / "scans", out / "store", out / "run"
    console.rule(f"1 of 5  rendering {images:,} phantom radiographs")
    write_phantom(scans, images=images, seed=seed, size=SIZE)
    console.rule("2 of 5  vesalius prepare")
    console.print(summary_table(pipeline.prepare(scans, store, size=SIZE)))
    console.rule("3 of 5  vesalius pretrain demo/phantom")
    pipeline.pretrain(
        "demo/phantom",
        data=store,
        out=run,
        overrides=[f"training.seed={seed}"],
        budget_minutes=budget_minutes,
        console=console,
    )
    console.rule("4 of 5  vesalius evaluate")
    results = [pipeline.evaluate(run, data=store, task=task, label=LABEL) for task in ("knn", "linear")]
    console.rule("5 of 5  vesalius report")
    page = pipeline.report([run], out / "report.html")
    lines = [_line(result) for result in results]
    return ["", *lines, results[-1].verdict, f"page: {page}"]


def _line(result: Result) -> str:
    """One score against its baselines."""
    auc = {s.arm: s for s in result.scores if s.metric == "roc_auc" and s.fraction == 1.0}
    ours, twin, pixels = auc["pretrained"], auc["random_init"], auc["pixels"]
    return (
        f"{result.task} AUC on '{result.label}': pretrained {ours.value:.3f} [{ours.low:.3f}, {ours.high:.3f}], "
        f"random init {twin.value:.3f} [{twin.low:.3f}, {twin.high:.3f}], "
        f"raw pixels {pixels.value:.3f} [{pixels.low:.3f}, {pixels.high:.3f}]"
    )
