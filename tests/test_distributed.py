"""Collectives are the identity in one process and means in two; the launcher's words tell who is first."""

from __future__ import annotations

import multiprocessing
import socket

import pytest
import torch

from vesalius.distributed import all_reduce_mean, is_first_process, rank, world_size

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
