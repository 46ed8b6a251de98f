"""Training on labels in rounds: the rate falls where validation saturates, the best round is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from vesalius.errors import EvaluationError
from vesalius.evaluation.kept_arrays import MadeElsewhereError
from vesalius.evaluation.round_options import RoundOptions
from vesalius.schedules import Progress, warmup_cosine

__all__ = [
    "ChosenRates",
    "Fit",
    "best_of_rates",
    "build_optimizer",
    "longest_steps",
    "optimizer_step",
    "train_in_rounds",
]

_Places = npt.NDArray[np.int64]
_Kept = TypeVar("_Kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How one training went.

    Attributes:
        lr: Its peak learning rate.
        value: What rounds are chosen by, on the images held out, in the best round.
        loss: Their loss in that round.
        best_round: From 1.
        rounds: How many were trained.
    """

    lr: float
    value: float
    loss: float
    best_round: int
    rounds: int

    @property
    def goodness(self) -> tuple[float, float]:
        """What fits are compared by: the metric, and where that is level the loss."""
        return (self.value if math.isfinite(self.value) else -math.inf, -self.loss)


def longest_steps(images: int, options: RoundOptions) -> int:
    """Return how many steps a training on so many images has at most."""
    return options.rounds * _steps_a_round(images, options)


def train_in_rounds(
    network: nn.Module,
    images: int,
    options: RoundOptions,
    *,
    lr: float,
    seed: int,
    take: Callable[[_Places, int, float], None],
    validate: Callable[[], tuple[float, float]],
    advance: Callable[[int], None] = lambda _: None,
) -> Fit:
    """Train a network and leave it with the weights of its best round, in evaluation mode.

    Args:
        network: Trained in place by `take`.
        images: How many there are to learn from.
        options: How.
        lr: Peak learning rate.
        seed: Of the order of the images.
        take: Takes one step: places of its images, its number, its rate.
        validate: Returns what rounds are chosen by, the larger the better, and the loss.
        advance: Told the steps that are done; those of rounds that early stopping spared are told at the end.
    """
    a_round, longest = _steps_a_round(images, options), longest_steps(images, options)
    warmup = min(options.warmup_steps, longest // 10)
    scale, waited = 1.0, 0
    best: Fit | None = None
    kept: dict[str, Tensor] = {}
    for number in range(options.rounds):
        for step in range(number * a_round, (number + 1) * a_round):
            now = Progress(step=step, total_steps=longest, steps_per_epoch=a_round)
            if options.schedule == "cosine":
                rate = warmup_cosine(lr, min(lr, options.min_lr), now, warmup)
            else:
                rate = lr * scale * min(1.0, (step + 1) / max(1, warmup))
            take(_batch(images, options.batch_size, seed, step), step, rate)
        advance(a_round)
        value, loss = validate()
        fit = Fit(lr=lr, value=value, loss=loss, best_round=number + 1, rounds=number + 1)
        if best is None or fit.goodness > best.goodness:
            best, waited = fit, 0
            kept = {name: one.detach().clone() for name, one in network.state_dict().items()}
            continue
        waited += 1
        if waited >= options.patience and options.schedule == "plateau":
            scale, waited = scale / 10, 0
            if lr * scale < options.min_lr * (1 - 1e-9):
                break
    advance(longest - (number + 1) * a_round)
    network.load_state_dict(kept)
    network.eval()
    assert best is not None  # noqa: S101 (there is a first round)
    return Fit(lr=lr, value=best.value, loss=best.loss, best_round=best.best_round, rounds=number + 1)


def build_optimizer(network: nn.Module, backbone: nn.Module, options: RoundOptions) -> Optimizer:
    """Build the optimizer of what learns in a network and its backbone; its rate is set at every step."""
    inside = {id(one) for one in backbone.parameters()}
    groups = {False: 1.0, True: options.encoder_lr}  # by whether it is of the backbone
    learning: Any = [
        {"params": found, "share": share}
        for within, share in groups.items()
        if (found := [one for one in network.parameters() if one.requires_grad and (id(one) in inside) == within])
    ]
    if options.optimizer == "sgd":
        return SGD(learning, lr=0.0, momentum=0.9, weight_decay=options.weight_decay, fused=True)
    kind = Adam if options.optimizer == "adam" else AdamW
    return kind(learning, lr=0.0, weight_decay=options.weight_decay, fused=True)


def best_of_rates(rates: Sequence[float], fit: Callable[[float], tuple[Fit, _Kept]]) -> tuple[Fit, _Kept]:
    """Return the fit that did best on the images held out; a rate that diverges is none where others do not.

    Args:
        rates: To try.
        fit: Trains at one of them, and returns how it went with what came of it.

    Raises:
        EvaluationError: All of them diverge.
    """
    found, failed = [], None
    for lr in rates:
        try:
            found.append(fit(lr))
        except EvaluationError as error:
            failed = error
    if not found and failed is not None:
        raise failed
    return max(found, key=lambda it: it[0].goodness)


@dataclass(slots=True)
class ChosenRates:
    """Learning rates to try: all of them in the first draw of labels, in those after it the one that did best there.

    Attributes:
        rates: To try.
    """

    rates: Sequence[float]
    _best: dict[Hashable, float] = field(default_factory=dict)

    def of(self, sides: Hashable, *, first: bool, wait: bool) -> Sequence[float]:
        """Return the rates of a draw.

        Args:
            sides: What the rate is chosen by: the amount of labels and who is held out.
            first: Whether it is the first draw of these.
            wait: Try all rates where none is chosen yet.

        Raises:
            MadeElsewhereError: None is, since another process is at the first draw.
        """
        if sides in self._best:
            return (self._best[sides],)
        if not first and not wait and len(self.rates) > 1:
            raise MadeElsewhereError(sides)
        return self.rates

    def choose(self, sides: Hashable, lr: float) -> None:
        """Note which rate did best."""
        self._best[sides] = lr


def optimizer_step(optimizer: Optimizer, loss: Tensor, *, lr: float, task: str) -> None:
    """Go one step down a loss at a rate, or at a parameter group's `share` of it.

    Raises:
        EvaluationError: The loss is not finite; `task` says of what.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise EvaluationError(f"{task}: the loss is {value} at a learning rate of {lr:g}; try a smaller one")
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("share", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _batch(images: int, batch_size: int, seed: int, step: int) -> _Places:
    """Return the places of one step's images: every pass in another order, its ragged end left out."""
    size = min(batch_size, images)
    epoch, place = divmod(step, images // size)
    order = np.random.default_rng([seed, 2, epoch]).permutation(images)
    return order[place * size : (place + 1) * size]


def _steps_a_round(images: int, options: RoundOptions) -> int:
    return max(options.round_steps, images // min(options.batch_size, images))
