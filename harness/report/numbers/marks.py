"""Warnings printed on tables and figures: leaks, accepted audit errors, extra looks at the test set."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from harness.data.dataset import Dataset
from harness.store import Ledger
from harness.study import Study
from harness.study.mixed import fit_marks
from harness.study.settings import Settings
from harness.study.state import StudyState

LEAKS = "LEAKS: oversampled before the split"
BEST_EPOCH = "BEST EPOCH: chosen on the images that score it"


@dataclass(frozen=True)
class Marks:
    """The marks of one study's numbers. fits: marks of every number, from how the study was fitted."""

    study: Study
    fits: tuple[str, ...]

    def scenario(self, settings: Settings) -> str | None:
        """The mark of every row that shows this scenario in validation; None where there is no warning."""
        best = [BEST_EPOCH] if settings.select_epoch == "best" else []
        return "; ".join([*_leaks(settings), *best, *study_marks(self.study), *self.fits]) or None

    def test(self, dataset: Dataset, settings: Settings, ledger: Ledger) -> str | None:
        """The mark of every row about the test set: that of its scenario, and of looks beyond the declared ones.

        Without BEST_EPOCH: the test set is scored at the last epoch.
        """
        looks, declared = taken_looks(self.study, dataset, ledger), declared_looks(self.study)
        seen = [f"TEST SET SEEN {looks} TIMES, {declared} DECLARED"] if looks > declared else []
        return "; ".join([*_leaks(settings), *study_marks(self.study), *self.fits, *seen]) or None


def marks_of(study: Study, state: StudyState) -> Marks:
    """The marks of a study in this state."""
    return Marks(study, tuple(fit_marks(state.fits)))


def _leaks(settings: Settings) -> list[str]:
    return [LEAKS] if settings.leaks else []


def study_marks(study: Study) -> list[str]:
    """The marks of every row of the study."""
    torn = "PATIENTS TORN APART" if study.data.patient_rule else "PATIENTS UNKNOWN"
    marks = [] if study.folds.grouped else [f"{torn}: folds are not grouped"]
    return marks + [f"ACCEPTED: {name}" for name in study.audit.accept]


def together(marks: Iterable[str | None]) -> str | None:
    """The watermark of a figure with these marks: every different one once; None where there is none."""
    return "; ".join(dict.fromkeys(part for mark in marks if mark for part in mark.split("; "))) or None


def marked(table: pd.DataFrame, mark: str | None) -> pd.DataFrame:
    """The table with the mark in every row; unchanged where there is none."""
    return table.assign(mark=mark) if mark else table


def taken_looks(study: Study, dataset: Dataset, ledger: Ledger) -> int:
    """The number of times that studies of this name have scored this test set in this store."""
    return sum(look.same and look.study == study.study for look in ledger.looks(dataset))


def declared_looks(study: Study) -> int:
    """The looks that the study file declares: one for each stage that `test` names, or one for each scenario."""
    if study.test is None:
        return 0
    return sum(study.stage(name).size if study.test.scenarios == "all" else 1 for name in study.test.stages)
