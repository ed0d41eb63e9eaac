"""What a fit gives back, and what it says while it runs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import JobError

if TYPE_CHECKING:
    import pandas as pd

Metrics = dict[str, float]
OnEpoch = Callable[[str, int, Metrics], None]  # job id, epoch from 1, metrics of that epoch


@dataclass(frozen=True)
class FoldRecord:
    """The numbers of a finished job, as they stand in its `result.json`."""

    job_id: str
    history: list[Metrics]  # one for each epoch
    selected_epoch: int  # from 1
    metrics: Metrics  # of the selected epoch, under the names of MLflow
    class_counts: dict[str, dict[str, int]]  # training images by class, "before" and "after" oversampling
    facts: dict[str, str | float]  # device, precision, seconds, versions

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class FoldResult:
    """A finished job: its record, its predictions and, for a test job, its model.

    `predictions` has the columns image, patient, label, fold, repeat and prob_<class> for every class;
    `model` is the content of a safetensors file.
    """

    record: FoldRecord
    predictions: "pd.DataFrame"
    model: bytes | None = None


Outcome = FoldResult | JobError
