"""Probes that look at a backbone while it trains, and leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.data.store import Store, open_store
from vesalius.errors import LabelError
from vesalius.evaluation.online import knn_probe, rank_probe
from vesalius.training.monitors import feature_rank, run_probes


@pytest.fixture(scope="module")
def store(phantom_store) -> Store:
    return open_store(phantom_store)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return create_backbone(BackboneConfig(name="test_vit", image_size=32, drop_path=0.2))


def test_rank_counts_directions() -> None:
    axes = torch.eye(5).repeat(4, 1)
    assert feature_rank(axes + 7.0) == pytest.approx(4.0, abs=1e-3)  # centred, five axes span four dimensions
    assert feature_rank(torch.ones(6, 3)) == pytest.approx(1.0, abs=1e-3)
    line = torch.linspace(-1, 1, 9)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    assert feature_rank(line) == pytest.approx(1.0, abs=1e-4)


def test_probes_of_a_phantom(store: Store, backbone) -> None:
    probes = [
        rank_probe(store, np.arange(40), precision="fp32"),
        knn_probe(store, "sex", images=64, precision="fp32"),
        knn_probe(store, "any_finding", images=50, precision="fp32"),
    ]
    values = run_probes(probes, backbone)
    assert list(values) == ["feature_rank", "knn_sex_auc", "knn_any_finding_auc"]
    assert 1.0 < values["feature_rank"] < 40.0
    assert all(0.0 <= values[name] <= 1.0 for name in list(values)[1:])
    assert run_probes(probes, backbone) == values


def test_knn_finds_what_the_features_hold(store: Store, backbone) -> None:
    """A backbone whose features are the label is scored 1; one whose features are noise near 0.5."""
    labels = store.manifest["label_sex"].to_numpy(dtype=float)
    at = {store.images[row].tobytes(): labels[row] for row in range(len(store))}

    class Knowing(nn.Module):
        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            value = torch.tensor([found[image.numpy().tobytes()] for image in x])
            return value[:, None, None].expand(-1, 5, 64) * 2 - 1

    # `to_input` at the stored size keeps pixels exact, so each input names its image.
    from vesalius.backbones.normalise import to_input

    inputs = to_input(store.images[np.arange(len(store))], backbone, torch.device("cpu"), (32, 32))
    found = {inputs[row].numpy().tobytes(): at[store.images[row].tobytes()] for row in range(len(store))}
    knowing = Knowing()
    backbone.model.forward_features = knowing.forward_features
    assert knn_probe(store, "sex", images=64, precision="fp32")(backbone)["knn_sex_auc"] == pytest.approx(1.0)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed(store: Store, backbone, training: bool) -> None:
    backbone.train(training)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    torch.manual_seed(5)
    numpy_state = np.random.get_state()[1].copy()
    state = torch.get_rng_state()
    run_probes(
        [rank_probe(store, np.arange(16), precision="auto"), knn_probe(store, "sex", images=64, precision="bf16")],
        backbone,
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert backbone.training is training
    assert all(part.training is training for part in backbone.modules())
    assert {str(p.device) for p in backbone.parameters()} == {"cpu"}
    assert all(value.equal(before[name]) for name, value in backbone.state_dict().items())
    # Whatever a probe left behind (caches made in inference mode) must not stop a gradient.
    backbone.train()(torch.randn(2, 1, 32, 32)).sum().backward()


def test_training_mode_comes_back_after_an_error(store: Store, backbone) -> None:
    def broken(_) -> dict[str, float]:
        assert not backbone.training
        raise RuntimeError("broken probe")

    backbone.train()
    with pytest.raises(RuntimeError, match="broken"):
        run_probes([broken], backbone)
    assert backbone.training


def test_swin_can_be_probed_between_steps(store: Store) -> None:
    """Swin keeps attention masks of the last input size; one made in inference mode must not enter a backward pass."""
    torch.manual_seed(0)
    swin = create_backbone(
        BackboneConfig(name="swin_tiny_patch4_window7_224", image_size=56, drop_path=0.0, in_chans=1)
    ).train()
    values = run_probes([rank_probe(store, np.arange(8), precision="fp32")], swin)
    assert values["feature_rank"] > 1.0
    swin(torch.randn(1, 1, 56, 56)).sum().backward()


def test_labels_that_cannot_serve_are_refused(store: Store) -> None:
    with pytest.raises(LabelError, match="pneumonia"):
        knn_probe(store, "pneumonia", images=64, precision="fp32")
