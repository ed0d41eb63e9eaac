"""Read the patient of an image from its path."""

import re
from collections.abc import Callable, Iterable
from unicodedata import normalize

from harness.errors import DataError

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


def patient_rule(rule: str) -> PatientRule:
    """The built-in rule of that name, or a rule from a regular expression with a group `patient`.

    Raises DataError for anything else.
    """
    if rule in PATIENT_RULES:
        return PATIENT_RULES[rule]
    allowed = f"allowed: {', '.join(PATIENT_RULES)}, or a regular expression with a group (?P<patient>...)"
    try:
        pattern = re.compile(rule)
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(f"{rule!r} is no regular expression ({error}); {allowed}", ("data", "patient")) from None
    if "patient" not in pattern.groupindex:
        raise DataError(f"{rule!r} names no rule and has no group `patient`; {allowed}", ("data", "patient"))

    def from_pattern(image: str) -> str | None:
        image = normalize("NFC", image)  # systems write one accent in two ways
        match = pattern.search(image)
        if not match or match["patient"] is None:
            return None
        # Without the split folder: otherwise a patient of train/ would never be found in test/.
        return image[max(match.start("patient"), image.find("/") + 1) : match.end("patient")]

    return from_pattern


def patients(images: Iterable[str], rule: str | None) -> list[str]:
    """The patient of every image; without a rule each image counts as a patient.

    Raises DataError for an invalid rule, or where an image does not match it.
    """
    if rule is None:
        return list(images)
    key = patient_rule(rule)
    found = [(image, key(image)) for image in images]
    unmatched = [image for image, patient in found if not patient]
    if unmatched:
        raise DataError(
            f"the patient rule {rule!r} does not match {len(unmatched)} of {len(found)} images, first {unmatched[0]}",
            ("data", "patient"),
        )
    return [patient for _, patient in found if patient]
