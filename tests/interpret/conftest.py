"""Run folders whose backbones are random: what is drawn does not depend on what was learnt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vesalius import pipeline
from vesalius.backbones.create_backbone import create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.training.recipe import load_recipe
from vesalius.training.run_folder import RunFolder

VIT = "backbone={name: test_vit, image_size: 64, drop_path: 0}"


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """`write_run("name", "key=value", ...)` makes a finished run of the recipe anatomy/small with these changes."""

    def write(name: str, *overrides: str, backbone: str = VIT, seed: int = 0) -> Path:
        torch.manual_seed(seed)
        recipe = load_recipe("anatomy/small", overrides=[backbone, *overrides])
        folder = RunFolder(tmp_path / name)
        folder.create(recipe, {"status": "done"})
        made = create_backbone(recipe.backbone)
        for weight in made.parameters():
            weight.data.mul_(2)  # peaked attention, so that heads and places differ
        save_backbone(made, folder.backbone, state=made.state_dict())
        return folder.path

    return write


@pytest.fixture
def guided_run(write_run: Callable[..., Path]) -> Path:
    """A run whose head 1 is guided to the heart, head 0 to nothing."""
    return write_run("guided", "guidance.attention.heads={heart: 1}")


@pytest.fixture(scope="session")
def triangle_store(phantom_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the phantom store and its scans, with maps of triangles under the name that recipes look for."""
    folder = tmp_path_factory.mktemp("guided")
    shutil.copytree(phantom_store.parent / "scans", folder / "scans")
    shutil.copytree(phantom_store, folder / "store")
    maps = folder / "store" / "maps" / "deformable"
    pipeline.guide(folder / "store", template="triangular", out=maps, map_size=20, workers=1, progress=False)
    return folder / "store"
