"""Guess a patient rule from the names of images: only a plausible one, and always with a note to check it."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.folder import FoundImage
from harness.data.patients import patients
from harness.errors import DataError

_NUMBERED = r"(?:[A-Za-z]+[_-]?)?[0-9]+"  # PAT000, p12, patient_7, 12
RULES = (  # each rule, and its variant with the class in the patient's name, for numbers that restart in each class
    ("kermany", None),
    (r"^[^/]+/[^/]+/(?P<patient>[^/]+)/", r"^[^/]+/(?P<patient>[^/]+/[^/]+)/"),  # a folder for each patient
    (
        rf"/(?P<patient>{_NUMBERED})[_-]{_NUMBERED}\.\w+$",
        rf"^[^/]+/(?P<patient>.+/{_NUMBERED})[_-]{_NUMBERED}\.\w+$",
    ),
)
_DAY, _MONTH, _YEAR = "(?:0[1-9]|[12][0-9]|3[01])", "(?:0[1-9]|1[0-2])", "(?:19|20)[0-9]{2}"
_DATE = re.compile(f"{_YEAR}(?:{_MONTH}{_DAY}?)?|{_DAY}{_MONTH}{_YEAR}|{_MONTH}{_DAY}{_YEAR}|[0-9]{{2}}{_MONTH}{_DAY}")


@dataclass(frozen=True)
class Guess:
    """A guessed rule and a note about it. rule: None where the patients are unknown."""

    rule: str | None
    words: str


def guess_patients(images: Sequence[FoundImage], least: int) -> Guess:
    """Return the first rule that is plausible for these images. least: the patients that each class must have."""
    for rule, with_class in RULES:
        found = _by_rule(images, rule)
        if with_class and found and _numbers_restart(images, found):
            guess = _plausible(images, with_class, least)
            if guess and guess.rule:
                shared = sorted(_classes_of(images, found).items(), key=lambda item: -len(item[1]))[0]
                words = f"{shared[0]} of {' and of '.join(sorted(shared[1]))} count as different patients"
                return Guess(guess.rule, f"{guess.words}; {words}: if they are the same, write '{rule}'")
        else:
            guess = _plausible(images, rule, least)
        if guess:
            return guess
    return Guess(None, "patients unknown: no rule fits the names, so each image counts as a patient")


def _by_rule(images: Sequence[FoundImage], rule: str) -> list[str]:
    """The patient of every image; empty where the rule does not match them all."""
    try:
        return patients([found.image for found in images], rule)
    except DataError:
        return []


def _plausible(images: Sequence[FoundImage], rule: str, least: int) -> Guess | None:
    """The guess of this rule; None where it finds too few patients, one per image, or dates."""
    found = _by_rule(images, rule)
    train = [(image, who) for image, who in zip(images, found, strict=False) if image.split == "train"]
    sizes = Counter(who for _, who in train)
    by_class = Counter(label for label, _ in {(image.label, who) for image, who in train})
    if len(sizes) == len(train) or min(by_class.values()) < least or all(map(_is_date, sizes)):
        return None
    shared = set(sizes) & {who for image, who in zip(images, found, strict=True) if image.split == "test"}
    if shared:
        return Guess(
            None,
            f"patients unknown: the names fit '{rule}', but {len(shared)} of its patients, such as {min(shared)},"
            " are in train/ and in test/; check whether they are the same people",
        )
    who, most = sizes.most_common(1)[0]
    first = next(image.image for image, name in train if name == who)
    return Guess(
        rule,
        f"patients guessed from the names: {len(sizes):,} of {len(train):,} training images, such as {who} in {first},"
        f" at most {most} images each; check this",
    )


def _classes_of(images: Sequence[FoundImage], found: Sequence[str]) -> dict[str, set[str]]:
    classes: dict[str, set[str]] = defaultdict(set)
    for image, who in zip(images, found, strict=True):
        classes[who].add(image.label)
    return classes


def _numbers_restart(images: Sequence[FoundImage], found: Sequence[str]) -> bool:
    """Whether patients of several classes share numbers because each class is numbered from its start."""
    classes = _classes_of(images, found)
    shared = sum(len(labels) > 1 for labels in classes.values())
    for label in {image.label for image in images}:
        names = [who for who, labels in classes.items() if label in labels]
        numbers = [int(digits[-1]) for who in names if (digits := re.findall("[0-9]+", who))]
        if not numbers or len(names) < max(numbers) / 2:
            return False
    return shared > 0


def _is_date(patient: str) -> bool:
    return _DATE.fullmatch("".join(re.findall("[0-9]+", patient.rpartition("/")[2]))) is not None
