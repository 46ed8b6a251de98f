"""Finding the adapter for a folder, by name or by its layout."""

from __future__ import annotations

from pathlib import Path

from vesalius.data.adapters.acdc import AcdcAdapter
from vesalius.data.adapters.aptos import AptosAdapter
from vesalius.data.adapters.cbis_ddsm import CbisDdsmAdapter
from vesalius.data.adapters.chexpert import CheXpertAdapter
from vesalius.data.adapters.cityscapes import CityscapesAdapter
from vesalius.data.adapters.coco import CocoAdapter
from vesalius.data.adapters.covid_radiography import CovidRadiographyAdapter
from vesalius.data.adapters.covidgr import CovidgrAdapter
from vesalius.data.adapters.csaw_s import CsawSAdapter
from vesalius.data.adapters.folder import FolderAdapter
from vesalius.data.adapters.ieee8023_covid import Ieee8023CovidAdapter
from vesalius.data.adapters.imagenet import ImageNetAdapter
from vesalius.data.adapters.interface import Adapter
from vesalius.data.adapters.isic import IsicAdapter
from vesalius.data.adapters.jsrt import JsrtAdapter
from vesalius.data.adapters.kermany import KermanyAdapter
from vesalius.data.adapters.medmnist import MedMnistAdapter
from vesalius.data.adapters.montgomery import MontgomeryAdapter
from vesalius.data.adapters.msd import MsdAdapter
from vesalius.data.adapters.nih import NihAdapter
from vesalius.data.adapters.pascal_voc import PascalVocAdapter
from vesalius.data.adapters.patch_camelyon import PatchCamelyonAdapter
from vesalius.data.adapters.ph2 import Ph2Adapter
from vesalius.data.adapters.phantom import PhantomAdapter
from vesalius.data.adapters.shenzhen import ShenzhenAdapter
from vesalius.errors import DatasetError, nearest

__all__ = ["ADAPTERS", "find_adapter"]

ADAPTERS: dict[str, type[Adapter]] = {
    adapter.name: adapter
    for adapter in (
        FolderAdapter,
        PhantomAdapter,
        KermanyAdapter,
        NihAdapter,
        CheXpertAdapter,
        ShenzhenAdapter,
        MontgomeryAdapter,
        JsrtAdapter,
        CovidRadiographyAdapter,
        Ieee8023CovidAdapter,
        AcdcAdapter,
        MsdAdapter,
        AptosAdapter,
        IsicAdapter,
        Ph2Adapter,
        CbisDdsmAdapter,
        CsawSAdapter,
        PatchCamelyonAdapter,
        CovidgrAdapter,
        MedMnistAdapter,
        CocoAdapter,
        PascalVocAdapter,
        CityscapesAdapter,
        ImageNetAdapter,
    )
}


def find_adapter(name: str, root: Path) -> Adapter:
    """Return a fresh adapter for a folder.

    Args:
        name: A key of `ADAPTERS`, or `auto` for the one whose layout the folder has; a folder that none recognises is
            read as a plain folder of images.
        root: The data set's folder.

    Raises:
        DatasetError: If the folder does not exist, the name is unknown, or several layouts fit.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "no such folder"
        raise DatasetError(f"{root}: {what}; give the folder that holds the data set")
    if name != "auto":
        if name not in ADAPTERS:
            raise DatasetError(
                f"no data set adapter '{name}'{nearest(name, ADAPTERS)}; known: auto, {', '.join(ADAPTERS)}"
            )
        return ADAPTERS[name]()
    candidates = [adapter() for adapter in ADAPTERS.values() if adapter is not FolderAdapter]
    fitting = [adapter for adapter in candidates if adapter.recognise(root)]
    here = [adapter for adapter in fitting if adapter.matches(root)]
    fitting = here or fitting
    if len(fitting) > 1:
        names = ", ".join(f"'{adapter.name}'" for adapter in fitting)
        raise DatasetError(
            f"{root}: looks like several data sets ({names}); name one with --dataset, or give its own folder"
        )
    return fitting[0] if fitting else FolderAdapter()
