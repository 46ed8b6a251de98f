"""elastix as a backend: the same deformation comes back in the same units, and it is told how to be installed."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from torch.nn import functional

from vesalius.errors import ConfigError
from vesalius.registration.deformation import warp
from vesalius.registration.elastix import ElastixOptions, ElastixRegistration

SIZE = 96


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A smooth picture, the picture seen through a known affine, and the true coordinates."""
    rough = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    template = functional.interpolate(rough, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)
    theta = torch.tensor([[[0.95, 0.03, 0.05], [-0.03, 1.04, -0.04]]])
    grid = functional.affine_grid(theta, [1, 1, SIZE, SIZE], align_corners=False)
    places = (0.5 * (grid + 1)).permute(0, 3, 1, 2)
    return warp(template, places), template, places


@pytest.mark.parametrize("maps", ["tuned", "default"])
def test_finds_a_known_affine_in_the_units_of_the_other_backend(
    pair: tuple[torch.Tensor, torch.Tensor, torch.Tensor], maps: Any
) -> None:
    pytest.importorskip("itk", reason="itk-elastix is not installed (the extra 'registration')")
    image, template, places = pair
    found = ElastixRegistration(ElastixOptions(maps=maps, spacing=32)).register(image, template)
    inner = slice(8, -8)
    error = (found.coordinates - places)[..., inner, inner].norm(dim=1).mean() * SIZE
    assert error < 1, "more than a pixel off"
    assert float(found.similarity) > 0.97


def test_without_itk_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "itk":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"vesalius\[registration\]"):
        ElastixRegistration()
