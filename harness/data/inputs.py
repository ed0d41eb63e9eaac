"""What a study reads, and the study in its store."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from harness.data.dataset import Dataset
from harness.data.folds import Fold
from harness.data.separation import Separation
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.identity import Digests, study_id
from harness.study.reader import StateReader


@dataclass(frozen=True)
class Inputs:
    """What a study reads."""

    dataset: Dataset
    folds: list[Fold]
    digests: Digests
    heads: Mapping[str, str]  # the sources of custom heads
    separation: Separation

    def fold(self, repeat: int, number: int) -> Fold:
        """The fold at these coordinates."""
        return next(fold for fold in self.folds if (fold.repeat, fold.fold) == (repeat, number))


@dataclass(frozen=True)
class Workspace:
    """A study in its store: everything that it reads, and how far it is."""

    study: Study
    inputs: Inputs
    store: Store

    @property
    def ledger(self) -> Ledger:
        """The finished jobs of the store."""
        return Ledger(self.store)

    @cached_property
    def identity(self) -> str:
        """The id of the study: the hash of its file and of all that it reads."""
        return study_id(self.study, self.inputs.digests)

    @property
    def has_test(self) -> bool:
        """Whether there are images to test on."""
        return len(self.inputs.dataset.rows("test")) > 0

    @cached_property
    def reader(self) -> StateReader:
        """The reader of how far the study is; it reads each finished job once."""
        return StateReader(self.study, self.inputs.digests, self.ledger, self.has_test)
