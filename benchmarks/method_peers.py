"""lightly's documented PyTorch examples of the methods that both packages have, at the widths of our recipes.

The structure of a step (what is computed from which view, when the slow copy follows) is that of the examples at
docs.lightly.ai/examples; transforms, heads and losses are the package's own classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["HEADS", "MOMENTUM", "PEERS", "PROTOTYPES", "QUEUE", "TEMPERATURE", "MethodCase", "peer_transform"]

Loss = Callable[[Sequence[Any]], Any]

PROTOTYPES = {"dino": 2048, "swav": 3000}
QUEUE, MOMENTUM, TEMPERATURE = 4096, 0.9, {"simclr": 0.1, "moco": 0.2}
HEADS = {
    "dino": f"2,048-2,048-256, {PROTOTYPES['dino']:,} prototypes",
    "byol": "4,096-256, predictor 4,096-256",
    "simsiam": "2,048-2,048-2,048, predictor 512-2,048",
    "simclr": "2,048-128",
    "moco": f"2,048-128, queue of {QUEUE:,}",
    "swav": f"2,048-128, {PROTOTYPES['swav']:,} prototypes, no queue",
}
"""What stands on the backbone, on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCase:
    """One method on one backbone.

    Attributes:
        method: A method's name, in both packages.
        backbone: A timm name; lightly's side takes torchvision's of that name for a ResNet, as its examples do.
        size: Side of the two global views.
        locals_, local_size: How many smaller views, and their side.
        optimizer: `sgd` or `adam`: that of lightly's example.
        lr: Its learning rate there.
        batch, steps: Images a step, steps a round.
        workers: Of lightly's loader.
    """

    method: str
    backbone: str = "resnet18"
    size: int = 128
    locals_: int = 0
    local_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.06
    batch: int = 32
    steps: int = 4
    workers: int = 0

    @property
    def views(self) -> str:
        """What views there are, in words."""
        return f"2 x {self.size}" + (f" + {self.locals_} x {self.local_size}" if self.locals_ else "")


def peer_transform(case: MethodCase) -> Callable[[Any], Any]:
    """Return lightly's transform of the method's name, at the case's sizes and else at its defaults."""
    from lightly import transforms
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform

    size = case.size
    if case.method == "byol":
        return BYOLTransform(BYOLView1Transform(input_size=size), BYOLView2Transform(input_size=size))
    if case.method == "swav":
        return transforms.SwaVTransform(crop_sizes=(size, case.local_size), crop_counts=(2, case.locals_))
    if case.method == "dino":
        return transforms.DINOTransform(
            global_crop_size=size, local_crop_size=case.local_size, n_local_views=case.locals_
        )
    names = {"simclr": "SimCLRTransform", "simsiam": "SimSiamTransform", "moco": "MoCoV2Transform"}
    return getattr(transforms, names[case.method])(input_size=size)


def _backbone(case: MethodCase) -> tuple[Any, int]:
    """Return torchvision's ResNet without its classifier, or timm's ViT, and the width of its features."""
    import timm
    import torchvision
    from torch import nn

    if case.backbone.startswith("resnet"):
        resnet: Any = getattr(torchvision.models, case.backbone)()
        return nn.Sequential(*list(resnet.children())[:-1], nn.Flatten()), resnet.fc.in_features
    vit: Any = timm.create_model(case.backbone, img_size=case.size, num_classes=0, dynamic_img_size=True)
    return vit, vit.num_features


def _follower(network: Any, slow: Any) -> Callable[[float], None]:
    """Return what lets the parts of `slow`, which loses its gradients, follow those of `network`."""
    from lightly.models.utils import deactivate_requires_grad, update_momentum

    deactivate_requires_grad(slow)

    def follow(momentum: float) -> None:
        for name, part in slow.items():
            update_momentum(network[name], part, m=momentum)

    return follow


def _byol(case: MethodCase) -> tuple[Any, Loss]:
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from torch import nn

    backbone, dim = _backbone(case)
    network = nn.ModuleDict({"backbone": backbone, "projector": BYOLProjectionHead(dim, 4096, 256)})
    slow = copy.deepcopy(network)
    follow = _follower(network, slow)
    network["predictor"] = BYOLPredictionHead(256, 4096, 256)
    criterion = NegativeCosineSimilarity()

    def compute(views: Sequence[Any]) -> Any:
        follow(0.99)
        predicted, targets = [], []
        for view in views:
            predicted.append(network["predictor"](network["projector"](network["backbone"](view))))
            targets.append(slow["projector"](slow["backbone"](view)).detach())
        return 0.5 * (criterion(predicted[0], targets[1]) + criterion(predicted[1], targets[0]))

    return network, compute


