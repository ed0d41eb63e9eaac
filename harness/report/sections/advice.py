"""What to do about an error or a warning of the audit, and which findings of the same kind are shown."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.data.finding import AuditFinding

MAX_OF_A_NAME = 3  # findings of one name that are shown one by one
ACCEPT = "or accept it by its name in audit.accept: then every number says so"

ADVICE = {
    "patient-across-splits": f"Move all images of a patient to one split, {ACCEPT}.",
    "duplicate-across-splits": f"Remove the copies from one of the splits, {ACCEPT}.",
    "near-duplicate-across-splits": f"Look at the pairs, and remove copies from one of the splits, {ACCEPT}.",
    "label-conflict": f"Look at the images, and correct or remove what has the wrong label, {ACCEPT}.",
    "duplicate-across-patients": "Check that data.patient, or the table's column, tells patients apart as it should.",
    "near-duplicate-across-labels": "Look at the pairs: one of two labels may be wrong.",
    "near-duplicate-across-patients": "Look at the pairs; give images of one person the same patient.",
    "near-duplicate-across-folds": "Look at the pairs; give images of one person the same patient.",
    "aligned-across-splits": "Look at the pairs, and remove copies from one of the splits.",
    "aligned-across-classes": "Look at the pairs: one of two labels may be wrong.",
    "aligned-across-patients": "Look at the pairs; give images of one person the same patient.",
    "aligned-across-folds": "Look at the pairs; `folds: {duplicates: aligned}` keeps such images in one fold.",
    "patient-across-folds": "Set folds.grouped: true.",
    "patients-unknown": "Say who the patients are in data.patient, if that is known.",
    "patients-alone": "Check on some images that data.patient, or the table's column, finds the patient.",
    "patient-of-a-split": "Check on some images that data.patient, or the table's column, finds the patient.",
    "patient-of-a-class": "Check on some images that data.patient, or the table's column, finds the patient.",
    "patient-rule": "Find out which of the rules is right: patients may be in several splits.",
    "left-out": "Move the files to where the source reads them, if they belong to the study.",
    "bad-images": "Mend or replace the files, if they can be; say in the paper how many were left out.",
    "blank": "Look at them; remove images that show nothing.",
    "dark-16-bit": "Set data.window to the range of the values.",
    "few-levels": "Set data.window to the range of the values.",
    "inverted": "Look at them; invert those that are negatives.",
    "inverted-classes": "Look at images of both classes; invert the class that is negative.",
    "small-validation": "Fewer folds, several repeats, or more images; read the recall of this class by its interval.",
    "prior": "Read accuracy and predictive values with care: they depend on the shares of the classes.",
    "shift": "Expect other results on the test set than in the folds; ask how the test images were made.",
    "confounder": "A network may read this instead of the class: look at the results by its groups.",
}
BY_GROUP = "A network may learn the group from this: find out where the difference comes from."  # of `NAME-by-GROUP`


def advice(finding: AuditFinding) -> str:
    """What to do about an error or a warning; empty for a note."""
    if finding.severity == "note":
        return ""
    if finding.accepted:
        return "Accepted by its name in the study file."
    return ADVICE.get(finding.name) or (BY_GROUP if "-by-" in finding.name else "")


def shown_findings(findings: Sequence[AuditFinding]) -> Iterator[tuple[AuditFinding, str]]:
    """Yield findings with their words: of many that follow each other and have one name, the first and their number."""
    for _, same in groupby(findings, key=lambda finding: (finding.severity, finding.name)):
        found = list(same)
        shown = found if len(found) <= MAX_OF_A_NAME + 1 else found[:MAX_OF_A_NAME]
        for finding in shown:
            more = len(found) - len(shown) if finding is shown[-1] else 0
            yield finding, f"{finding.text}; and {more:,} more like this, in audit.json" if more else finding.text
