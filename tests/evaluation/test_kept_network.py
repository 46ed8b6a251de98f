"""Networks that learned labels, kept: they say what was scored of images that they have never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from vesalius import pipeline
from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.normalise import to_input
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import Store, open_store
from vesalius.errors import ConfigError, RunError
from vesalius.evaluation import finetune_one
from vesalius.evaluation.kept_network import KeptNetwork, load_network
from vesalius.evaluation.segment_figures import figures_of

QUICK: dict[str, Any] = {"progress": False, "precision": "fp32", "device": "cpu", "bootstrap": 50, "seeds": 1}
SHORT = ("rounds=2", "round_steps=6", "batch_size=16", "warmup_steps=2")
CLASSIFY: dict[str, Any] = QUICK | {"task": "finetune", "label": "side", "folds": 2, "random_inits": 1}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone(BackboneConfig(name="test_resnet", image_size=32, in_chans=1, drop_path=0.0))
    save_backbone(backbone, tmp_path / "run" / "backbone", state=backbone.state_dict())
    return tmp_path / "run"


@torch.no_grad()
def logits(kept: KeptNetwork, store: Store) -> torch.Tensor:
    size = (kept.about.image_size,) * 2
    return kept.module(to_input(store.images[kept.rows.numpy()], kept.backbone, torch.device("cpu"), size))


def test_classifiers_say_what_was_scored(run: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the fits were there before without networks; a further call trains nothing."""
    plain = pipeline.evaluate(run, data=store.path, overrides=SHORT, **CLASSIFY)
    assert not list((run / "finetuned").glob("*.safetensors"))
    result = pipeline.evaluate(run, data=store.path, overrides=SHORT, keep_networks=True, **CLASSIFY)
    assert result.scores == plain.scores
    [folder] = (run / "evaluations").iterdir()
    predictions = pd.read_parquet(folder / "predictions.parquet")
    ids = store.manifest["image_id"]
    for fit in result.settings["fits"]:
        kept = load_network(run / "finetuned" / fit["network"])
        assert (kept.about.arm, kept.about.pair, kept.about.names) == (fit["arm"], fit["pair"], ("no", "yes"))
        assert kept.about.store == store.fingerprint
        own = predictions[(predictions.arm == fit["arm"]) & (predictions.fold == fit["pair"])].set_index("image_id")
        scores = logits(kept, store).softmax(1).double().numpy()
        np.testing.assert_allclose(scores[:, 1], own.loc[ids.iloc[kept.rows.numpy()], "score_yes"], atol=1e-5)
        assert len(own) == len(kept.rows) == 60

    def never(*given: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(finetune_one, "fit_classifier", never)
    assert pipeline.evaluate(run, data=store.path, overrides=SHORT, keep_networks=True, **CLASSIFY) == result


def test_of_a_search_the_best_network_stays(run: Path, store: Store) -> None:
    how = CLASSIFY | {"overrides": (*SHORT, "grid=[0.0001, 0.001]"), "search": "lr", "keep_networks": True}
    result = pipeline.evaluate(run, data=store.path, cache=run.parent / "cache", **how)
    fits = result.settings["fits"]
    named = {fit["network"] for fit in fits}
    assert {path.name for path in (run / "finetuned").glob("*.safetensors")} == named
    assert len(named) == 4
    assert len(list((run.parent / "cache" / "finetuned").glob("*.npz"))) == 8
    for fit in fits:
        assert load_network(run / "finetuned" / fit["network"]).about.arm == fit["arm"]


def test_networks_of_all_labels_in_their_first_draw_stay(run: Path, store: Store) -> None:
    how = CLASSIFY | {"overrides": SHORT, "fractions": (0.5, 1.0), "seeds": 2}
    result = pipeline.evaluate(run, data=store.path, keep_networks=True, **how)
    kept = [(fit["fraction"], fit["seed"]) for fit in result.settings["fits"] if "network" in fit]
    assert kept == [(1.0, 0)] * 4  # arms and folds
    assert len(result.settings["fits"]) == 16


def test_segmentation_networks_draw_what_was_scored(run: Path, phantom_store: Path) -> None:
    how = QUICK | {"protocol": "folds", "folds": 2, "decoder": "fpn", "parts": ["heart"]}
    how["overrides"] = ["rounds=1", "round_steps=6", "batch_size=8", "lr=0.01"]
    [heart] = pipeline.evaluate_segment(run, data=phantom_store, keep_networks=True, **how)
    store, found = open_store(phantom_store), []
    value = store.info["arrays"]["masks"]["parts"].index("heart")
    patients = store.manifest["patient"].to_numpy()
    for fit in heart.settings["fits"]:
        if fit["arm"] == "pretrained":
            kept = load_network(run / "segmented" / fit["network"])
            assert (kept.about.task, kept.about.names, kept.about.decoder) == ("segment", ("heart",), "fpn")
            rows = kept.rows.numpy()
            full = torch.nn.functional.interpolate(
                logits(kept, store), size=(store.size, store.size), mode="bilinear", align_corners=False
            )
            drawn, true = full.argmax(1).numpy() == 1, store.masks[rows] == value
            for patient in np.unique(patients[rows]):
                own = patients[rows] == patient
                counts = [(drawn & true)[own].sum(), drawn[own].sum(), true[own].sum(), 0, 0]
                found.append(figures_of(np.array(counts, dtype=float)[None, None, None], "px")["dice"].item())
    score = next(one for one in heart.scores if (one.arm, one.metric) == ("pretrained", "dice"))
    assert np.nanmean(found) == pytest.approx(score.value, abs=1e-6)


def test_what_is_no_kept_network(run: Path, store: Store, phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no network that an evaluation kept .* evaluate again with --keep-networks"):
        load_network(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    for name in ("cut", "foreign"):
        with pytest.raises(RunError, match=rf"{name}\.safetensors: no network that an evaluation kept"):
            load_network(tmp_path / f"{name}.safetensors")
    with pytest.raises(ConfigError, match="task knn trains no network"):
        pipeline.evaluate(run, data=store.path, keep_networks=True, **CLASSIFY | {"task": "knn"})
    with pytest.raises(ConfigError, match="decoder linear trains no network"):
        pipeline.evaluate_segment(run, data=phantom_store, keep_networks=True, **QUICK)
