"""The figure of attended distances: what is in its table, millimetres, comparisons, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vesalius import pipeline
from vesalius.backbones.block_attention import block_attentions
from vesalius.backbones.load import load_backbone
from vesalius.backbones.normalise import to_input
from vesalius.errors import ConfigError, RunError
from vesalius.interpret.attention_distance import attention_distance


def draw(run: Path, store: Path, **options) -> Path:
    (path,) = pipeline.explain(run, store=store, figure="distance", progress=False, device="cpu", **options)
    return path


@pytest.fixture
def spaced_store(phantom_store: Path, tmp_path: Path) -> Path:
    """The phantom with pixels of 0.4 mm across and 0.2 mm down in its files."""
    store = tmp_path / "spaced"
    shutil.copytree(phantom_store, store)
    manifest = pd.read_parquet(store / "manifest.parquet")
    manifest["spacing_x_mm"], manifest["spacing_y_mm"] = 0.4, 0.2
    manifest.to_parquet(store / "manifest.parquet")
    return store


def test_table_holds_every_head_of_every_block(guided_run: Path, phantom_store: Path) -> None:
    path = draw(guided_run, phantom_store, count=5)
    table = pd.read_csv(path.with_suffix(".csv"))
    backbone, store = load_backbone(guided_run / "backbone"), pipeline.open_store(phantom_store)
    rows = np.sort(np.random.default_rng(0).permutation(len(store))[:5])
    inputs = to_input(store.images[rows], backbone, torch.device("cpu"), (64, 64))
    for place, block in enumerate(block_attentions(backbone, inputs)):
        own = table[table.block == place]
        expected = attention_distance(block).double().numpy()
        np.testing.assert_allclose(own.pixels, expected.mean(0), rtol=1e-4)
        np.testing.assert_allclose(own.pixels_sd, expected.std(0), rtol=1e-3)
        np.testing.assert_allclose(own.patches, expected.mean(0) / 16, rtol=1e-4)
    assert table.mm.isna().all()
    assert len(table) == 2 * len(backbone.model.blocks)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["plan"]["images"] == 5
    assert str(phantom_store.parent) not in path.with_suffix(".json").read_text()


def test_millimetres_follow_the_spacing_in_both_directions(guided_run: Path, spaced_store: Path) -> None:
    table = pd.read_csv(draw(guided_run, spaced_store, count=3).with_suffix(".csv"))
    manifest = pipeline.open_store(spaced_store).manifest
    across = 0.4 * float(manifest.scale_x.iloc[0]) * pipeline.open_store(spaced_store).size / 64
    assert (table.mm < across * table.pixels).all()
    assert (table.mm > across / 2 * table.pixels).all()


def test_runs_side_by_side_and_other_families(write_run: Callable[..., Path], phantom_store: Path) -> None:
    free = ("guidance=null", "method={name: dino}")
    vit = write_run("vit", *free)
    swin = write_run("swin", *free, backbone="backbone={name: swin_tiny_patch4_window7_224, image_size: 64}")
    path = draw(vit, phantom_store, count=2, compare=[swin])
    table = pd.read_csv(path.with_suffix(".csv"))
    blocks = {"vit": len(load_backbone(vit / "backbone").model.blocks), "swin": 12}
    assert table.groupby("run")["block"].nunique().to_dict() == blocks
    first = path.stat().st_mtime_ns
    assert draw(vit, phantom_store, count=2, compare=[swin]).stat().st_mtime_ns == first
    assert draw(vit, phantom_store, count=2, compare=[swin], mass=0.5).stat().st_mtime_ns == first
    with pytest.raises(RunError, match=r"made otherwise \(different: images\)"):
        draw(vit, phantom_store, count=3, compare=[swin])


def test_needs_a_store_and_no_image(guided_run: Path, phantom_store: Path, tmp_path: Path) -> None:
    for given in ({"images": []}, {"images": [tmp_path / "a.png"], "store": phantom_store}):
        with pytest.raises(ConfigError, match="draws its images from a store"):
            pipeline.explain(guided_run, figure="distance", progress=False, **given)
