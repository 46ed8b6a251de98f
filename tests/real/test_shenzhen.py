"""The main job on real radiographs, small: prepare, pretrain, evaluate."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from vesalius import pipeline

pytestmark = pytest.mark.real


def test_prepare_pretrain_evaluate(real_data: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    summary = pipeline.prepare(real_data / "shenzhen", tmp_path / "store", size=96, progress=False)
    store = pipeline.open_store(tmp_path / "store")
    assert len(store) == summary.read > 300
    assert not summary.refused
    assert store.labels["tb"]["kind"] == "binary"
    run = pipeline.pretrain(
        "dino/small",
        data=f"{tmp_path / 'store'}@all",
        out=tmp_path / "run",
        overrides=[
            "views.options={size: 64, locals: 0}",
            "backbone={name: vit_tiny_patch16_224, image_size: 64}",
            "training={batch_size: 16, epochs: 1}",
            "monitors={images: 64, knn_images: 128}",
        ],
    )
    state = json.loads((run / "run.json").read_text())
    assert state["status"] == "done"
    assert state["steps"] == 20
    result = pipeline.evaluate(run, data=tmp_path / "store", task="knn", label="tb", seeds=1, random_inits=1)
    auc = {s.arm: s for s in result.scores if s.metric == "roc_auc" and s.fraction == 1.0}
    assert set(auc) >= {"pretrained", "random_init", "pixels"}
    for arm in ("pretrained", "random_init", "pixels"):
        assert 0.5 < auc[arm].low < auc[arm].value < auc[arm].high < 1.0
    assert time.monotonic() - start < 180  # 60 s on two free cores
