"""What the tags of DICOM files say of the images: the metadata `dicom:KEYWORD` of a study, and its patients."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.data.dicom import INSTALL, MAGIC_END, has_pydicom, is_dicom
from harness.data.table_file import typed
from harness.errors import DataError
from harness.study.data_block import DICOM_PREFIX
from harness.study.messages import unknown
from harness.study.number_words import verb

if TYPE_CHECKING:
    from pydicom import DataElement

METADATA, PATIENT = ("data", "metadata"), ("data", "patient")  # fields of a study file
DIGITS = 16  # of a hash: two of a million patients share them once in thirty million studies
NOT_READ = ("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN")  # kinds of values that are no text and no number
YEARS = {"Y": 1, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # of the units of an age


def with_tags(root: Path, images: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Add a column for each of these names, such as `dicom:Manufacturer`; nothing else of a file is read.

    A file without the tag, or of another format, has no value. An age is a number of years.
    Raises DataError for a name that is no tag of text or numbers, and where pydicom is missing.
    """
    if not names:
        return images
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise DataError(f"{twice[0]} stands in the list twice", METADATA)
    found = _tags(root, images, names, METADATA)
    return images.assign(**{name: typed(found[name]) for name in names})


def patients_of_tag(root: Path, images: pd.DataFrame, name: str) -> list[str]:
    """The patient of each image by a tag such as `dicom:PatientID`: the first digits of the SHA-256 of its value.

    The value itself identifies a person, and is kept nowhere.
    Raises DataError where an image has no such tag, where it is no tag of text, and where pydicom is missing.
    """
    found = _tags(root, images, [name], PATIENT)[name]
    without = images.loc[found.isna(), "image"].tolist()
    if without:
        raise DataError(
            f"{len(without)} of {len(images)} images {verb(len(without), 'has', 'have')} no DICOM tag"
            f" {name.removeprefix(DICOM_PREFIX)}, first {without[0]}; give a rule for their paths, or the column of a"
            " table",
            PATIENT,
        )
    return [hashlib.sha256(str(value).encode()).hexdigest()[:DIGITS] for value in found]


def require_patient_tag(name: str) -> None:
    """Raise DataError where this is no tag of text or numbers, or pydicom is missing."""
    _require_pydicom(name, PATIENT)
    _keyword(name, PATIENT)


def _require_pydicom(name: str, field: tuple[str, ...]) -> None:
    if not has_pydicom():
        raise DataError(f"{name} needs pydicom: {INSTALL}", field)


def _tags(root: Path, images: pd.DataFrame, names: Sequence[str], field: tuple[str, ...]) -> pd.DataFrame:
    """A column of text for each name; None where a file has no such tag. Raises DataError for this field."""
    _require_pydicom(names[0], field)
    keywords = [_keyword(name, field) for name in names]
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(partial(_values, keywords), (root / image for image in images["image"])))
    return pd.DataFrame(rows, columns=list(names), index=images.index, dtype=object)


def _keyword(name: str, field: tuple[str, ...]) -> str:
    """The keyword of a tag. Raises DataError where there is none, or where its values are not read."""
    from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword

    keyword = name.removeprefix(DICOM_PREFIX)
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise DataError(unknown("DICOM tag", keyword, list(keyword_dict)), field)
    if any(kind in NOT_READ for kind in dictionary_VR(tag).split(" or ")):
        raise DataError(f"the DICOM tag {keyword} is neither text nor a number", field)
    return keyword


def _values(keywords: list[str], file: Path) -> list[str | None]:
    from pydicom import dcmread

    try:
        with file.open("rb") as content:
            if not is_dicom(content.read(MAGIC_END)):
                return [None] * len(keywords)
        data = dcmread(file, stop_before_pixels=True, specific_tags=list(keywords))
        return [_text(data[keyword]) if keyword in data else None for keyword in keywords]
    except Exception:  # decoding names a broken file
        return [None] * len(keywords)


def _text(element: "DataElement") -> str | None:
    """The value of a tag as text, several of them with the separator of DICOM between; None where it is empty."""
    if element.value is None:
        return None
    parts = element.value if element.VM > 1 else [element.value]
    text = "\\".join(str(part).strip() for part in parts)
    if element.VR == "AS" and text[:-1].isdigit() and text[-1] in YEARS:
        return f"{int(text[:3]) * YEARS[text[3]]:.4g}"
    return text or None
