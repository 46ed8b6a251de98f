"""The run folder: what was asked, what it ran on, what came of it. Every file is replaced atomically."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vesalius.atomic import replace_text
from vesalius.config import build, dump_yaml, load_yaml
from vesalius.errors import RunError
from vesalius.locks import holding
from vesalius.records.metric_columns import METRIC_COLUMNS
from vesalius.training.recipe import Recipe

__all__ = ["RunFolder"]

PACKAGES = ("vesalius", "torch", "torchvision", "timm", "lightning", "numpy")


class RunFolder:
    """Paths and small files of one pretraining."""

    def __init__(self, path: Path) -> None:
        """Point at a run folder, whether it exists or not."""
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.yaml"
        self.state_file = self.path / "run.json"
        self.metrics_file = self.path / "metrics.csv"
        self.checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.backbone = self.path / "backbone"
        self.guidance = self.path / "guidance"
        self.pictures = self.path / "pictures"
        self.pool_file = self.path / "pool.parquet"

    @property
    def exists(self) -> bool:
        """Whether a pretraining was begun here."""
        return self.recipe_file.is_file()

    @property
    def as_initialised(self) -> bool:
        """Whether its backbone is random weights that took no step, as the untrained arms of studies are."""
        if not (self.exists and self.state_file.is_file() and self.state().get("steps_taken") == 0):
            return False
        backbone = self.recipe().backbone
        return not backbone.pretrained and backbone.weights is None

    def check_free(self) -> None:
        """Make sure that a run can begin here.

        Raises:
            RunError: The folder holds a run already, or other files.
        """
        if self.exists:
            raise RunError(f"{self.path}: holds a run already; continue it with --resume or name another folder")
        # A pretraining that was killed while it began here leaves these without a recipe, which is written last.
        begun = {"checkpoints", "pictures", *(f.name for f in (self.state_file, self.metrics_file, self.pool_file))}
        begun |= {f"{f.name}.partial" for f in (self.state_file, self.metrics_file, self.recipe_file, self.pool_file)}
        if self.path.is_dir() and any(entry.name not in begun for entry in self.path.iterdir()):
            raise RunError(f"{self.path}: holds other files; name an empty or a new folder for the run")

    def create(self, recipe: Recipe, state: Mapping[str, Any]) -> None:
        """Begin a run.

        Raises:
            RunError: By `check_free`.
        """
        self.check_free()
        for folder in (self.path, self.checkpoint.parent, self.pictures):
            folder.mkdir(parents=True, exist_ok=True)
        self.write_state(state)
        replace_text(self.metrics_file, ",".join(METRIC_COLUMNS) + "\n")
        replace_text(self.recipe_file, dump_yaml(recipe))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other processes from training into this folder meanwhile.

        Raises:
            RunError: Another process is at it.
        """
        with holding(self.path / ".lock") as free:
            if not free:
                raise RunError(f"{self.path}: another process is training into this folder; wait or stop it")
            yield

    def recipe(self) -> Recipe:
        """Read the resolved recipe.

        Raises:
            RunError: Nothing was begun here.
        """
        if not self.exists:
            raise RunError(f"{self.path}: is no run folder (no recipe.yaml); name a folder that `pretrain` wrote")
        return build(Recipe, load_yaml(self.recipe_file), source=str(self.recipe_file))

    def check_backbone(self) -> None:
        """Make sure that a backbone was written.

        Raises:
            RunError: There is none yet.
        """
        if not self.backbone.is_dir():
            raise RunError(f"{self.path}: no backbone in it; let `vesalius pretrain` finish, if need be with --resume")

    def state(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            RunError: It is missing or damaged.
        """
        try:
            content = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.state_file}: not readable ({error}); the folder is no run or is damaged") from error
        if not isinstance(content, dict):
            raise RunError(f"{self.state_file}: expected a mapping")
        return content

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Replace run.json."""
        replace_text(self.state_file, json.dumps(state, indent=2, default=str) + "\n")

    def update_state(self, **changes: Any) -> None:
        """Change some keys of run.json."""
        self.write_state(self.state() | changes)

    def append_metrics(self, step: int, epoch: float, seconds: float, values: Mapping[str, float]) -> None:
        """Add one row a value."""
        with self.metrics_file.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            for name, value in values.items():
                writer.writerow((step, f"{epoch:.4f}", f"{seconds:.2f}", name, repr(float(value))))

    def cut_metrics(self, step: int) -> float:
        """Drop rows at or beyond `step`, which a resumed training writes again; return the seconds until there."""
        kept, seconds = [",".join(METRIC_COLUMNS)], 0.0
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split(",")
            if len(fields) == len(METRIC_COLUMNS) and int(fields[0]) < step:
                kept.append(line)
                seconds = float(fields[2])
        replace_text(self.metrics_file, "\n".join(kept) + "\n")
        return seconds


def environment() -> dict[str, str]:
    """Versions and machine, as far as they shape results; nothing that names a person or a host."""
    versions = {package: metadata.version(package) for package in PACKAGES}
    return versions | {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
