"""Collectives are the identity in one process and means in two; the launcher's words tell who is first."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from vesalius.distributed import (
    all_reduce_max,
    all_reduce_mean,
    gather_rows,
    is_first_process,
    own_rows,
    rank,
    world_size,
)

_CODE = """
import torch, torch.distributed as dist
from vesalius.distributed import all_reduce_mean, rank, world_size
dist.init_process_group("gloo", init_method="tcp://127.0.0.1:{port}", rank={rank}, world_size=2)
value = torch.tensor([1.0, 10.0]) * (rank() + 1)
mean = all_reduce_mean(value)
assert world_size() == 2 and rank() == {rank}
assert mean.tolist() == [1.5, 15.0], mean
assert value.tolist() == [1.0 * (rank() + 1), 10.0 * (rank() + 1)]  # its argument is left alone
dist.destroy_process_group()
"""


def test_identity_alone() -> None:
    value = torch.randn(3)
    assert all_reduce_mean(value) is value
    assert (rank(), world_size()) == (0, 1)


def test_mean_of_two_processes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    both = [context.Process(target=exec, args=(_CODE.format(port=port, rank=number), {})) for number in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(90)
    assert [process.exitcode for process in both] == [0, 0]


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"SLURM_PROCID": "3"}, False),
        ({"SLURM_PROCID": "0"}, True),
    ],
)
def test_who_is_first(monkeypatch, environment: dict[str, str], first: bool) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


def _loss(rows: torch.Tensor) -> torch.Tensor:
    return (rows @ rows.T).softmax(dim=-1).diagonal().log().sum()


def _one_of_two(rank: int, port: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    own = _whole()[rank::2].requires_grad_()
    gathered = gather_rows(own)
    _loss(gathered).backward()
    torch.save(
        {
            "rows": gathered.detach(),
            "gradient": own.grad,
            "places": own_rows(3),
            "largest": all_reduce_max(own.detach().max()),
        },
        Path(folder) / f"{rank}.pt",
    )
    dist.destroy_process_group()


def _whole() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def test_rows_of_two_processes_come_in_the_order_of_the_batch_with_their_gradients(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_one_of_two, args=(rank, port, str(tmp_path))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    whole = _whole().requires_grad_()
    _loss(whole).backward()
    for number in (0, 1):
        part = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert torch.equal(part["rows"], whole.detach())
        assert torch.equal(part["rows"][part["places"]], whole.detach()[number::2])
        # Each process's loss is the whole one: both add up to twice its gradient, which a trainer averages.
        torch.testing.assert_close(part["gradient"] / 2, whole.grad[number::2])
        assert part["largest"] == whole.max()


def test_one_process_keeps_what_it_has() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    assert gather_rows(rows) is rows
    assert own_rows(3).tolist() == [0, 1, 2]
