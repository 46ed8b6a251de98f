"""The recipe: one typed, complete description of a pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vesalius.backbones.create_backbone import BackboneConfig
from vesalius.config import StrictModel, apply_overrides, build, load_yaml, merge
from vesalius.errors import ConfigError, nearest
from vesalius.guidance.registry import GuidanceConfig
from vesalius.methods.dino import DinoConfig
from vesalius.methods.registry import MethodConfig
from vesalius.training.optimizers import OptimizerConfig

__all__ = [
    "DEFAULT_RECIPE",
    "MonitorConfig",
    "Recipe",
    "TrainingConfig",
    "ValidationConfig",
    "ViewsConfig",
    "available_recipes",
    "load_recipe",
]


DEFAULT_RECIPE = "anatomy/contrast-small"
"""What is taught best in the same minutes (docs/LOG.md): where things are, by one labelled exemplar, and how one
patient's differ from another's."""


class ViewsConfig(StrictModel):
    """Which view plan, and what differs from it.

    Attributes:
        plan: Name of a plan, see `views.plans`.
        options: Overrides by the plan's own names (`size`, `locals`, `flip_p`, ...).
        sizes: Sides of the global views in pixels, one for each step, each as often as the others; empty for the plan's
            own. A ViT that has seen one size alone takes a larger input for a closer look, and misplaces what it sees.
    """

    plan: str = "dino"
    options: dict[str, Any] = Field(default_factory=dict)
    sizes: tuple[Annotated[int, Field(ge=16)], ...] = ()


class TrainingConfig(StrictModel):
    """How long, how fast, on what.

    Attributes:
        batch_size: Images a step over all devices together.
        epochs: Passes over the images; a budget or a number of steps replaces them.
        steps: Exactly so many, in place of epochs or a budget; 0 keeps the backbone as it
            is initialised, to compare with.
        budget_minutes: Train as many steps as a timed trial says will fit; the count is then fixed and recorded.
        seed: Of weights, permutations, views and stochastic depth.
        precision: `auto` takes bf16 where the device multiplies it fast.
        devices, nodes: Lightning's.
        strategy: Lightning's; `auto` is one device or DDP over all of them. Those that shard parameters are refused: a
            teacher follows, and a checkpoint exports, whole ones.
        accelerator: Lightning's.
        checkpoint_minutes: Time between checkpoints.
        log_every_steps: Steps between rows of metrics.csv.
    """

    batch_size: int = Field(default=256, ge=1)
    epochs: float = Field(default=100.0, gt=0)
    steps: int | None = Field(default=None, ge=0)
    budget_minutes: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    devices: int | Literal["auto"] = 1
    nodes: int = Field(default=1, ge=1)
    strategy: str = "auto"
    accelerator: str = "auto"
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    log_every_steps: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _check_length(self) -> TrainingConfig:
        if self.steps is not None and self.budget_minutes is not None:
            raise ValueError("steps and budget_minutes: give one, and set the other to null")
        if self.steps == 0 and (self.devices != 1 or self.nodes > 1):
            raise ValueError("steps = 0 trains nothing, so that several processes have nothing to share: set devices=1")
        return self

    @model_validator(mode="after")
    def _check_strategy(self) -> TrainingConfig:
        if self.strategy != "auto" and not self.strategy.startswith("ddp"):
            raise ValueError(
                f"strategy '{self.strategy}': expected auto, ddp or another of Lightning's ddp strategies, which keep "
                "every parameter whole on every device"
            )
        return self


class MonitorConfig(StrictModel):
    """What is watched besides the loss.

    Attributes:
        every_epochs: Passes between two looks (feature rank, k-NN); the first and last step are looked at too.
        images: How many training images the rank is computed on.
        knn_label: Label for the online k-NN; by default every binary label of the store, two at most.
        knn_store: A labelled store for the online k-NN; by default the stores that are trained on.
        knn_images: How many labelled images the online k-NN reads at most.
    """

    every_epochs: float = Field(default=5.0, gt=0)
    images: int = Field(default=512, ge=16)
    knn_label: str | None = None
    knn_store: Path | None = None
    knn_images: int = Field(default=2000, ge=16)


class ValidationConfig(StrictModel):
    """The loss on the `val` split of the stores, which is then not trained on, and early stopping by it.

    Attributes:
        every_epochs: Passes between two looks; the first and last step are looked at too.
        images: How many images are read at most, in whole batches of the training's size; one batch at least.
        patience: Early stopping: looks in a row without a better loss after which the training ends, and its best look
            is what is exported; None for a training of full length, whose end is exported.
        min_delta: By how much a loss must be below the best one to be better.
        start_from_epoch: Looks before it are neither best nor counted: some losses rise while their targets are young.
    """

    every_epochs: float = Field(default=1.0, gt=0)
    images: int = Field(default=512, ge=1)
    patience: int | None = Field(default=None, ge=1)
    min_delta: float = Field(default=0.0, ge=0)
    start_from_epoch: float = Field(default=0.0, ge=0)


class Recipe(StrictModel):
    """Views x backbone x method x guidance, and how they are trained."""

    name: str = "unnamed"
    about: str = ""
    views: ViewsConfig = Field(default_factory=ViewsConfig)
    backbone: BackboneConfig = Field(default_factory=BackboneConfig)
    method: MethodConfig = Field(default_factory=DinoConfig)
    guidance: GuidanceConfig | None = None
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    monitors: MonitorConfig = Field(default_factory=MonitorConfig)
    validation: ValidationConfig | None = None


def available_recipes() -> dict[str, Traversable]:
    """Return the shipped recipes, `<paper>/<row>` to its file."""
    root = resources.files("vesalius") / "recipes"
    return {
        f"{paper.name}/{row.name.removesuffix('.yaml')}": row
        for paper in sorted(root.iterdir(), key=lambda item: item.name)
        if paper.is_dir()
        for row in sorted(paper.iterdir(), key=lambda item: item.name)
        if row.name.endswith(".yaml")
    }


def load_recipe(name: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Load a shipped recipe by name (`dino/small`; `dino` is `dino/paper`) or a YAML file by path.

    A file may begin with `base:`, a shipped recipe or another file (from its own folder), and hold what it changes of
    that one alone; see `vesalius.config.merge`.

    Args:
        name: Recipe name or path.
        overrides: Assignments as in `--set training.batch_size=32`.

    Raises:
        ConfigError: No such recipe, a recipe that is its own base, an unknown key (the nearest is named) or a value out
            of range.
    """
    content, source = _read(name, within=Path(), seen=())
    return build(Recipe, apply_overrides(content, overrides), source=source)


def _read(name: str | Path, *, within: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], str]:
    """Return a recipe's keys, laid over those of its base, and where it comes from."""
    file, key = _find(name, within)
    if file in seen:
        raise ConfigError(f"{file}: is its own base, by way of {', '.join(one.name for one in seen)}; break the circle")
    content = load_yaml(file)
    base = content.pop("base", None)
    if base is not None:
        below, _ = _read(str(base), within=file.parent, seen=(*seen, file))
        content = merge({section: keys for section, keys in below.items() if section not in ("name", "about")}, content)
    return ({"name": key, **content}, f"recipe {key}") if key else (content, str(file))


def _find(name: str | Path, within: Path) -> tuple[Path, str]:
    """Return a recipe's file, and its name where it is a shipped one."""
    path = within / Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path.resolve(), ""
    shipped = available_recipes()
    key = str(name) if str(name) in shipped else f"{name}/paper"
    if key not in shipped:
        raise ConfigError(
            f"no recipe '{name}'{nearest(str(name), shipped)} Shipped: {', '.join(shipped)}; or name a YAML file"
        )
    return Path(str(shipped[key])), key
