"""Guess a patient rule and the positive class: only plausible ones, and always with a note to check them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.data.dataset import Dataset
from harness.data.dicom_tags import patients_of_tag
from harness.data.patient_counts import PATIENTS_UNKNOWN, count_patients, doubts
from harness.data.patients import patients
from harness.errors import DataError
from harness.study.data_block import DICOM_PREFIX

OF_TAG = f"{DICOM_PREFIX}PatientID"
FOLDERS = r"^(?P<patient>[^/]+)/"
RULES = {  # each rule, and what it reads
    OF_TAG: "this tag of the DICOM files",
    "kermany": "the names of the X-rays of Kermany et al.",
    FOLDERS: "the folders below the class folders",
    r"(?:^|/)(?P<patient>[^/_-]*[0-9][^/_-]*)[_-][^/]*$": "the start of the file names, up to the first _ or -",
    r"(?:^|/)(?P<patient>[^\W\d_]+[_-][0-9]+)[_-][^/]*$": "a word and a number at the start of the file names",
}
HEALTHY = {  # class names, in lower case, of those who lack what is searched for
    "normal", "healthy", "health", "control", "controls", "negative", "neg", "benign", "well", "none", "no finding",
    "no", "absent", "false", "0", "kein befund", "ohne befund", "gesund", "sano", "sain",
}  # fmt: skip
_DAY, _MONTH, _YEAR = "(?:0[1-9]|[12][0-9]|3[01])", "(?:0[1-9]|1[0-2])", "(?:19|20)[0-9]{2}"
_DATE = re.compile(f"{_YEAR}(?:{_MONTH}{_DAY}?)?|{_DAY}{_MONTH}{_YEAR}|{_MONTH}{_DAY}{_YEAR}|[0-9]{{2}}{_MONTH}{_DAY}")
_DASHED_DATE = re.compile(
    rf"(?<![0-9])(?:{_YEAR}[-_.]{_MONTH}[-_.]{_DAY}|[0-9]{{1,2}}[-_.][0-9]{{1,2}}[-_.]{_YEAR})(?![0-9])"
)


@dataclass(frozen=True)
class Guess:
    """A guessed rule and what is said about it.

    rule: None where the patients are unknown. twins: a name in several classes, which may be several people.
    """

    rule: str | None
    words: str
    twins: str = ""


def guess_patients(images: pd.DataFrame, least: int, root: Path | None = None) -> Guess:
    """Return the first rule that is plausible for these images.

    images: with the columns image, split and label, as a manifest. least: the patients that each class must have.
    root: where the paths start, if tags of DICOM files are to be read, which know better than any name.
    """
    guesses = (_judged(_with_patients(images, rule, root), rule, least) for rule in RULES)
    return next((guess for guess in guesses if guess), _unknown("no rule fits the names"))


def suggestion(dataset: Dataset, least: int) -> str:
    """The words after `patients unknown`: where a study file says who they are, with a rule that fits these images."""
    rule = guess_patients(dataset.table, least).rule
    fits = f"; '{rule}' fits these names" if rule else ""
    return f"a rule in data.patient says who they are{fits}"


def guess_positive(counts: Mapping[str, int]) -> tuple[str, str]:
    """The positive one of two classes, and why: the other one is named as the healthy, or is more frequent."""
    healthy = [label for label in counts if label.casefold().replace("_", " ") in HEALTHY]
    if len(healthy) == 1:
        return next(label for label in counts if label not in healthy), f"the other one is called {healthy[0]}"
    rarest = min(counts, key=lambda label: counts[label])
    if len(set(counts.values())) == 1:
        return rarest, "both are equally frequent, and it is the first"
    return rarest, f"the rarer one, {counts[rarest]:,} of {sum(counts.values()):,} training images"


def _unknown(why: str) -> Guess:
    return Guess(None, f"{PATIENTS_UNKNOWN}; {why}")


def _with_patients(images: pd.DataFrame, rule: str, root: Path | None) -> pd.DataFrame:
    """The table with the patient of every image; without rows where the rule does not match them all."""
    try:
        if rule != OF_TAG:
            return images.assign(patient=patients(images, rule))
        if root is not None:
            patients_of_tag(root, images.head(1), rule)  # one file tells that there is no such tag
            return images.assign(patient=patients_of_tag(root, images, rule))
    except DataError:
        pass
    return images.head(0).assign(patient="")


def _judged(table: pd.DataFrame, rule: str, least: int) -> Guess | None:
    """The guess of this rule; None where it finds one patient for each image, dates, or too few patients."""
    train, twins = table[table["split"] == "train"], "" if rule == OF_TAG else _twins(table)
    if _are_dates(table) or not train.duplicated(["label", "patient"] if twins else ["patient"]).any():
        return None
    by_class = train.groupby("label")["patient"].nunique()
    if by_class.min() < least:
        few = f"the folders below the class folders may be patients, but {by_class.idxmin()} has only {by_class.min()}"
        return _unknown(f"{few}, and {least} folds need {least}") if rule == FOLDERS and by_class.min() > 1 else None
    shared = sorted(set(train["patient"]) & set(table.loc[table["split"] == "test", "patient"]))
    if shared:
        fit = f"the {'tags' if rule == OF_TAG else 'names'} fit '{rule}'"
        return _unknown(
            f"{fit}, but {len(shared)} of its patients, such as {shared[0]}, are in train/ and in test/; check whether"
            " they are the same people"
        )
    odd = "".join(f"; {doubt.text}" for doubt in doubts(table))
    same = f"; {twins} count as one patient: if they are not the same, write patient_scope: class" if twins else ""
    words = f"patients by the rule '{rule}', guessed from {RULES[rule]}: {count_patients(table)}; check this"
    return Guess(rule, f"{words}{same}{odd}", twins)


def _twins(table: pd.DataFrame) -> str:
    """A patient of several classes, in words, if each class may be numbered from its start; empty otherwise."""
    for _, names in table.groupby("label")["patient"]:
        numbers = [int(digits[-1]) for who in names.unique() if (digits := re.findall("[0-9]+", who))]
        if not numbers or names.nunique() < max(numbers) / 2:
            return ""
    labels = table.groupby("patient")["label"].unique()
    shared = labels[labels.map(len) > 1]
    return f"{shared.index[0]} of {' and of '.join(sorted(shared.iloc[0]))}" if len(shared) else ""


def _are_dates(table: pd.DataFrame) -> bool:
    """Whether all patients are dates, or the first parts of dates such as `05` of `05-12-2024`."""
    return all(_is_date(who, image) for who, image in zip(table["patient"], table["image"], strict=True))


def _is_date(patient: str, image: str) -> bool:
    digits, dashed = "".join(re.findall("[0-9]+", patient.rpartition("/")[2])), _DASHED_DATE.search(image)
    return _DATE.fullmatch(digits) is not None or bool(digits and dashed and dashed[0].startswith(digits))
