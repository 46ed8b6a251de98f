"""What every token attends to, in every block, with the places of the tokens: whole rows or windows of a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from timm.layers.attention import Attention
from timm.models.swin_transformer import SwinTransformerBlock, WindowAttention, window_partition
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from timm.models.swin_transformer_v2 import WindowAttention as WindowAttentionV2
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vesalius.backbones.explicit_attention import ExplicitAttention
from vesalius.backbones.timm_backbones import TimmBackbone
from vesalius.backbones.vitae_v2 import NormalCell, ReductionCell
from vesalius.backbones.windows import split_windows
from vesalius.devices import out_of_memory
from vesalius.errors import BackboneError

__all__ = ["BlockAttention", "block_attentions", "heads_of_last_block"]

_KINDS = (Attention, ExplicitAttention, WindowAttention, WindowAttentionV2)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAttention:
    """What the tokens of one block attend to.

    Attributes:
        name: Of its attention, as the model's modules are named.
        weights: Softmax over the keys, in float32 at least; prefix tokens ([CLS], registers, distillation) stand first.
        places: Of the tokens of every window, counted row by row over the grid; -1 is no place (prefix, padding).
        grid: Rows and columns of patches.
        patch_px: Side of one in pixels of the input.
    """

    name: str
    weights: Float[Tensor, "batch windows heads queries keys"]
    places: Int[Tensor, "windows tokens"]
    grid: tuple[int, int]
    patch_px: int


@torch.no_grad()
def block_attentions(
    backbone: TimmBackbone, x: Float[Tensor, "batch channels height width"], *, last: bool = False
) -> list[BlockAttention]:
    """Run a forward pass and return the attention of all blocks, or of the last one alone, as the model applies it.

    Blocks leave their fused kernels for this pass, since these do not give what they attend to; afterwards they have
    them back. Swin's and ViTAEv2's tokens attend within windows, whose places are given with them.

    Args:
        backbone: In evaluation mode.
        x: Normalised pixels.
        last: Only of the last block.

    Raises:
        BackboneError: A family without attention, or with one of another kind than softmax over tokens.
    """
    named = _attentions(backbone)
    if not named:
        raise BackboneError(f"{backbone.name} has no attention among its tokens; use a ViT, DeiT, Swin or ViTAEv2")
    seen: dict[str, Tensor] = {}
    grids: dict[str, tuple[int, int]] = {}
    with ExitStack() as stack:
        for name, module in named[-1:] if last else named:
            stack.enter_context(_weights_into(seen, name, module))
        for name, module in backbone.model.named_modules():
            if isinstance(module, SwinTransformerBlock | SwinTransformerV2Block | NormalCell | ReductionCell):
                stack.enter_context(_grid_into(grids, f"{name}.attn", module))
        try:
            backbone.model.forward_features(x)
        except (AssertionError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            raise BackboneError(f"{backbone.name} does not take input of {tuple(x.shape)}: {error}") from error
    return [_placed(backbone, name, weights, grids.get(name), x) for name, weights in seen.items()]


def heads_of_last_block(backbone: TimmBackbone) -> int:
    """Return how many heads `block_attentions` gives of the last block; 0 where there is no attention."""
    named = _attentions(backbone)
    return int(named[-1][1].num_heads) if named else 0


def _attentions(backbone: TimmBackbone) -> list[tuple[str, Any]]:
    return [(name, module) for name, module in backbone.model.named_modules() if isinstance(module, _KINDS)]


@contextmanager
def _weights_into(seen: dict[str, Tensor], name: str, module: Any) -> Iterator[None]:
    """Keep what a block multiplies its values by: what enters the dropout that stands between softmax and product."""
    fused, module.fused_attn = getattr(module, "fused_attn", False), False

    def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        weights = arguments[0]
        weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
        seen[name] = weights.reshape(-1, module.num_heads, *weights.shape[-2:])

    with _hooked(lambda: module.attn_drop.register_forward_pre_hook(keep)):
        try:
            yield
        finally:
            module.fused_attn = fused


@contextmanager
def _grid_into(grids: dict[str, tuple[int, int]], name: str, block: nn.Module) -> Iterator[None]:
    def keep(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor) -> None:
        shape = out.shape[2:] if isinstance(module, NormalCell | ReductionCell) else arguments[0].shape[1:3]
        grids[name] = (int(shape[0]), int(shape[1]))

    with _hooked(lambda: block.register_forward_hook(keep)):
        yield


@contextmanager
def _hooked(register: Callable[[], RemovableHandle]) -> Iterator[None]:
    handle = register()
    try:
        yield
    finally:
        handle.remove()


def _placed(
    backbone: TimmBackbone, name: str, weights: Tensor, grid: tuple[int, int] | None, x: Tensor
) -> BlockAttention:
    if grid is None:  # a plain ViT: one window of all tokens
        side = backbone.patch_size or 1
        grid = (-(-x.shape[2] // side), -(-x.shape[3] // side))
        if weights.shape[-1] - grid[0] * grid[1] != backbone.prefix_tokens:
            raise BackboneError(
                f"{backbone.name}: {name} attends among {weights.shape[-1]} tokens, which are not the patches of "
                f"{grid[0]} x {grid[1]}; use a ViT, DeiT, Swin or ViTAEv2"
            )
        prefix = torch.full((backbone.prefix_tokens,), -1)
        places = torch.cat([prefix, torch.arange(grid[0] * grid[1])])[None]
    else:
        side = int(backbone.model.feature_info[int(name.split(".")[1])]["reduction"])  # layers.0, stages.0, ...
        places = _window_places(backbone.model.get_submodule(name.removesuffix(".attn")), grid)
    return BlockAttention(
        name=name,
        weights=weights.reshape(-1, len(places), *weights.shape[1:]),
        places=places.to(weights.device),
        grid=grid,
        patch_px=side,
    )


def _window_places(block: Any, grid: tuple[int, int]) -> Int[Tensor, "windows tokens"]:
    """Send the places of a grid the way that its tokens go into windows; what is filled up has none."""
    counted = torch.arange(1, grid[0] * grid[1] + 1).reshape(1, *grid, 1)
    if isinstance(block, NormalCell | ReductionCell):
        if block.window is None:
            return counted.flatten()[None] - 1
        return split_windows(counted.flatten(1, 2).double(), grid, block.window)[..., 0].long() - 1
    (down, across), (height, width) = block.shift_size, block.window_size
    counted = torch.roll(counted, shifts=(-down, -across), dims=(1, 2))
    counted = nn.functional.pad(counted, (0, 0, 0, -grid[1] % width, 0, -grid[0] % height))
    return window_partition(counted, (height, width)).flatten(1) - 1
