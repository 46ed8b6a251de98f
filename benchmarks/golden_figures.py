"""The figures of `tests/golden/test_joint_embedding_golden.py`: what lightly (MIT) and ours give on the same tensors.

Losses and the norms of their gradients, Sinkhorn's codes with and without a queue, and parameters after LARS with
momentum and a rate that changes. Ends with an error where a figure differs by more than 1e-5 of it.

    PYTHONPATH=<where lightly is> python benchmarks/golden_figures.py
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator

import torch
from step_throughput import MISSING
from torch import Tensor, nn
from torch.nn import functional

from vesalius.losses.info_nce_loss import info_nce_loss
from vesalius.losses.negative_cosine_loss import negative_cosine_loss
from vesalius.losses.nt_xent_loss import nt_xent_loss
from vesalius.losses.sinkhorn import sinkhorn
from vesalius.losses.swapped_prediction_loss import swapped_prediction_loss
from vesalius.training.optimizers import OptimizerConfig, build_optimizer

TOLERANCE = 1e-5
Figures = dict[str, Tensor]


def wave(shape: tuple[int, ...], rate: float) -> Tensor:
    """A tensor that needs no generator, the same in every version of torch."""
    count = math.prod(shape)
    return torch.sin(torch.arange(count, dtype=torch.float64) * rate + 0.3 * rate).float().reshape(shape)


def of_loss(loss: Callable[..., Tensor], *inputs: Tensor) -> Figures:
    """A loss and the norms of its gradients."""
    own = [one.clone().requires_grad_() for one in inputs]
    value = loss(*own)
    norms = torch.stack([one.norm() for one in torch.autograd.grad(value, own)])
    return {"loss": value.detach(), "gradient norms": norms}


def both_sides() -> Iterator[tuple[str, Figures, Figures]]:
    """Yield what is compared, lightly's figures and ours."""
    from lightly.loss import NegativeCosineSimilarity, NTXentLoss, SwaVLoss
    from lightly.loss.swav_loss import sinkhorn as their_sinkhorn

    one, two, three, four = (wave((6, 8), rate) for rate in (1.1, 0.7, 0.9, 1.3))
    yield (
        "SimCLR",
        of_loss(NTXentLoss(0.1), one, two),
        of_loss(lambda a, b: nt_xent_loss(a, b, temperature=0.1), one, two),
    )

    cosine = NegativeCosineSimilarity()
    yield (
        "SimSiam, BYOL",
        of_loss(lambda a, b: 0.5 * (cosine(a, four) + cosine(b, three)), one, two),
        of_loss(lambda a, b: negative_cosine_loss(torch.stack([a, b]), torch.stack([three, four])), one, two),
    )

    queue = functional.normalize(wave((16, 8), 0.37), dim=-1)
    theirs = NTXentLoss(0.2, memory_bank_size=(16, 8))
    theirs.memory_bank.bank = queue.clone()
    theirs.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)
    yield (
        "MoCo",
        of_loss(lambda a: theirs(a, three), one),
        of_loss(lambda a: info_nce_loss(a, three, queue=queue, temperature=0.2), one),
    )

    scores = wave((6, 5), 1.7)
    yield "Sinkhorn", {"codes": their_sinkhorn(scores)}, {"codes": sinkhorn(scores)}
    views, held = [wave((6, 5), rate) for rate in (1.7, 1.2, 0.8)], [wave((10, 5), rate) for rate in (0.33, 0.51)]
    yield "SwAV", of_loss(_their_swav(SwaVLoss(0.1)), *views), of_loss(_our_swav(), *views)
    yield (
        "SwAV with a queue",
        of_loss(_their_swav(SwaVLoss(0.1), held), *views),
        of_loss(_our_swav(held), *views),
    )
    yield "LARS", {"parameters": lars(_their_lars)}, {"parameters": lars(_our_lars)}


def _their_swav(loss: nn.Module, held: list[Tensor] | None = None) -> Callable[..., Tensor]:
    return lambda *views: loss(list(views[:2]), list(views[2:]), held)


def _our_swav(held: list[Tensor] | None = None) -> Callable[..., Tensor]:
    def loss(*views: Tensor) -> Tensor:
        beside = held or [view.new_empty(0, view.shape[1]) for view in views[:2]]
        codes = [
            sinkhorn(torch.cat([view.detach(), one]))[: len(view)] for view, one in zip(views, beside, strict=False)
        ]
        return swapped_prediction_loss(torch.stack(views), torch.stack(codes), temperature=0.1)

    return loss


def lars(build: Callable[[nn.Module], torch.optim.Optimizer]) -> Tensor:
    """A linear layer's weights after six steps, whose rate falls and whose gradients turn."""
    layer = nn.Linear(8, 5, bias=False)
    with torch.no_grad():
        layer.weight.copy_(wave((5, 8), 0.9))
    optimizer = build(layer)
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"] = 0.3 / (1 + step)
        layer.weight.grad = wave((5, 8), 1.3 + 0.4 * step)
        optimizer.step()
    return layer.weight.detach()


def _their_lars(layer: nn.Module) -> torch.optim.Optimizer:
    from lightly.utils.lars import LARS

    return LARS(layer.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-4)


def _our_lars(layer: nn.Module) -> torch.optim.Optimizer:
    config = OptimizerConfig(name="lars", lr=0.3, weight_decay=1e-4, weight_decay_end=1e-4)
    return build_optimizer(config, list(layer.named_parameters()))


def main() -> None:
    if importlib.util.find_spec("lightly") is None:
        raise SystemExit(MISSING)
    warnings.filterwarnings("ignore")
    print(f"lightly {importlib.metadata.version('lightly')}, torch {torch.__version__}")
    apart = []
    for name, theirs, ours in both_sides():
        for figure, value in theirs.items():
            difference = float((ours[figure] - value).abs().max() / value.abs().max())
            shown = value.flatten()[:5].double().tolist()
            print(f"{name}, {figure}: {shown}{' ...' if value.numel() > 5 else ''}; ours differ by {difference:.1e}")
            apart += [f"{name}, {figure}"] if difference > TOLERANCE else []
    if apart:
        raise SystemExit(f"apart by more than {TOLERANCE}: {'; '.join(apart)}")


if __name__ == "__main__":
    main()
