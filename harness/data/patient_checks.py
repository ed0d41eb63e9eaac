"""The checks of the audit on patients: by the rule of the study file, and by others that it names."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pandas as pd

from harness.data.dataset import SPLITS, Dataset
from harness.data.finding import AuditFinding, Severity
from harness.data.guesses import suggestion
from harness.data.patient_counts import PATIENTS_UNKNOWN, doubts
from harness.data.patients import patient_rule, seen_by_rules
from harness.study.number_words import is_are, number_of


def by_study_rule(dataset: Dataset, least: int) -> Iterator[AuditFinding]:
    """Check the patients that the rule of the study file finds. least: the patients that each class must have."""
    if dataset.patient_rule is None:
        across = ", and may be in train and test" if len(dataset.rows("test")) else ""
        yield AuditFinding("patients-unknown", "warning", f"{PATIENTS_UNKNOWN}{across}; {suggestion(dataset, least)}")
        return
    of_column = dataset.patient_words != "the rule"
    source = dataset.patient_words if of_column else "the rule data.patient"
    if len(dataset.rows("test")):
        for pair in combinations(dataset.splits, 2):
            finding = _across_splits(dataset, dataset.table["patient"], source, "error", pair)
            if pair[0] == "train" or finding.facts["shared"]:  # two test sets that share nobody are not worth a line
                yield finding
    check = "columns.patient names the right column" if of_column else "data.patient reads the paths correctly"
    for doubt in doubts(dataset.table, dataset.patient_words):
        yield AuditFinding(doubt.name, "warning", f"{doubt.text}: check that {check}")


def by_other_rule(dataset: Dataset, rule: str) -> AuditFinding:
    """Count by another rule; an image that does not match counts as a patient, and is counted as such."""
    key = patient_rule(rule)
    found = [key(path) for path in seen_by_rules(dataset.table)]
    unmatched = sum(not patient for patient in found)
    facts = {"rule": rule, "unmatched": unmatched}
    if unmatched == len(found):
        return AuditFinding("patient-rule", "warning", f"the rule {rule} matches no image: it checks nothing", facts)
    if not len(dataset.rows("test")):
        return AuditFinding("patient-rule", "note", f"the rule {rule} checks nothing: there are no test images", facts)
    names = pd.Series([patient or image for patient, image in zip(found, dataset.table["image"], strict=True)])
    finding = _across_splits(dataset, names, f"the rule {rule}", "warning")
    more = f"; it does not match {unmatched:,} of {len(found):,} images" if unmatched else ""
    return replace(finding, text=finding.text + more, facts=finding.facts | facts)


def _across_splits(
    dataset: Dataset, keys: pd.Series, source: str, severity: Severity, pair: tuple[str, str] = SPLITS
) -> AuditFinding:
    """Count the patients that are in both of two splits; by default in any test.

    keys: the patient of each image of the table. source: what says so, such as `the rule data.patient`.
    """
    splits = dataset.table["split"]
    in_test = splits != "train" if pair == SPLITS and severity == "warning" else splits == pair[1]
    shared = set(keys[in_test]) & set(keys[splits == pair[0]])
    hit = in_test & keys.isin(shared)
    facts = {
        "rule": source.removeprefix("the rule "), "shared": len(shared), "test_images": int(hit.sum()),
        "by_class": dataset.table.loc[hit, "label"].value_counts().to_dict(),
    }  # fmt: skip
    sides = " and ".join(pair) if pair == SPLITS else " and in ".join(map(dataset.split_words, pair))
    what = "test image" if pair == SPLITS else f"image of {dataset.split_words(pair[1])}"
    what = number_of(int(hit.sum()), what)
    who = f"{number_of(len(shared), 'patient')} {is_are(len(shared))}"
    text = f"{who} in {sides} by {source} ({what})"
    name = "patient-across-splits" if severity == "error" else "patient-rule"
    return AuditFinding(name, severity if shared else "note", text, facts)
