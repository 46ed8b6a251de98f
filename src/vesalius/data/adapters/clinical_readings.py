"""Sex and age from the ClinicalReadings text files of the Shenzhen and Montgomery sets."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from vesalius.data.labels import LabelSpec
from vesalius.errors import ManifestError

__all__ = ["CLINICAL_LABELS", "read_clinical"]

CLINICAL_LABELS: dict[str, LabelSpec] = {
    "tb": LabelSpec(kind="binary", description="tuberculosis (suffix _1 of the file name)"),
    "sex": LabelSpec(kind="binary", classes=("female", "male"), description="sex in the clinical reading"),
    "age": LabelSpec(kind="number", description="age in years in the clinical reading"),
}
_SEX = re.compile(r"\b(?:(f)|(m)|(female)|(male))\b", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)[ \t]*(y|m|w|d)(?:(?:ea)?rs?|o(?:nths?|s)?|eeks?|ays?)?\b", re.IGNORECASE)
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 1 / 52.18, "d": 1 / 365.25}


def read_clinical(file: Path) -> dict[str, float | int | str | None]:
    """Return `sex` and `age` of one reading (`male 45yrs`, `Patient's Age: 027Y`); None where it does not say.

    Raises:
        ManifestError: The file cannot be read.
    """
    if not file.is_file():
        return {"sex": None, "age": None}
    text = _text(file)
    sex = _SEX.search(text)
    age = _AGE.search(text)
    years = float(age[1]) * _YEARS[age[2].lower()] if age else None
    return {
        "sex": None if sex is None else int(sex[2] is not None or sex[4] is not None),
        "age": None if years is None or years > 120 else years,
    }


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