def _simsiam(case: MethodCase) -> tuple[Any, Loss]:
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
    from torch import nn

    backbone, dim = _backbone(case)
    projector, predictor = SimSiamProjectionHead(dim, 2048, 2048), SimSiamPredictionHead(2048, 512, 2048)
    network = nn.ModuleDict({"backbone": backbone, "projector": projector, "predictor": predictor})
    criterion = NegativeCosineSimilarity()

    def compute(views: Sequence[Any]) -> Any:
        projected = [projector(backbone(view)) for view in views]
        one, two = (predictor(each) for each in projected)
        return 0.5 * (criterion(one, projected[1].detach()) + criterion(two, projected[0].detach()))

    return network, compute


def _simclr(case: MethodCase) -> tuple[Any, Loss]:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from torch import nn

    backbone, dim = _backbone(case)
    projector = SimCLRProjectionHead(dim, 2048, 128)
    criterion = NTXentLoss(temperature=TEMPERATURE["simclr"])

    def compute(views: Sequence[Any]) -> Any:
        one, two = (projector(backbone(view)) for view in views)
        return criterion(one, two)

    return nn.ModuleDict({"backbone": backbone, "projector": projector}), compute


def _moco(case: MethodCase) -> tuple[Any, Loss]:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from torch import nn

    backbone, dim = _backbone(case)
    network = nn.ModuleDict({"backbone": backbone, "projector": MoCoProjectionHead(dim, 2048, 128)})
    slow = copy.deepcopy(network)
    follow = _follower(network, slow)
    criterion = NTXentLoss(temperature=TEMPERATURE["moco"], memory_bank_size=(QUEUE, 128))

    def compute(views: Sequence[Any]) -> Any:
        follow(0.999)
        query = network["projector"](network["backbone"](views[0]))
        return criterion(query, slow["projector"](slow["backbone"](views[1])).detach())

    return network, compute


def _swav(case: MethodCase) -> tuple[Any, Loss]:
    from lightly.loss import SwaVLoss
    from lightly.models.modules import SwaVProjectionHead, SwaVPrototypes
    from torch import nn

    backbone, dim = _backbone(case)
    projector, prototypes = SwaVProjectionHead(dim, 2048, 128), SwaVPrototypes(128, n_prototypes=PROTOTYPES["swav"])
    criterion = SwaVLoss()

    def compute(views: Sequence[Any]) -> Any:
        prototypes.normalize()
        scores = [prototypes(nn.functional.normalize(projector(backbone(view)), dim=1, p=2)) for view in views]
        return criterion(scores[:2], scores[2:])

    return nn.ModuleDict({"backbone": backbone, "projector": projector, "prototypes": prototypes}), compute


def _dino(case: MethodCase) -> tuple[Any, Loss]:
    from lightly.loss import DINOLoss
    from lightly.models.modules import DINOProjectionHead
    from torch import nn

    backbone, dim = _backbone(case)
    widths = (2048, 256, PROTOTYPES["dino"])
    head = DINOProjectionHead(dim, *widths)
    network = nn.ModuleDict({"backbone": backbone, "head": head})
    # As in the example: the head is weight-normalised, which torch cannot copy.
    slow = nn.ModuleDict({"backbone": copy.deepcopy(backbone), "head": DINOProjectionHead(dim, *widths)})
    follow = _follower(network, slow)
    criterion = DINOLoss(output_dim=PROTOTYPES["dino"], warmup_teacher_temp_epochs=5)

    def compute(views: Sequence[Any]) -> Any:
        follow(0.996)
        targets = [slow["head"](slow["backbone"](view)) for view in views[:2]]
        return criterion(targets, [head(backbone(view)) for view in views], epoch=0)

    return network, compute


PEERS: dict[str, Callable[[MethodCase], tuple[Any, Loss]]] = {
    "dino": _dino,
    "byol": _byol,
    "simsiam": _simsiam,
    "simclr": _simclr,
    "moco": _moco,
    "swav": _swav,
}
"""For each method: the parts that train (and the backbone by that name), and the loss of a batch of views."""
