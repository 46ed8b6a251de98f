"""The template that a run's coordinates are places in, kept with the run so that it needs no maps later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.atomic import replace_text, replacing
from vesalius.data.knowledge_maps import PARTS_FILE, TEMPLATE_FILE, KnowledgeMaps
from vesalius.errors import KnowledgeError
from vesalius.records.knowledge import PartNames

__all__ = ["KeptTemplate", "keep_template", "read_template"]

_ABOUT = "template.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTemplate:
    """A template image and its parts.

    Attributes:
        image: `[1, 1, rows, columns]`, in [0, 1].
        parts: `[1, parts, rows, columns]`, in [0, 1].
        names: The parts and their pairs.
        frame: What identifies it, as in `KnowledgeMaps.frame`.
    """

    image: Float[Tensor, "1 1 rows columns"]
    parts: Float[Tensor, "1 parts rows columns"]
    names: PartNames
    frame: Mapping[str, Any]


def keep_template(maps: KnowledgeMaps, folder: Path) -> None:
    """Copy the template of some maps into a folder, once; maps without a template image leave nothing."""
    if not (maps.path / TEMPLATE_FILE).is_file() or (folder / _ABOUT).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in (TEMPLATE_FILE, PARTS_FILE):
        if (maps.path / name).is_file():
            with replacing(folder / name) as partial:
                shutil.copyfile(maps.path / name, partial)
    names = maps.names
    about = {"parts": list(names.names), "pairs": [list(pair) for pair in names.pairs], "frame": maps.frame}
    replace_text(folder / _ABOUT, json.dumps(about, indent=2) + "\n")


def read_template(folder: Path) -> KeptTemplate:
    """Read what `keep_template` kept.

    Raises:
        KnowledgeError: There is none, or it is damaged.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        image = torch.from_numpy(np.load(folder / TEMPLATE_FILE, allow_pickle=False).astype(np.float32) / 65535)
        names = PartNames(tuple(about["parts"]), tuple((int(a), int(b)) for a, b in about["pairs"]))
        parts = image.new_zeros(0, *image.shape)
        if names.names:
            parts = torch.from_numpy(np.load(folder / PARTS_FILE, allow_pickle=False).astype(np.float32) / 255)
        frame = dict(about["frame"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KnowledgeError(
            f"{folder}: keeps no template ({error}); only a run guided by coordinates has one, see `guidance` in its "
            "recipe.yaml"
        ) from error
    return KeptTemplate(image=image[None, None], parts=parts[None], names=names, frame=frame)
