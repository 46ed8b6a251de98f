"""What guidance trained beside the backbone, kept with the run: the head that tells places."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from vesalius.atomic import replacing
from vesalius.errors import KnowledgeError
from vesalius.guidance.base import Guidance
from vesalius.records.features import Features

__all__ = ["PlacesHead", "read_places_head", "save_heads"]

_FILE = "model.safetensors"
_PLACES = "coordinates."


class PlacesHead(nn.Module):
    """One linear layer from a patch token to its place in the template; see `vesalius.guidance.coordinates`.

    Inner tokens are brought to mean 0 and variance 1 first, as the backbone's last normalisation does with the others.
    """

    def __init__(self, dim: int, *, inner: bool = False) -> None:
        """Build it for tokens of `dim`; it starts at the template's centre.

        Args:
            dim: Width of the tokens.
            inner: It reads `Features.inner` in place of `Features.patches`.
        """
        super().__init__()
        self.register_buffer("inner", torch.tensor(inner))
        self.reads_inner = inner
        self.linear = nn.Linear(dim, 2)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.constant_(self.linear.bias, 0.5)

    def forward(self, features: Features) -> Float[Tensor, "batch tokens 2"]:
        """Predict (x, y) of every patch's centre in the template, as shares of its width and height, in float32."""
        tokens = features.inner if self.reads_inner else features.patches
        assert tokens is not None  # noqa: S101 (whoever made the features asked for them)
        with torch.autocast(tokens.device.type, enabled=False):
            wide = tokens.float()
            if self.reads_inner:
                wide = functional.layer_norm(wide, wide.shape[-1:])
            places: Tensor = self.linear(wide)
        return places


def save_heads(guidance: Guidance, folder: Path) -> None:
    """Write what the guidance trained; nothing where it trained nothing of its own."""
    tensors = {
        name: (value.detach().float() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in guidance.kept_tensors()
    }
    if tensors:
        with replacing(folder / _FILE) as partial:
            safetensors.torch.save_file(tensors, partial)


def read_places_head(folder: Path) -> PlacesHead:
    """Read the head of a run guided by coordinates, in evaluation mode.

    Raises:
        KnowledgeError: The run was not guided by coordinates, or the file is damaged.
    """
    try:
        tensors = safetensors.torch.load_file(folder / _FILE)
        own = {name.removeprefix(_PLACES): one for name, one in tensors.items() if name.startswith(_PLACES)}
        head = PlacesHead(int(own["linear.weight"].shape[1]), inner=bool(own["inner"]))
        head.load_state_dict(own)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise KnowledgeError(
            f"{folder}: holds no head that tells places ({error}); train with guidance.coordinates"
        ) from error
    return head.eval()
