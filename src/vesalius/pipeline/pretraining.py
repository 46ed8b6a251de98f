"""From images, and what is known of them, to a backbone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.data.batches import ImagePool
    from vesalius.data.open_pool import Data
    from vesalius.data.region_maps import RegionPool
    from vesalius.training.planning import Plan
    from vesalius.training.recipe import Recipe
    from vesalius.training.run_folder import RunFolder
    from vesalius.training.train import Pretraining
    from vesalius.training.validation import Validation

__all__ = ["plan_pretrainings", "pretrain"]

_NOTHING: tuple[str, ...] = ()


def pretrain(
    recipe: str | Path | None = None,
    *,
    data: Data,
    out: str | Path,
    maps: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
    budget_minutes: float | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> Path:
    """Pretrain a backbone on the images of one or several stores.

    Args:
        recipe: Name of a shipped recipe (`dino/small`) or path of a YAML file; by default
            `vesalius.training.recipe.DEFAULT_RECIPE`, whose guidance needs knowledge maps. Not read when resuming.
        data: Store, or stores; `STORE` means its train split, `STORE@all`, `STORE@train+val` others.
        out: Run folder to write.
        maps: Folders of knowledge maps, one a store, where the recipe has guidance (else of regions, where its method
            learns from them); by default each store's own of the name that the recipe gives.
        overrides: Assignments as in `training.batch_size=32`.
        budget_minutes: Train as long as this instead of the recipe's epochs.
        resume: Go on in an existing run folder, with its own recipe.
        console: Where to speak; standard output by default.

    Returns:
        The run folder.

    Raises:
        ConfigError, StoreError, SplitError, RunError, CheckpointError, TrainingError, BackboneError: See their
            descriptions.
    """
    from rich.console import Console

    from vesalius.data.open_pool import open_pool
    from vesalius.interpret.run_pictures import draw_run
    from vesalius.training.leading import leads
    from vesalius.training.run_folder import RunFolder

    console = console or Console()
    folder = RunFolder(Path(out))
    pool, about = open_pool(data)
    resume = resume and folder.exists
    if resume:
        resolved, notes = folder.recipe(), _NOTHING
        # Of several processes the first may have begun the folder when the others, started by the same words, find it.
        begun = leads(resolved) or folder.checkpoint.is_file()
        if begun and (overrides or budget_minutes is not None):
            raise RunError(f"{folder.path}: a resumed run keeps its recipe; leave out --set and --budget-minutes")
        if folder.state()["status"] == "done":
            if leads(resolved):
                console.print(f"{folder.path}: already done", highlight=False)
                _keep_pool(pool, about, folder)
                draw_run(resolved, pool, folder)
            return folder.path
    else:
        resolved, notes = _resolved(recipe, overrides, budget_minutes, len(pool))
        if leads(resolved):
            folder.check_free()
    if not leads(resolved):
        console = Console(quiet=True)
    pretraining = _assemble(resolved, pool, about, maps=maps, folder=folder, notes=notes, console=console)
    told = (
        folder.state().get("command")
        if resume
        else _command(recipe, data, out, maps=maps, overrides=overrides, budget_minutes=budget_minutes)
    )
    state = {"command": told, "recipe": resolved.name, "data": about, "notes": notes}
    if leads(resolved) and resume:
        _keep_pool(pool, about, folder)
    pretraining.run(state=state, resume=resume)
    if leads(resolved):
        draw_run(resolved, pool, folder)
    return folder.path


def _command(
    recipe: str | Path | None,
    data: Data,
    out: str | Path,
    *,
    maps: Sequence[str | Path],
    overrides: Sequence[str],
    budget_minutes: float | None,
) -> str:
    """Return the command line that begins this training, whoever called: typed, a study or a notebook."""
    stores = [data] if isinstance(data, str | Path) else data
    words = ["vesalius", "pretrain", *([] if recipe is None else [str(recipe)])]
    for flag, values in (("--data", stores), ("--maps", maps), ("--set", overrides)):
        words += [word for value in values for word in (flag, str(value))]
    words += [] if budget_minutes is None else ["--budget-minutes", f"{budget_minutes:g}"]
    return shlex.join([*words, "--out", str(out)])


def plan_pretrainings(
    recipes: Sequence[tuple[str | Path, Sequence[str]]],
    *,
    data: Data,
    budget_minutes: float | None = None,
) -> list[Plan]:
    """Time a few steps of pretrainings that are compared, in turn; return how many each will take and how long.

    Nothing is written.

    Args:
        recipes: Recipe and assignments of each, as for `pretrain`.
        data: Store, or stores, as for `pretrain`.
        budget_minutes: Of each, instead of the recipe's epochs.

    Raises:
        ConfigError, StoreError, SplitError, TrainingError, BackboneError: As `pretrain`.
    """
    from rich.console import Console

    from vesalius.data.open_pool import open_pool
    from vesalius.training.plan_together import plan_together
    from vesalius.training.run_folder import RunFolder

    pool, about = open_pool(data)
    nowhere, console = RunFolder(Path()), Console(quiet=True)
    trainings = []
    for recipe, overrides in recipes:
        resolved, notes = _resolved(recipe, overrides, budget_minutes, len(pool))
        own = dict(about)
        trainings.append(_assemble(resolved, pool, own, maps=(), folder=nowhere, notes=notes, console=console))
    return plan_together(trainings)


def _assemble(
    recipe: Recipe,
    pool: ImagePool,
    about: dict[str, Any],
    *,
    maps: Sequence[str | Path],
    folder: RunFolder,
    notes: Sequence[str],
    console: Console,
) -> Pretraining:
    """Open what the recipe learns from besides the images, tell `about` of it, and choose who looks at the training."""
    from vesalius.data.knowledge_pool import open_knowledge
    from vesalius.evaluation.online import choose_probes
    from vesalius.training.train import Pretraining

    knowledge = None
    if recipe.guidance is not None:
        coordinates = recipe.guidance.needs_coordinates
        knowledge = open_knowledge(pool, recipe.guidance.maps, maps, coordinates=coordinates)
        about |= {"maps": knowledge.description()}
    regions = _regions(recipe, pool, () if knowledge is not None else maps)
    if regions is not None:
        about |= {"regions": regions.description()}
    validation = _validation(recipe, pool, maps, about)
    for note in notes:
        console.print(note, highlight=False)
    probes = choose_probes(
        recipe.monitors,
        pool,
        precision=recipe.training.precision,
        say=lambda text: console.print(text, highlight=False),
    )
    return Pretraining(
        recipe=recipe,
        pool=pool,
        folder=folder,
        probes=probes,
        console=console,
        knowledge=knowledge,
        regions=regions,
        validation=validation,
    )


def _resolved(
    recipe: str | Path | None, overrides: Sequence[str], budget_minutes: float | None, images: int
) -> tuple[Recipe, tuple[str, ...]]:
    """Load the recipe of a new run and let it suit the number of images; return it with what was chosen."""
    from vesalius.training.recipe import DEFAULT_RECIPE, load_recipe
    from vesalius.training.resolve_recipe import resolve_recipe

    budget = () if budget_minutes is None else (f"training.budget_minutes={budget_minutes}",)
    return resolve_recipe(load_recipe(recipe or DEFAULT_RECIPE, overrides=[*overrides, *budget]), images)


def _regions(recipe: Recipe, pool: ImagePool, maps: Sequence[str | Path]) -> RegionPool | None:
    """Open the regions that the method learns from, of each store's own maps unless folders are given."""
    from vesalius.data.region_maps import open_regions

    name = getattr(recipe.method, "regions", None)
    return None if name is None else open_regions(pool, name, maps)


