"""Losses, gradients and steps of the joint-embedding methods against what lightly 1.6.0 (MIT) gives on these tensors.

`benchmarks/golden_figures.py` makes the figures anew.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vesalius.losses.info_nce_loss import info_nce_loss
from vesalius.losses.negative_cosine_loss import negative_cosine_loss
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.losses.sinkhorn import sinkhorn
from vesalius.losses.swapped_prediction_loss import swapped_prediction_loss
from vesalius.methods.key_queue import KeyQueue
from vesalius.training.optimizers import OptimizerConfig, build_optimizer


def wave(shape: tuple[int, ...], rate: float) -> Tensor:
    """A tensor that needs no generator, the same in every version of torch."""
    count = math.prod(shape)
    return torch.sin(torch.arange(count, dtype=torch.float64) * rate + 0.3 * rate).float().reshape(shape)


def gradient_norms(loss: Tensor, *inputs: Tensor) -> list[float]:
    return [float(gradient.norm()) for gradient in torch.autograd.grad(loss, inputs)]


def test_simclr() -> None:
    one, two = wave((6, 8), 1.1).requires_grad_(), wave((6, 8), 0.7).requires_grad_()
    loss = nt_xent_loss(one, two, temperature=0.1)
    assert loss.item() == pytest.approx(7.766366481781006, rel=1e-5)
    assert gradient_norms(loss, one, two) == pytest.approx([2.036740779876709, 2.2656257152557373], rel=1e-5)


def test_simsiam_and_byol() -> None:
    one, two = wave((6, 8), 1.1).requires_grad_(), wave((6, 8), 0.7).requires_grad_()
    loss = negative_cosine_loss(torch.stack([one, two]), torch.stack([wave((6, 8), 0.9), wave((6, 8), 1.3)]))
    assert loss.item() == pytest.approx(0.018884163349866867, rel=1e-5)
    assert gradient_norms(loss, one, two) == pytest.approx([0.0779368132352829, 0.0779518261551857], rel=1e-5)


def test_moco_with_its_queue() -> None:
    query, queue = wave((6, 8), 1.1).requires_grad_(), functional.normalize(wave((16, 8), 0.37), dim=-1)
    loss = info_nce_loss(query, wave((6, 8), 0.9), queue=queue, temperature=0.2)
    assert loss.item() == pytest.approx(3.354001045227051, rel=1e-5)
    assert gradient_norms(loss, query) == pytest.approx([0.6598678231239319], rel=1e-5)


def test_the_queue_forgets_the_oldest_keys_first() -> None:
    """Two batches of six in a ring of ten: the first two rows are the second batch's last ones. Figures by hand."""
    queue = KeyQueue(10, 2)
    angles = torch.arange(12) * 0.5
    keys = 3.0 * torch.stack([angles.cos(), angles.sin()], dim=1)
    for batch in keys.split(6):
        queue.put(batch)
    wanted = [5.0, 5.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    found = torch.atan2(queue.keys[:, 1], queue.keys[:, 0]) % (2 * torch.pi)
    assert found.tolist() == pytest.approx(wanted, abs=1e-5)
    assert queue.keys.norm(dim=1).tolist() == pytest.approx([1.0] * 10, abs=1e-6)
    assert (int(queue.place), queue.filled) == (2, True)


def test_moco_v3_among_the_keys_of_the_batch() -> None:
    """Figures of the formula in double precision."""
    query = wave((6, 8), 1.1).requires_grad_()
    loss = info_nce_loss(query, wave((6, 8), 0.9), temperature=0.2)
    assert loss.item() == pytest.approx(4.699225532030556, rel=1e-5)
    assert gradient_norms(loss, query) == pytest.approx([0.8630339653601481], rel=1e-5)


CODES = [
    [2.3717e-02, 6.1639e-01, 2.6249e-14, 2.8124e-15, 3.5989e-01],
    [1.2095e-02, 8.5544e-16, 3.5524e-09, 9.8791e-01, 4.8617e-09],
    [3.6230e-15, 5.7703e-05, 9.9994e-01, 5.0678e-15, 4.3265e-15],
    [5.7948e-01, 2.5904e-04, 3.3737e-17, 1.5755e-13, 4.2027e-01],
    [3.1220e-05, 1.2851e-15, 1.6633e-05, 9.9995e-01, 1.3894e-11],
    [1.7035e-12, 7.3954e-01, 2.6046e-01, 7.8376e-16, 3.7656e-11],
]


def test_sinkhorn_codes() -> None:
    torch.testing.assert_close(sinkhorn(wave((6, 5), 1.7)), torch.tensor(CODES), rtol=0, atol=1e-5)


def test_swav_with_a_local_view() -> None:
    views = [wave((6, 5), rate).requires_grad_() for rate in (1.7, 1.2, 0.8)]
    codes = torch.stack([sinkhorn(view) for view in views[:2]])
    loss = swapped_prediction_loss(torch.stack(views), codes, temperature=0.1)
    assert loss.item() == pytest.approx(9.417285919189453, rel=1e-5)
    assert gradient_norms(loss, *views) == pytest.approx([1.1612470149, 1.1256377697, 2.0493381023], rel=1e-5)


@pytest.mark.parametrize("name", ["simclr", "moco", "moco-v3"])
def test_autocast_changes_no_figure(name: str) -> None:
    """bf16 would round a cosine near 1 to steps that are as large as what tells images apart."""
    query, key = 1 + 0.01 * wave((6, 8), 1.1), 1 + 0.01 * wave((6, 8), 0.9)
    queue = functional.normalize(1 + 0.01 * wave((16, 8), 0.37), dim=-1)

    def loss() -> Tensor:
        if name == "simclr":
            return nt_xent_loss(query, key, temperature=0.01)
        return info_nce_loss(query, key, queue=queue if name == "moco" else None, temperature=0.01)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss()
    assert inside.item() == pytest.approx(loss().item(), rel=1e-6)


def test_swav_with_its_queue() -> None:
    """The codes of a batch are made together with what the queue of its view holds."""
    views = [wave((6, 5), rate).requires_grad_() for rate in (1.7, 1.2, 0.8)]
    beside = [wave((10, 5), rate) for rate in (0.33, 0.51)]
    codes = [sinkhorn(torch.cat([view.detach(), held]))[:6] for view, held in zip(views, beside, strict=False)]
    loss = swapped_prediction_loss(torch.stack(views), torch.stack(codes), temperature=0.1)
    assert loss.item() == pytest.approx(7.923006057739258, rel=1e-5)
    assert gradient_norms(loss, *views) == pytest.approx([1.2081804276, 1.1463490725, 2.2081229687], rel=1e-5)


def test_lars_with_momentum_and_a_rate_that_changes() -> None:
    weight = nn.Parameter(wave((5, 8), 0.9))
    config = OptimizerConfig(name="lars", lr=0.3, weight_decay=1e-4, weight_decay_end=1e-4)
    optimizer = build_optimizer(config, [("weight", weight)])
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"] = 0.3 / (1 + step)
        weight.grad = wave((5, 8), 1.3 + 0.4 * step)
        optimizer.step()
    wanted = [0.2659223974, 0.9198403358, 0.8783761263, 0.1713253856, -0.6655685306]
    assert weight.flatten()[:5].tolist() == pytest.approx(wanted, rel=1e-5)
