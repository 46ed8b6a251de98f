"""MedMNIST: small images of many kinds, a packed file a set."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.listing import source_of
from vesalius.data.labels import LabelKind, LabelSpec
from vesalius.errors import DatasetError, ManifestError, nearest
from vesalius.records.sample import Sample

__all__ = ["MedMnistAdapter"]

_SIDES = {"train": "train", "val": "val", "test": "test"}
_ORGANS = (
    "bladder", "femur_left", "femur_right", "heart", "kidney_left", "kidney_right", "liver", "lung_left",
    "lung_right", "pancreas", "spleen",
)  # fmt: skip
_CLASSES: dict[str, tuple[str, ...]] = {
    "pathmnist": (
        "adipose", "background", "debris", "lymphocytes", "mucus", "smooth_muscle", "normal_colon_mucosa",
        "cancer_associated_stroma", "colorectal_adenocarcinoma",
    ),
    "dermamnist": (
        "actinic_keratosis", "basal_cell_carcinoma", "benign_keratosis", "dermatofibroma", "melanoma", "nevus",
        "vascular_lesion",
    ),
    "octmnist": ("choroidal_neovascularisation", "diabetic_macular_oedema", "drusen", "normal"),
    "pneumoniamnist": ("normal", "pneumonia"),
    "retinamnist": ("0", "1", "2", "3", "4"),
    "breastmnist": ("malignant", "normal_or_benign"),
    "bloodmnist": (
        "basophil", "eosinophil", "erythroblast", "immature_granulocyte", "lymphocyte", "monocyte", "neutrophil",
        "platelet",
    ),
    "tissuemnist": (
        "collecting_duct", "distal_tubule", "glomerular_endothelium", "interstitial_endothelium", "leukocyte",
        "podocyte", "proximal_tubule", "thick_ascending_limb",
    ),
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
}  # fmt: skip
_FINDINGS = (
    "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
    "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
)  # fmt: skip
_ORDERED = frozenset({"retinamnist"})
_NAMED = re.compile(rf"^({'|'.join((*_CLASSES, 'chestmnist'))})(_(64|128|224))?\.npz$", re.IGNORECASE)


class MedMnistAdapter(Adapter):
    """`<set>.npz` or `<set>_<side>.npz` with `{train,val,test}_{images,labels}`, any of the two-dimensional sets."""

    name: ClassVar[str] = "medmnist"
    title: ClassVar[str] = "MedMNIST v2"
    layout: ClassVar[str] = "<set>mnist[_64|_128|_224].npz with {train,val,test}_{images,labels}"
    citation: ClassVar[str] = "Yang et al., Sci Data 10:41, 2023"
    licence: ClassVar[str] = "CC BY 4.0 (DermaMNIST CC BY-NC 4.0)"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """A packed file of such a name, of two-dimensional images."""
        return bool(_files(folder))

    def collect(self, root: Path, *, file: str | None = None) -> list[Sample]:
        """Return one sample an image, on its published side; no patients are published.

        Args:
            root: The folder with the file, or its parent.
            file: Which, where several are there (`pneumoniamnist.npz`).

        Raises:
            DatasetError: Several files and none named, or no such file.
                ManifestError: An array of labels is missing or is none.
        """
        base = self.base(root)
        there = _files(base)
        path = self._choose(there, file, base)
        self.ignored = tuple(source_of(other, root) for other in sorted(base.iterdir()) if other not in there)
        self.warn("no patient ids are published: each image counts as its own patient")
        name = path.stem.lower().split("_")[0]
        values = {side: _labels(path, side) for side in _SIDES}
        widths = {side: own.shape[1] for side, own in values.items()}
        if len(set(widths.values())) > 1:
            raise ManifestError(f"{path}: labels of {widths} columns; expected as many on every side")
        labels = self._named(name, np.concatenate(list(values.values())), path)
        places = [(side, number) for side, own in values.items() for number in range(len(own))]
        return [
            Sample(
                path=path,
                source=f"{source_of(path, root)}/{side}",
                patient=f"{side}/{number}",
                split=_SIDES[side],
                labels=known,
                frame=number,
                reader={"key": f"{side}_images"},
            )
            for (side, number), known in zip(places, labels, strict=True)
        ]

    def _choose(self, there: list[Path], file: str | None, base: Path) -> Path:
        names = [path.name for path in there]
        if file is not None:
            if file not in names:
                raise DatasetError(f"{base}: no file {file!r}{nearest(file, names)}; there are {', '.join(names)}")
            return there[names.index(file)]
        if len(there) > 1:
            raise DatasetError(f"{base}: several sets ({', '.join(names)}); name one with --option file={names[0]}")
        return there[0]

    def _named(self, name: str, values: npt.NDArray[np.int64], path: Path) -> list[dict[str, int]]:
        """Give the columns of a label array their names."""
        if values.shape[1] > 1:
            many = _FINDINGS if len(_FINDINGS) == values.shape[1] else [str(one) for one in range(values.shape[1])]
            self.labels |= {one: LabelSpec(kind="binary", description=f"{one} ({name})") for one in many}
            return [dict(zip(many, map(int, row), strict=True)) for row in values]
        classes = _CLASSES.get(name, tuple(str(one) for one in range(int(values.max()) + 1)))
        if values.min() < 0 or values.max() >= len(classes):
            raise ManifestError(f"{path}: labels up to {values.max()}, expected {len(classes)} classes from 0")
        kind: LabelKind = "binary" if len(classes) == 2 else "ordinal" if name in _ORDERED else "multiclass"
        self.labels["class"] = LabelSpec(kind=kind, classes=classes, description=f"class ({name})")
        return [{"class": int(row[0])} for row in values]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.npz") if _NAMED.match(path.name))


def _labels(path: Path, side: str) -> npt.NDArray[np.int64]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labels = np.asarray(arrays[f"{side}_labels"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ManifestError(f"{path}: no readable array '{side}_labels' ({error}); download it again") from error
    if labels.ndim > 2 or labels.dtype.kind not in "iub" or not len(labels):
        raise ManifestError(
            f"{path}: '{side}_labels' has shape {labels.shape} and type {labels.dtype}; expected [n, 1]"
        )
    return labels.reshape(len(labels), -1).astype(np.int64)
