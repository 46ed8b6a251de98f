"""The controlled temperature reaches its entropy whatever the scale of the logits, and survives a checkpoint."""

from __future__ import annotations

import math

import pytest
import torch

from vesalius.methods.entropy_control import EntropyControl


def share(logits: torch.Tensor, temperature: torch.Tensor) -> float:
    probabilities = (logits / temperature).softmax(-1)
    return float(torch.special.entr(probabilities).sum(-1).mean() / math.log(logits.shape[-1]))


@pytest.mark.parametrize("scale", [0.003, 0.03, 0.3])
def test_holds_the_entropy_whatever_the_scale(scale: float) -> None:
    control = EntropyControl(256, share=0.5, start=0.04)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        logits = scale * torch.randn(2, 16, 256, generator=generator)
        control.adjust(logits)
    assert share(logits, control.temperature) == pytest.approx(0.5, abs=0.05)


def test_follows_logits_that_shrink() -> None:
    control = EntropyControl(256, share=0.5, start=0.04)
    generator = torch.Generator().manual_seed(0)
    for step in range(200):
        logits = 0.3 * 0.98**step * torch.randn(2, 16, 256, generator=generator)
        control.adjust(logits)
    assert share(logits, control.temperature) == pytest.approx(0.5, abs=0.08)


def test_state_is_kept() -> None:
    control, again = (EntropyControl(64, share=0.4, start=start) for start in (0.04, 0.1))
    for _ in range(8):
        control.adjust(torch.randn(2, 4, 64))
    again.load_state_dict(control.state_dict())
    logits = torch.randn(2, 4, 64)
    torch.testing.assert_close(control.adjust(logits), again.adjust(logits))


@pytest.mark.parametrize("bad", [0.0, 1.0, -1.0])
def test_impossible_share_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        EntropyControl(64, share=bad, start=0.04)
