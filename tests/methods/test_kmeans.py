"""k-means: what scikit-learn finds, sets apart from each other, vectors that are not there."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from vesalius.methods.kmeans import kmeans


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heaps(sets: int, count: int, clusters: int, *, spread: float = 0.02) -> tuple[torch.Tensor, torch.Tensor]:
    """Return vectors around `clusters` points, and which one each lies around."""
    centres = torch.randn(sets, clusters, 16, generator=generator(1))
    around = torch.randint(0, clusters, (sets, count), generator=generator(2))
    noise = spread * torch.randn(sets, count, 16, generator=generator(3))
    return centres[torch.arange(sets)[:, None], around] + noise, around


def test_heaps_are_found_in_every_set() -> None:
    vectors, around = heaps(3, 60, 5)
    found = kmeans(vectors, torch.ones(3, 60, dtype=torch.bool), 5, generator())
    for one in range(3):
        assert adjusted_rand_score(around[one].numpy(), found[one].numpy()) == 1.0


def test_as_close_as_scikit_learn() -> None:
    vectors = torch.randn(1, 400, 8, generator=generator(4))
    theirs = KMeans(12, n_init=1, random_state=0, max_iter=10).fit(vectors[0].numpy()).inertia_
    ours = []
    for seed in range(5):
        found = kmeans(vectors, torch.ones(1, 400, dtype=torch.bool), 12, generator(seed))[0]
        centres = torch.stack([vectors[0][found == one].mean(dim=0) for one in range(12)])
        ours.append(float((vectors[0] - centres[found]).square().sum()))
    assert sum(ours) / 5 < 1.03 * theirs


def test_vectors_that_are_alike_are_told_apart_under_autocast() -> None:
    vectors, around = heaps(1, 60, 5)
    alike = torch.nn.functional.normalize(10 + 0.2 * vectors, dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        found = kmeans(alike, torch.ones(1, 60, dtype=torch.bool), 5, generator())
    assert torch.equal(found, kmeans(alike, torch.ones(1, 60, dtype=torch.bool), 5, generator()))
    assert adjusted_rand_score(around[0].numpy(), found[0].numpy()) > 0.9


def test_absent_vectors_move_nothing() -> None:
    vectors, _ = heaps(1, 40, 4, spread=0.3)
    present = torch.ones(1, 50, dtype=torch.bool)
    present[:, 40:] = False
    far = torch.cat([vectors, 100 * torch.randn(1, 10, 16, generator=generator(5))], dim=1)
    assert torch.equal(
        kmeans(vectors, present[:, :40], 4, generator())[0], kmeans(far, present, 4, generator())[0, :40]
    )


def test_more_clusters_than_vectors() -> None:
    found = kmeans(torch.eye(3)[None], torch.ones(1, 3, dtype=torch.bool), 8, generator())
    assert len(set(found[0].tolist())) == 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), clusters=st.integers(2, 6))
def test_every_vector_is_with_its_nearest_mean(seed: int, clusters: int) -> None:
    vectors = torch.randn(1, 30, 4, generator=generator(seed))
    found = kmeans(vectors, torch.ones(1, 30, dtype=torch.bool), clusters, generator(seed), rounds=100)[0]
    means = {one: vectors[0][found == one].mean(dim=0) for one in found.unique().tolist()}
    for vector, one in zip(vectors[0], found.tolist(), strict=True):
        nearest = min(means, key=lambda other: float((vector - means[other]).square().sum()))
        assert torch.isclose((vector - means[one]).norm(), (vector - means[nearest]).norm(), atol=1e-5)
