"""The regions of a few images, kept now and then, so that a picture can show how they form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from vesalius.atomic import replacing
from vesalius.data.batches import ImagePool
from vesalius.data.region_maps import RegionPool
from vesalius.methods.r2o import R2o
from vesalius.methods.regions import ClusteredOver
from vesalius.records.view import View
from vesalius.training.module import PretrainingModule
from vesalius.training.run_folder import RunFolder
from vesalius.views.make_views import make_views
from vesalius.views.plans import ViewPlan

__all__ = ["RegionSnapshots", "read_snapshots", "shown_images"]

_IMAGES = 6


def shown_images(pool: ImagePool) -> npt.NDArray[np.int64]:
    """Return the places of the images that are looked at, evenly over the pool."""
    return np.linspace(0, len(pool) - 1, min(_IMAGES, len(pool))).astype(np.int64)


class RegionSnapshots(Callback):
    """Writes `regions/step-<steps taken>.npy`, `[images, rows, columns]` uint8, and the prior as step 0."""

    def __init__(
        self, folder: RunFolder, pool: ImagePool, regions: RegionPool, plan: ViewPlan, *, every_steps: int
    ) -> None:
        """Choose the images; look every so many steps, at the first and at the last."""
        self.folder, self.every_steps = folder.path / "regions", every_steps
        chosen = shown_images(pool)
        self.images, self.prior, self.plan = pool.gather(chosen), regions.gather(chosen), plan

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Look when it is time; the training goes on as if nobody had looked."""
        del args
        taken = trainer.global_step
        if not isinstance(pl_module, PretrainingModule) or not trainer.is_global_zero:
            return
        method = pl_module.method
        if not isinstance(method, R2o) or (taken % self.every_steps and taken not in (1, pl_module.total_steps)):
            return
        training = method.training
        method.eval()
        whole = self._whole(method)
        over: ClusteredOver = "image" if method.config.over == "image" else "process"
        joined = method.joined_regions(whole, pl_module.progress, over=over)
        method.train(training)
        self.folder.mkdir(exist_ok=True)
        self._write(0, self.prior)
        self._write(taken, joined)

    def _whole(self, method: R2o) -> View:
        about = method.student.preprocessing
        device = next(method.parameters()).device
        views = make_views(
            self.images.to(device),
            self.plan,
            torch.Generator().manual_seed(0),
            out_channels=about.in_chans,
            mean=about.mean,
            std=about.std,
        )
        return replace(views[-1], regions=self.prior.to(device))

    def _write(self, step: int, labels: torch.Tensor) -> None:
        with replacing(self.folder / f"step-{step:07d}.npy") as new, new.open("wb") as stream:
            np.save(stream, labels.to(torch.uint8).cpu().numpy())


def read_snapshots(folder: Path) -> dict[int, npt.NDArray[np.uint8]]:
    """Return what a run kept, by the number of steps taken, in their order; 0 is the prior, nothing where none is."""
    files = sorted((folder / "regions").glob("step-*.npy"))
    return {int(file.stem.removeprefix("step-")): np.load(file, allow_pickle=False) for file in files}
