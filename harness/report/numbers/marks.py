"""Warnings printed on tables and figures: synthetic data, rehearsals, leaks, accepted errors, extra looks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from harness.data.dataset import Dataset
from harness.store import Ledger
from harness.study import Study
from harness.study.mixed import fit_marks
from harness.study.rehearsal import rehearsal
from harness.study.settings import Settings
from harness.study.state import StudyState

SYNTHETIC = "SYNTHETIC DATA"
LEAKS = "LEAKS: oversampled before the split"
BEST_EPOCH = "BEST EPOCH: chosen on the images that score it"
CORRECTED = "LABELS CORRECTED: validation images too"


@dataclass(frozen=True)
class Marks:
    """The marks of one study's numbers. fits: marks of every number, from how the study was fitted."""

    study: Study
    fits: tuple[str, ...]
    synthetic: bool = False  # the images

    @cached_property
    def of_study(self) -> tuple[str, ...]:
        """The marks of every number of the study, whatever it is about."""
        return (*study_marks(self.study, self.synthetic), *self.fits)

    @property
    def every(self) -> str | None:
        """The mark of a row that is about no scenario, such as a count of images; None where there is no warning."""
        return _joined(self.of_study)

    def own(self, mark: str | None) -> str | None:
        """The part of a mark that not every number of the study has."""
        return _joined(part for part in (mark or "").split("; ") if part and part not in self.of_study)

    def scenario(self, settings: Settings) -> str | None:
        """The mark of every row that shows this scenario in validation; None where there is no warning."""
        best = [BEST_EPOCH] if settings.select_epoch == "best" else []
        changed = [CORRECTED] if self.study.data.corrections is not None else []
        return _joined([*self.of_study, *_leaks(settings), *best, *changed])

    def test(self, dataset: Dataset, settings: Settings, ledger: Ledger) -> str | None:
        """The mark of every row about the test set: that of its scenario, and of looks beyond the declared ones.

        Without BEST_EPOCH, as the test set is scored at the last epoch, and without CORRECTED, as its labels stay.
        """
        looks, declared = taken_looks(self.study, dataset, ledger), declared_looks(self.study)
        seen = [f"TEST SET SEEN {looks} TIMES, {declared} DECLARED"] if looks > declared else []
        return _joined([*self.of_study, *_leaks(settings), *seen])


def marks_of(study: Study, state: StudyState, synthetic: bool) -> Marks:
    """The marks of a study in this state. synthetic: whether its images are."""
    return Marks(study, tuple(fit_marks(state.fits)), synthetic)


def _joined(marks: Iterable[str]) -> str | None:
    return "; ".join(marks) or None


def _leaks(settings: Settings) -> list[str]:
    return [LEAKS] if settings.leaks else []


def study_marks(study: Study, synthetic: bool) -> list[str]:
    """The marks of every row of the study, from its images, its file and what the command line changed."""
    less, torn = rehearsal(study), "PATIENTS TORN APART" if study.data.patient_source else "PATIENTS UNKNOWN"
    return [
        *([SYNTHETIC] if synthetic else []),
        *([f"REHEARSAL: {', '.join(less)}"] if less else []),
        *([] if study.folds.grouped else [f"{torn}: folds are not grouped"]),
        *(f"ACCEPTED: {name}" for name in study.audit.accept),
        *study.tried.marks,
    ]


def together(marks: Iterable[str | None]) -> str | None:
    """The watermark of a figure with these marks: every different one once; None where there is none."""
    return "; ".join(dict.fromkeys(part for mark in marks if mark for part in mark.split("; "))) or None


def marked(table: pd.DataFrame, mark: str | None) -> pd.DataFrame:
    """The table with the mark in every row; unchanged where there is none."""
    return table.assign(mark=mark) if mark else table


def common_mark(table: pd.DataFrame) -> tuple[str | None, pd.DataFrame]:
    """What all rows of the column `mark` share, and the table without it: for readers, who need it once.

    The column is left out where nothing else is in it.
    """
    if "mark" not in table or not len(table):
        return None, table
    rows = [str(mark).split("; ") if isinstance(mark, str) and mark else [] for mark in table["mark"]]
    shared = [part for part in rows[0] if all(part in row for row in rows)]
    rest = ["; ".join(part for part in row if part not in shared) for row in rows]
    return _joined(shared), table.assign(mark=rest) if any(rest) else table.drop(columns="mark")


def taken_looks(study: Study, dataset: Dataset, ledger: Ledger) -> int:
    """The number of times that studies of this name have scored this test set in this store."""
    return sum(look.same and look.study == study.study for look in ledger.looks.at(dataset))


def declared_looks(study: Study) -> int:
    """The looks that the study file declares: one for each stage that `test` names, or one for each scenario."""
    if study.test is None:
        return 0
    return sum(study.stage(name).size if study.test.scenarios == "all" else 1 for name in study.test.stages)
