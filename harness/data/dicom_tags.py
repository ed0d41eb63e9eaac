"""What the tags of DICOM files say of the images: the metadata `dicom:KEYWORD` of a study."""

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

if TYPE_CHECKING:
    from pydicom import DataElement

NOT_READ = ("SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN")  # kinds of values that are no text and no number
YEARS = {"Y": 1, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # of the units of an age


def with_tags(root: Path, images: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Add a column for each of these names, such as `dicom:Manufacturer`; nothing else of a file is read.

    A file without the tag, or of another format, has no value. An age is a number of years.
    Raises DataError for a name that is no tag of text or numbers, and where pydicom is missing.
    """
    if not names:
        return images
    if not has_pydicom():
        raise DataError(f"{names[0]} needs pydicom: {INSTALL}", ("data", "metadata"))
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise DataError(f"{twice[0]} stands in the list twice", ("data", "metadata"))
    keywords = [_keyword(name) for name in names]
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(partial(_values, keywords), (root / image for image in images["image"])))
    found = pd.DataFrame(rows, columns=list(names), index=images.index, dtype=object)
    return images.assign(**{name: typed(found[name]) for name in names})


def _keyword(name: str) -> str:
    """The keyword of a tag. Raises DataError where there is none, or where its values are not read."""
    from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword

    keyword = name.removeprefix(DICOM_PREFIX)
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise DataError(unknown("DICOM tag", keyword, list(keyword_dict)), ("data", "metadata"))
    if any(kind in NOT_READ for kind in dictionary_VR(tag).split(" or ")):
        raise DataError(f"the DICOM tag {keyword} is neither text nor a number", ("data", "metadata"))
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
