"""The checks of the audit that compare each test set with the training images."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.data.dataset import LEADING, Dataset, Rows
from harness.data.finding import AuditFinding, Severity
from harness.data.shift import resplit_control, train_test_shift
from harness.stats import ALPHA
from harness.stats.proportions import two_proportions

SHIFT_WARNING_AUC = 0.7


@dataclass(frozen=True)
class TestedSet:
    """The training images and one test set. rows: of the whole table. name: of the set; `test` for a single one."""

    dataset: Dataset
    rows: Rows
    name: str

    @property
    def facts(self) -> dict[str, Any]:
        """The name of the set, where there are several."""
        return {} if self.name == LEADING else {"set": self.name}


def tested_sets(dataset: Dataset) -> Iterator[TestedSet]:
    """Yield the test sets, each with all training images."""
    if not dataset.further_sets:
        yield TestedSet(dataset, np.arange(len(dataset.table)), LEADING)
        return
    for name, split in zip(dataset.sets, dataset.splits[1:], strict=True):
        rows = np.flatnonzero(dataset.table["split"].isin(["train", split]))
        yield TestedSet(dataset.of_set(name), rows, name)


def priors(tested: TestedSet) -> Iterator[AuditFinding]:
    """Compare the shares of the classes in training and in a test set."""
    dataset = tested.dataset
    train, test = (dataset.counts(dataset.rows(split)) for split in ("train", "test"))
    totals = sum(train.values()), sum(test.values())
    if not totals[1]:
        return
    for name in dataset.classes:
        shares = train[name] / totals[0], test[name] / totals[1]
        _, p = two_proportions((train[name], test[name]), totals)
        text = f"{name}: {shares[0]:.1%} of train and {shares[1]:.1%} of {tested.name}"
        facts = {"class": name, "train": shares[0], "test": shares[1], "p": p} | tested.facts
        yield AuditFinding("prior", "warning" if p < ALPHA / len(dataset.classes) else "note", text, facts)


def shifts(tested: TestedSet, thumbnails: np.ndarray) -> Iterator[AuditFinding]:
    """Find out whether the images of a class tell if they are training or test images."""
    dataset = tested.dataset
    in_test = (dataset.table["split"] == "test").to_numpy()
    for index, name in enumerate(dataset.classes):
        rows = dataset.labels == index
        shift = train_test_shift(thumbnails[rows], dataset.groups[rows], in_test[rows])
        if shift is not None:
            text = (
                f"within {name} a classifier separates train from {tested.name} with AUC {shift.auc:.2f}"
                f" (random split {shift.control:.2f})"
            )
            severity: Severity = "warning" if shift.auc > SHIFT_WARNING_AUC else "note"
            facts = {"class": name, "auc": shift.auc, "control": shift.control} | tested.facts
            yield AuditFinding("shift", severity, text, facts)


def resplit(tested: TestedSet, thumbnails: np.ndarray) -> Iterator[AuditFinding]:
    """Find out whether a simple classifier loses on the test set what it does not lose on random splits."""
    dataset = tested.dataset
    in_test = (dataset.table["split"] == "test").to_numpy()
    gap = resplit_control(thumbnails, dataset.labels, dataset.groups, in_test)
    if gap is not None:
        text = (
            f"logistic regression on thumbnails has accuracy {gap.validation:.3f} in cross-validation and"
            f" {gap.test:.3f} on {tested.name}; after a random re-split of the same images {gap.resplit_validation:.3f}"
            f" and {gap.resplit_test:.3f}"
        )
        yield AuditFinding("resplit", "note", text, asdict(gap) | tested.facts)
