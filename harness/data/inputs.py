"""What a study reads, and the study in its store."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from harness.data.audit import Audit, audit_study
from harness.data.dataset import Dataset
from harness.data.folds import Fold
from harness.data.nested_folds import NestedFolds
from harness.data.separation import Separation
from harness.data.subgroups import image_groups, subgroup_table
from harness.data.units import chosen_unit, other_unit, unit_dataset, unit_groups
from harness.stats.own_metrics import NO_OWN, OwnScores
from harness.store import Ledger, Store
from harness.store.reports import report_place
from harness.study import Study
from harness.study.history import CommandEntry, read_commands
from harness.study.identity import Digests, study_id
from harness.study.nested import NestedDigests
from harness.study.reader import Reading, StateReader
from harness.study.types import is_worst_group
from harness.study.unit import Unit


@dataclass(frozen=True)
class Inputs:
    """What a study reads."""

    dataset: Dataset
    folds: list[Fold]
    digests: Digests
    heads: Mapping[str, str]  # the sources of custom heads
    separation: Separation
    own: OwnScores = NO_OWN  # metrics
    nested: tuple[NestedFolds, ...] = ()

    @property
    def k(self) -> int:
        """The number of folds of a repeat."""
        return len({fold.fold for fold in self.folds})

    def fold(self, repeat: int, number: int) -> Fold:
        """The fold at these coordinates."""
        return next(fold for fold in self.folds if (fold.repeat, fold.fold) == (repeat, number))


@dataclass(frozen=True)
class Workspace:
    """A study in its store: everything that it reads, and how far it is."""

    study: Study
    inputs: Inputs
    store: Store
    stored_audit: Audit | None = None  # of a study that is read from its record, without its images

    @property
    def ledger(self) -> Ledger:
        """The finished jobs of the store."""
        return Ledger(self.store, self.inputs.own)

    @cached_property
    def identity(self) -> str:
        """The id of the study: the hash of its file and of all that it reads."""
        return study_id(self.study, self.inputs.digests)

    @property
    def images(self) -> bool:
        """Whether the images were read: they are at hand. Else everything is from the record of the study."""
        return self.stored_audit is None

    @cached_property
    def audit(self) -> Audit:
        """The audit of the images."""
        study, inputs = self.study, self.inputs
        return self.stored_audit or audit_study(study, inputs.dataset, inputs.folds, self.store)

    @property
    def folder(self) -> Path:
        """The folder of the study's record."""
        return self.store.studies / self.study.study / self.identity

    def report_folder(self, empty: bool = False) -> Path:
        """The folder of the study's report. empty: none of its fits is done.

        An empty report, or that of a variant by `--set`, never takes the place of another study's report.
        """
        return report_place(self.store.reports / self.study.study, self.identity, empty or self.study.is_variant)

    @property
    def commands(self) -> tuple[CommandEntry, ...]:
        """The commands that fitted something for this study."""
        return read_commands(self.folder)

    @property
    def has_test(self) -> bool:
        """Whether there are images to test on."""
        return len(self.inputs.dataset.rows("test")) > 0

    @cached_property
    def reader(self) -> StateReader:
        """The reader of how far the study is; it reads each finished job once."""
        return self.reader_of(self.unit)

    def reader_of(self, unit: Unit) -> StateReader:
        """A reader whose numbers are of this unit."""
        return StateReader(self.study, self.inputs.digests, self.ledger, self.has_test, self.reading(unit))

    def reading(self, unit: Unit) -> Reading:
        """How the numbers of finished fits are read in this unit."""
        dataset, stages = unit_dataset(self.inputs.dataset, unit), self.study.stages
        by_group = any(stage.select and is_worst_group(stage.select.metric) for stage in stages)
        groups = image_groups(self.groups_of(unit), dataset) if by_group else None
        return Reading(unit, dataset.positive, groups, self._nested_digests)

    @cached_property
    def _nested_digests(self) -> tuple[NestedDigests, ...]:
        return tuple(each.digests(self.inputs.dataset) for each in self.inputs.nested)

    @cached_property
    def unit(self) -> Unit:
        """The unit that the study's numbers are about: what stages select by, and what leads its report."""
        return chosen_unit(self.study, self.inputs.dataset)

    @cached_property
    def other_unit(self) -> Unit | str | None:
        """The unit of the other part of the report, or why there is none; None where there is nothing to say of it."""
        return other_unit(self.study, self.inputs.dataset, self.inputs.separation)

    @cached_property
    def groups(self) -> pd.DataFrame:
        """The groups of every image: a row for each image, a column for each entry of `subgroups`."""
        return subgroup_table(self.study, self.inputs.dataset)

    def groups_of(self, unit: Unit) -> pd.DataFrame:
        """The groups of every image, or of every patient."""
        return unit_groups(self.groups, self.inputs.dataset, unit)
