"""What a model looked at, as DICOM of the same patient and study: a segmentation, or a picture (secondary capture)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from jaxtyping import Float
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from vesalius.atomic import replacing
from vesalius.errors import ConfigError, UnreadableImageError
from vesalius.interpret.pictures import PART_COLOURS, Picture
from vesalius.version import __version__

__all__ = ["check_dicom", "write_capture", "write_segmentation"]

_MAKER = "vesalius"
_SERIES = 9000
"""Above the numbers that scanners give."""

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_ADVICE = "DICOM output is of DICOM input; use nifti or geojson"


def write_segmentation(
    out: Path, maps: Mapping[str, Float[np.ndarray, "rows columns"]], *, source: Path, weights: str
) -> None:
    """Write a DICOM segmentation (fractional) with a segment a map, its values over the map's own maximum.

    Patient, study, frame of reference and geometry are the source's, which it refers to.

    Args:
        out: `.dcm`, replaced whole.
        maps: By name, in the source's own rows and columns; not negative, NaN where nothing was seen.
        source: A DICOM file of one frame.
        weights: Digest of the model's, for the record of the algorithm.

    Raises:
        ConfigError: The package highdicom is not installed.
        UnreadableImageError: No DICOM file, one of several frames, or one that lacks what a segmentation refers to.
    """
    highdicom, head = _package(), _head(source)
    seg = importlib.import_module("highdicom.seg")
    coded = importlib.import_module("highdicom.sr.coding").CodedConcept
    about = highdicom.AlgorithmIdentificationSequence(
        name=f"{_MAKER} attention",
        family=coded("123110", "DCM", "Artificial Intelligence"),
        version=__version__,
        source=_MAKER,
        parameters={"weights": weights},
    )
    segments = [
        seg.SegmentDescription(
            segment_number=place,
            segment_label=name[:64],
            segmented_property_category=coded("309825002", "SCT", "Spatial and Relational Concept"),
            segmented_property_type=coded("attention", "99VESALIUS", "Attention of a model"),
            algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=about,
            display_color=highdicom.color.CIELabColor.from_rgb(*PART_COLOURS[(place - 1) % len(PART_COLOURS)]),
        )
        for place, name in enumerate(maps, start=1)
    ]
    shares = []
    for one in maps.values():
        seen = np.nan_to_num(one.astype(np.float32))
        shares.append(seen / max(float(seen.max()), float(np.finfo(np.float32).tiny)))
    made = seg.Segmentation(
        source_images=[head],
        pixel_array=np.stack(shares, axis=-1)[None],
        segmentation_type=seg.SegmentationTypeValues.FRACTIONAL,
        fractional_type=seg.SegmentationFractionalTypeValues.OCCUPANCY,
        segment_descriptions=segments,
        omit_empty_frames=False,
        **_series(1, "attention"),
    )
    _save(made, out)


def write_capture(out: Path, picture: Picture, *, source: Path, description: str) -> None:
    """Write a picture as DICOM secondary capture of the source's patient and study.

    Args:
        out: `.dcm`, replaced whole.
        picture: What is shown.
        source: A DICOM file.
        description: Of the series.

    Raises:
        ConfigError: The package highdicom is not installed.
        UnreadableImageError: No DICOM file, or one that lacks what names its patient and study.
    """
    _package()
    sc, head = importlib.import_module("highdicom.sc"), _head(source)
    series = _series(2, description)
    kept = {key: series[key] for key in ("series_instance_uid", "series_number", "sop_instance_uid", "instance_number")}
    made = sc.SCImage.from_ref_dataset(
        head,
        pixel_array=np.ascontiguousarray(picture),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        manufacturer=_MAKER,
        patient_orientation=("L", "F"),  # asked for by the class; what the source says, or nothing, replaces it below
        transfer_syntax_uid=pydicom.uid.ExplicitVRLittleEndian,
        **kept,
    )
    made.PatientOrientation = head.get("PatientOrientation") or ""
    made.SeriesDescription = description[:64]
    made.BurnedInAnnotation = "NO"
    _save(made, out)


def check_dicom(source: Path) -> None:
    """Refuse, before anything is computed, what could not be written.

    Raises:
        ConfigError, UnreadableImageError: See `write_segmentation`.
    """
    _package()
    _head(source)


def _package() -> Any:
    try:
        return importlib.import_module("highdicom")
    except ImportError as error:
        raise ConfigError(
            f"DICOM output needs a package that is not installed ({error.name}): pip install 'vesalius[dicom-out]'"
        ) from error


def _head(source: Path) -> Dataset:
    """Read what a new object refers to."""
    try:
        head = pydicom.dcmread(source, force=True, stop_before_pixels=True)
    except Exception as error:  # what is no DICOM fails in many ways
        raise UnreadableImageError(source, f"no DICOM file ({error})", _ADVICE) from error
    if not head.get("SOPClassUID"):
        raise UnreadableImageError(source, "no DICOM file", _ADVICE)
    missing = [name for name in _NEEDED if not head.get(name)]
    if missing:
        raise UnreadableImageError(source, f"lacks {', '.join(missing)}", "DICOM output refers to them; use png")
    if int(head.get("NumberOfFrames") or 1) > 1:
        raise UnreadableImageError(source, "has several frames", "DICOM output is of single frames; use png or nifti")
    for name in _EMPTY:  # attributes that may be empty, but that a de-identified file may lack
        if name not in head:
            setattr(head, name, "")
    return head


def _series(number: int, description: str) -> dict[str, Any]:
    return {
        "series_instance_uid": generate_uid(),
        "series_number": _SERIES + number,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": _MAKER,
        "manufacturer_model_name": _MAKER,
        "software_versions": __version__,
        "device_serial_number": "0",
        "series_description": description[:64],
    }


def _save(made: Dataset, out: Path) -> None:
    with replacing(out) as partial:
        made.save_as(partial, enforce_file_format=True)
