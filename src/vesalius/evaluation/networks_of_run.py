"""The networks that an evaluation of a run kept: one a fold, so that every image has one that has never seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.backbones.normalise import to_input
from vesalius.data.store import Store
from vesalius.errors import ConfigError, RunError
from vesalius.evaluation.amounts import largest_of
from vesalius.evaluation.kept_network import KeptNetwork, NetworkAbout, about_network, load_network
from vesalius.evaluation.write_result import read_result

__all__ = ["RunNetworks", "evaluations_with_networks", "open_networks"]

_FOLDER = {"finetune": "finetuned", "segment": "segmented"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNetworks:
    """The networks of one arm of an evaluation.

    Attributes:
        title: Run and arm, for captions.
        networks: One a pair of sides.
        files: Their names, which tell all that shaped them.
        device: Where they compute.
    """

    title: str
    networks: tuple[KeptNetwork, ...]
    files: tuple[str, ...]
    device: torch.device

    @property
    def about(self) -> NetworkAbout:
        """What is told of the first one; the others differ in their pair alone."""
        return self.networks[0].about

    @property
    def rows(self) -> Int[np.ndarray, " images"]:
        """All images that one of them has never seen."""
        return np.concatenate([one.rows.numpy() for one in self.networks])

    def never_saw(self, row: int) -> KeptNetwork:
        """Return the network that has never seen an image.

        Raises:
            RunError: Each has learned from it, or was chosen by it.
        """
        for one in self.networks:
            if row in one.rows:
                return one
        raise RunError(
            f"{self.title}: no network that has not seen the image of row {row}; compare evaluations of the same sides "
            "(the same store, --protocol, --folds and --seed)"
        )

    def pixels(self, network: KeptNetwork, store: Store, rows: Int[np.ndarray, " images"]) -> Tensor:
        """Return images as a network's input, on the device."""
        size = (network.about.image_size, network.about.image_size)
        return to_input(store.images[rows], network.backbone, self.device, size)

    @torch.no_grad()
    def logits(self, network: KeptNetwork, inputs: Tensor) -> Float[Tensor, "images columns ..."]:
        """Return logits of classes, or of background and parts pixel by pixel, as they were scored, on the CPU."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=network.about.bf16):
            found: Tensor = network.module(inputs)
        return found.float().cpu()

    def probabilities(self, network: KeptNetwork, inputs: Tensor) -> Float[Tensor, "images columns ..."]:
        """Return probabilities of classes, or of background and parts pixel by pixel, on the CPU."""
        logits = self.logits(network, inputs)
        return logits.sigmoid() if network.about.kind == "multilabel" else logits.softmax(1)


def open_networks(run: Path, which: str, *, name: str, arm: str, store: Store, device: torch.device) -> RunNetworks:
    """Open the networks of an evaluation: of its largest amount of labels, first draw.

    Args:
        run: The run folder.
        which: A folder of `RUN/evaluations`, or `finetune` or `segment` where one evaluation of it kept networks.
        name: Of the run, beside others.
        arm: `pretrained` or `random_init`.
        store: The store that they were scored on.
        device: Where they shall compute.

    Raises:
        RunError: No such evaluation, none that kept networks, or networks that are gone.
        ConfigError: Several evaluations that are meant alike, or of another store.
    """
    found = _kept(run, which, arm)
    if not found:
        raise RunError(
            f"{run}: no evaluation '{which}' that kept networks of arm '{arm}'; run `vesalius evaluate {run} --task "
            "finetune (or segment --decoder fpn) --keep-networks` first"
        )
    if len(found) > 1:
        names = ", ".join(sorted(names[0] for names in found.values()))
        raise ConfigError(f"{run}: several evaluations kept networks; name one of them in place of '{which}': {names}")
    [((task, files), _)] = found.items()
    networks = tuple(load_network(run / _FOLDER[task] / name) for name in files)
    if networks[0].about.store != store.fingerprint:
        raise ConfigError(
            f"{store.path}: not the store that the networks of '{which}' were scored on (fingerprint "
            f"{networks[0].about.store[:8]}, this one has {store.fingerprint[:8]})"
        )
    if networks[0].about.masks and networks[0].about.masks != store.mask_fingerprint:
        raise ConfigError(f"{store.path}: its masks are not those that the networks of '{which}' were scored on")
    for one in networks:
        one.module.to(device)
    title = name + ("" if arm == "pretrained" else f", {arm.replace('_', ' ')}")
    return RunNetworks(title=title, networks=networks, files=files, device=device)


def evaluations_with_networks(
    run: Path, store: Store, *, arm: str = "pretrained"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return one evaluation for every set of networks that an arm's evaluations of a store kept: parts share theirs.

    Returns:
        The evaluations; and of those whose networks are gone or damaged, what is wrong.
    """
    found: list[str] = []
    wrong: list[str] = []
    for task, folder in _FOLDER.items():
        for (_, files), names in _kept(run, task, arm, wrong).items():
            try:
                about, *_ = (about_network(run / folder / file) for file in files)
            except RunError as error:
                wrong.append(str(error))
                continue
            if about.store == store.fingerprint and about.masks in ("", store.mask_fingerprint):
                found.append(names[0])
    return tuple(sorted(found)), tuple(dict.fromkeys(wrong))


def _kept(
    run: Path, which: str, arm: str, wrong: list[str] | None = None
) -> Mapping[tuple[str, tuple[str, ...]], Sequence[str]]:
    """Return task and files of networks, with the evaluations that name them: results of parts share theirs.

    A result that cannot be read is refused, or told in `wrong` where that is given.
    """
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    folders = sorted((run / "evaluations").glob("*/result.json")) if (run / "evaluations").is_dir() else []
    for folder in (path.parent for path in folders):
        try:
            result = read_result(folder)
        except RunError as error:
            if wrong is None:
                raise
            wrong.append(str(error))
            continue
        if which not in (folder.name, result.task) or result.task not in _FOLDER:
            continue
        fits = [one for one in result.settings.get("fits", ()) if one["arm"] == arm and _is_name(one.get("network"))]
        if fits:
            largest = largest_of(one["fraction"] for one in fits)
            chosen = [one for one in fits if one["fraction"] == largest and one["seed"] == 0]
            files = tuple(one["network"] for one in sorted(chosen, key=lambda it: it["pair"]))
            found.setdefault((result.task, files), []).append(folder.name)
    return found


def _is_name(value: object) -> bool:
    """Say whether a result names a file beside the others; none may lead elsewhere."""
    return isinstance(value, str) and Path(value).name == value