def _validation(
    recipe: Recipe, pool: ImagePool, maps: Sequence[str | Path], about: dict[str, Any]
) -> Validation | None:
    """Open the images held out and what is known of them, where the recipe asks for it; tell `about` of them."""
    from vesalius.data.held_out import HeldOut, held_out_pool
    from vesalius.data.knowledge_pool import open_knowledge
    from vesalius.training.validation import Validation

    if recipe.validation is None:
        return None
    own, about["validation"] = held_out_pool(pool)
    guidance, knowledge = recipe.guidance, None
    if guidance is not None:
        knowledge = open_knowledge(own, guidance.maps, maps, coordinates=guidance.needs_coordinates)
    regions = _regions(recipe, own, () if knowledge is not None else maps)
    held_out = HeldOut(
        pool=own,
        knowledge=None if knowledge is None else knowledge.gather,
        regions=None if regions is None else regions.gather,
    )
    return Validation(recipe.validation, held_out, recipe.training.batch_size)


def _keep_pool(pool: ImagePool, about: dict[str, Any], folder: RunFolder) -> None:
    """Record which images are trained on, unless the run in the folder was begun on others, or trains nothing."""
    from vesalius.data.pool_record import write_pool

    state = folder.state() if folder.exists else {}
    if not state or (state["data"]["fingerprint"] == about["fingerprint"] and state.get("steps") != 0):
        write_pool(folder.pool_file, pool.parts)
