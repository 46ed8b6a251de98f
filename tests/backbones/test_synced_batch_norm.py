"""Two processes normalise as one does that has both their batches: outputs, gradients and running statistics."""

from __future__ import annotations

import copy
import multiprocessing
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from vesalius.backbones.synced_batch_norm import SyncedBatchNorm, SyncedBatchNormAct, synchronise_batch_norm

KINDS = ("1d", "plain", "2d", "act")
SIZES = (3, 5)  # of the two processes


def _norm(kind: str) -> nn.Module:
    norm = {
        "1d": lambda: nn.BatchNorm1d(4),
        "plain": lambda: nn.BatchNorm1d(4, affine=False),
        "2d": lambda: nn.BatchNorm2d(4, momentum=None),
        "act": lambda: BatchNormAct2d(4),
    }[kind]()
    with torch.no_grad():
        for number, parameter in enumerate(norm.parameters()):
            parameter.copy_(torch.linspace(-1, 2, 4) + number)
    return norm


def _input(kind: str) -> torch.Tensor:
    shape = (8, 4) if kind in ("1d", "plain") else (8, 4, 3, 2)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 1


def _pass(norm: nn.Module, x: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    out = norm(x)
    (out * weights).sum().backward()
    grads = {f"grad {name}": parameter.grad for name, parameter in norm.named_parameters()}
    return {"out": out.detach(), "grad input": x.grad, **grads, **dict(norm.named_buffers())}


def _one_of_two(rank: int, port: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    rows = slice(0, SIZES[0]) if rank == 0 else slice(SIZES[0], None)
    for kind in KINDS:
        norm, x = _norm(kind), _input(kind)
        synchronise_batch_norm(norm)
        torch.save(_pass(norm, x[rows], torch.cos(x)[rows]), Path(folder) / f"{kind}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes make of their halves, every kind of norm in turn."""
    folder = tmp_path_factory.mktemp("halves")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_one_of_two, args=(rank, port, str(folder))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_two_equal_one(kind: str, halves: Path) -> None:
    x = _input(kind)
    wanted = _pass(_norm(kind), x, torch.cos(x))
    parts = [torch.load(halves / f"{kind}-{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in ("out", "grad input"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), wanted[name], rtol=1e-4, atol=1e-5)
    for name in wanted.keys() - {"out", "grad input"}:
        if name.startswith("grad"):  # a data-parallel trainer averages these
            torch.testing.assert_close(parts[0][name] + parts[1][name], wanted[name], rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(parts[0][name], wanted[name])
            torch.testing.assert_close(parts[1][name], wanted[name])


def test_one_process_and_evaluation_are_plain_batch_norm() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), BatchNormAct2d(4), nn.BatchNorm2d(4))
    synced = copy.deepcopy(plain)
    synchronise_batch_norm(synced)
    assert [type(layer) for layer in synced[1:]] == [SyncedBatchNormAct, SyncedBatchNorm]
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(synced(x), plain(x))
    assert torch.equal(synced.eval()(x), plain.eval()(x))
