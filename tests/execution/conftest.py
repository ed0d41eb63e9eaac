"""The jobs that every executor fits, and what they give in this process."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pandas as pd
import pytest

from harness.execution.executor import Executor
from harness.execution.inline import InlineExecutor
from harness.store import Store
from harness.store.results import FoldResult, Metrics, Outcome
from harness.study import Study
from harness.study.plan import Job, batches
from harness.training.context import Context
from tests.conftest import context_of


@dataclass
class Told:
    """What an executor says while it runs."""

    started: list[Job] = field(default_factory=list)
    epochs: list[tuple[str, int]] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    at_end: dict[str, int] = field(default_factory=dict)  # job id -> its epochs told when its outcome came

    def on_epoch(self, job_id: str, epoch: int, _metrics: Metrics) -> None:
        self.epochs.append((job_id, epoch))

    def epochs_of(self, job: Job) -> list[int]:
        return [epoch for job_id, epoch in self.epochs if job_id == job.id]

    def result(self, job: Job) -> FoldResult:
        outcome = self.outcomes[job.id]
        assert isinstance(outcome, FoldResult), outcome
        return outcome


def run(executor: Executor, jobs: list[Job], context: Context, told: Told | None = None) -> Told:
    """Runs jobs to their end."""
    told = told or Told()
    for job, outcome in executor.run(batches(jobs), context, told.started.append, told.on_epoch):
        assert job.id not in told.outcomes, "an outcome came twice"
        told.outcomes[job.id] = outcome
        told.at_end[job.id] = len(told.epochs_of(job))
    return told


@dataclass(frozen=True)
class Case:
    """Jobs of whole networks and of heads on frozen features, and their results by the inline executor."""

    context: Context
    jobs: list[Job]
    reference: Told


@pytest.fixture(scope="session")
def case(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> Case:
    stages = "stages=[{name: all, grid: {trainable: [all, head], head: [dropout-gap, batchnorm-gap]}}]"
    context, jobs = context_of(small_study(stages, "test=null"), new_store())
    assert len(jobs) == 8
    return Case(context, jobs, run(InlineExecutor(), jobs, context))


def spoilt(job: Job, **changes: object) -> Job:
    """The job with settings that were never checked."""
    settings = job.scenario.settings.model_copy(update=changes)
    return replace(job, id=f"spoilt-{job.id}", scenario=replace(job.scenario, settings=settings))


def same_results(told: Told, case: Case, jobs: list[Job]) -> None:
    """Every record and every prediction to the last bit as the inline executor gave it."""
    assert sorted(told.outcomes) == sorted(job.id for job in jobs)
    for job in jobs:
        ours, theirs = told.result(job), case.reference.result(job)
        assert ours.record.history == theirs.record.history
        assert ours.record.metrics == theirs.record.metrics
        assert ours.record.facts.threads == theirs.record.facts.threads == 1
        pd.testing.assert_frame_equal(ours.predictions, theirs.predictions)
