"""Tokens of a grid in square windows, and back."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["attend_in_windows", "join_windows", "split_windows"]


def split_windows(
    tokens: Float[Tensor, "batch tokens dim"], grid: tuple[int, int], side: int
) -> Float[Tensor, "windows inside dim"]:
    """Cut a grid of (rows, columns) into windows of `side` x `side`, zeros at the bottom and right where it ends early.

    Windows of an image follow one another, row by row; so do the tokens of a window.
    """
    rows, columns = grid
    batch, _, dim = tokens.shape
    maps = tokens.reshape(batch, rows, columns, dim)
    maps = functional.pad(maps, (0, 0, 0, -columns % side, 0, -rows % side))
    cut = maps.reshape(batch, -(-rows // side), side, -(-columns // side), side, dim).transpose(2, 3)
    return cut.reshape(-1, side * side, dim)


def join_windows(
    windows: Float[Tensor, "windows inside dim"], grid: tuple[int, int], side: int
) -> Float[Tensor, "batch tokens dim"]:
    """Undo `split_windows` and leave the padding out."""
    rows, columns = grid
    down, across = -(-rows // side), -(-columns // side)
    cut = windows.reshape(-1, down, across, side, side, windows.shape[2]).transpose(2, 3)
    maps = cut.reshape(len(cut), down * side, across * side, windows.shape[2])
    return maps[:, :rows, :columns].flatten(1, 2)


def attend_in_windows(
    attention: nn.Module, tokens: Float[Tensor, "batch tokens dim"], grid: tuple[int, int], window: int | None
) -> Float[Tensor, "batch tokens out"]:
    """Let tokens attend within their window of the grid; to all where `window` is None."""
    if window is None:
        out: Tensor = attention(tokens)
        return out
    return join_windows(attention(split_windows(tokens, grid, window)), grid, window)
