"""Memory kept for the next step: taken by glibc, given back afterwards."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from vesalius.training.allocator import memory_kept

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")

MEASURE = """
import re, resource
from pathlib import Path
import torch
from vesalius.training.allocator import memory_kept

def resident():
    return int(re.findall(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[0]) // 1024

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

start = resident()
torch.ones(1)
outside = faults()
with memory_kept():
    faults()
    inside, held = faults(), resident() - start
print(outside, inside, held, resident() - start)
"""


@glibc
def test_pages_are_kept_inside_and_returned_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    outside, inside, held, left = (int(figure) for figure in done.stdout.split())
    assert inside < 0.05 * outside
    assert held > 60
    assert left < 20


@glibc
def test_glibc_takes_it_and_an_error_goes_through() -> None:
    with memory_kept() as taken:
        assert taken
    with pytest.raises(KeyError), memory_kept():
        raise KeyError


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with memory_kept() as taken:
        assert not taken
