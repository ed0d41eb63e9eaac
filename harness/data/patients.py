"""Read the patient of an image from its path below the class folder."""

import re
from collections.abc import Callable
from unicodedata import normalize

import pandas as pd

from harness.errors import DataError
from harness.study.data_block import PatientScope

SPLIT_FOLDERS = ("train", "val", "test")  # a class of a folder without them is called otherwise
PatientRule = Callable[[str], str | None]

_KERMANY = re.compile(
    r"person(?P<person>\d+)_(?P<agent>bacteria|virus)_\d+|(?P<series>(?:NORMAL2-)?IM)-(?P<number>\d+)-\d+"
)
_PHANTOM = re.compile(r"(phantom-[a-z]+-\d+)_\d+")


def _kermany(image: str) -> str | None:
    """`bacteria/23` or `NORMAL2-IM/927`: person numbers run separately for bacteria, virus and each normal series."""
    match = _KERMANY.search(image)
    if not match:
        return None
    if match["person"]:
        return f"{match['agent']}/{int(match['person'])}"
    return f"{match['series']}/{int(match['number'])}"


def _phantom(image: str) -> str | None:
    match = _PHANTOM.search(image)
    return match[1] if match else None


PATIENT_RULES: dict[str, PatientRule] = {"kermany": _kermany, "phantom": _phantom}


_FOR_WHOLE_PATHS = {  # rules that `harness new` wrote while a rule saw the whole path -> what to write now
    r"^[^/]+/[^/]+/(?P<patient>[^/]+)/": r"'^(?P<patient>[^/]+)/'",
    r"^[^/]+/(?P<patient>[^/]+/[^/]+)/": r"'^(?P<patient>[^/]+)/' and patient_scope: class",
}


def below_class(image: str) -> str:
    """What a rule sees of an image's path: all below its class folder, which may be in that of a split."""
    split, _, rest = image.partition("/")
    return (rest if split in SPLIT_FOLDERS else image).partition("/")[2]


def patient_rule(rule: str, field: tuple[str, ...] = ("data", "patient")) -> PatientRule:
    """The built-in rule of that name, or a rule from a regular expression with a group `patient`.

    It takes what a rule sees of an image. Raises DataError, for this field of the study file, for anything else.
    """
    return PATIENT_RULES.get(rule) or _from_pattern(rule, field)


def seen_by_rules(images: pd.DataFrame) -> list[str]:
    """What a rule sees of each image: its path below the class folder; of a table of images the whole path.

    images: a listing or a manifest.
    """
    paths: list[str] = images["image"].tolist()
    return paths if "row" in images else [below_class(image) for image in paths]


def _from_pattern(rule: str, field: tuple[str, ...]) -> PatientRule:
    allowed = f"allowed: {', '.join(PATIENT_RULES)}, or a regular expression with a group (?P<patient>...)"
    if rule in _FOR_WHOLE_PATHS:
        now = f"a rule sees the path below the class folder only: write {_FOR_WHOLE_PATHS[rule]}"
        raise DataError(f"{rule!r} was written for the whole path; {now}", field)
    try:
        pattern = re.compile(normalize("NFC", rule))
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(f"{rule!r} is no regular expression ({error}); {allowed}", field) from None
    if "patient" not in pattern.groupindex:
        raise DataError(f"{rule!r} names no rule and has no group `patient`; {allowed}", field)

    def from_pattern(path: str) -> str | None:
        match = pattern.search(normalize("NFC", path))  # systems write one accent in two ways
        return match["patient"] if match else None

    return from_pattern


def patients(images: pd.DataFrame, rule: str | None, scope: PatientScope = "dataset") -> list[str]:
    """The patient of every image of a listing or a manifest; without a rule each image counts as a patient.

    scope: `class` puts the class before the patient, so that one name in two classes is two patients.

    Raises DataError for an invalid rule, or where an image does not match it.
    """
    every = images["image"].tolist()
    if rule is None:
        if scope != "dataset":
            raise DataError("it needs a rule that finds the patients: data.patient", ("data", "patient_scope"))
        return every
    key, seen = patient_rule(rule), seen_by_rules(images)
    found = [key(path) for path in seen]
    unmatched = [n for n, patient in enumerate(found) if not patient]
    if unmatched:
        part = "whole path in a table" if "row" in images else "path below the class folder"
        raise DataError(
            f"the patient rule {rule!r} does not match {len(unmatched)} of {len(every)} images, first"
            f" {every[unmatched[0]]}: a rule sees the {part}, here {seen[unmatched[0]]}",
            ("data", "patient"),
        )
    named = [patient for patient in found if patient]
    if scope == "class":
        return [f"{label}/{patient}" for label, patient in zip(images["label"], named, strict=True)]
    return named
