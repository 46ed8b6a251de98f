"""A map of features in two dimensions, where near images look alike to the backbone."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float

from vesalius.errors import ConfigError, nearest

__all__ = ["MAPS", "check_map", "embedding_map", "map_made"]

MAPS = ("umap", "pca")
"""`umap`: McInnes et al. 2018 (arXiv 1802.03426), 15 neighbours, by cosine. `pca`: the two main directions."""

_NEIGHBOURS = 15


def check_map(how: str) -> None:
    """Refuse a map that is not known or whose package is missing, before any work.

    Raises:
        ConfigError: Either.
    """
    if how not in MAPS:
        raise ConfigError(f"no map '{how}'; maps: {', '.join(MAPS)}{nearest(how, MAPS)}")
    if how == "umap" and find_spec("umap") is None:
        raise ConfigError("the map needs umap-learn: pip install 'vesalius[explore]', or say --map pca")


def map_made(how: str, images: int) -> str:
    """Return the map that so many images get: too few for UMAP's neighbours are laid out by PCA."""
    return how if images > _NEIGHBOURS + 1 else "pca"


def embedding_map(
    features: Float[np.ndarray, "images dim"], *, how: str = "umap", seed: int = 0
) -> Float[np.ndarray, "images 2"]:
    """Lay features of length 1 out in two dimensions; the same seed gives the same map.

    Distances on a map of UMAP say little beyond which images are neighbours; PCA keeps the largest differences.

    Raises:
        ConfigError: See `check_map`.
    """
    check_map(how)
    features = np.asarray(features, dtype=np.float32)
    if map_made(how, len(features)) == "umap":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="n_jobs value|Tensorflow not installed")
            import umap

            mapper = umap.UMAP(n_neighbors=_NEIGHBOURS, metric="cosine", random_state=seed)
            return np.asarray(mapper.fit_transform(features), dtype=np.float32)
    centred = features - features.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(features), 2), dtype=np.float32)
    placed = centred @ directions[:2].T
    places[:, : placed.shape[1]] = placed
    return places
