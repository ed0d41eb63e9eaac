"""A report while it is written: what its sections need."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.data.dataset import Dataset
from harness.data.inputs import Inputs, Workspace
from harness.report.numbers.marks import Marks, marks_of
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Statistics
from harness.store import Ledger
from harness.study import Study
from harness.study.state import StudyState
from harness.study.unit import BY_IMAGE, Unit


@dataclass(frozen=True)
class Draft:
    """A study and how far it is, its numbers, and the folder that tables and figures are written to."""

    workspace: Workspace
    state: StudyState
    statistics: Statistics
    folder: Path
    unit: Unit = BY_IMAGE  # of its numbers

    @property
    def study(self) -> Study:
        """The study that is reported."""
        return self.workspace.study

    @property
    def inputs(self) -> Inputs:
        """What the study reads."""
        return self.workspace.inputs

    @property
    def dataset(self) -> Dataset:
        """The images of the study."""
        return self.workspace.inputs.dataset

    @property
    def ledger(self) -> Ledger:
        """The finished jobs of the store."""
        return self.workspace.ledger

    @cached_property
    def predictions(self) -> Predictions:
        """The predictions of its unit."""
        return Predictions(self.ledger, self.dataset.positive, self.unit)

    @cached_property
    def marks(self) -> Marks:
        """The warnings that are printed on tables and figures."""
        return marks_of(self.study, self.state, self.dataset.synthetic)
