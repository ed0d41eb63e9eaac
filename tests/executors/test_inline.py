from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.errors import JobError, Stopped
from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from harness.plan import Job, batches
from harness.results import FoldResult, Metrics
from harness.store import Store
from harness.study import Study
from harness.training.job import Context
from tests.conftest import context_of


@pytest.fixture(scope="module")
def case(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> tuple[Context, list[Job]]:
    return context_of(small_study("base.epochs=1"), new_store())


def spoilt(job: Job, **changes: object) -> Job:
    """The job with settings that were never checked."""
    settings = job.scenario.settings.model_copy(update=changes)
    return replace(job, id=f"spoilt-{job.id}", scenario=replace(job.scenario, settings=settings))


def silent(*_: object, **__: object) -> None:
    pass


class Begun(list[Job]):
    """The jobs that an executor says it has begun."""

    def __call__(self, job: Job) -> None:
        self.append(job)


def test_every_job_has_its_outcome_in_order(case: tuple[Context, list[Job]]) -> None:
    context, jobs = case
    executor: Executor = InlineExecutor()
    begun = Begun()
    told: list[tuple[str, int]] = []

    def on_epoch(job_id: str, epoch: int, _metrics: Metrics) -> None:
        told.append((job_id, epoch))

    outcomes = list(executor.run(batches(jobs), context, begun, on_epoch))
    assert [job for job, _ in outcomes] == begun == jobs
    assert told == [(job.id, 1) for job in jobs]
    assert [o.record.job_id for _, o in outcomes if isinstance(o, FoldResult)] == [job.id for job in jobs]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"learning_rate": 1e30, "epochs": 3, "batch_size": 4}, "the loss is "),
        ({"head": "no-such-head"}, "no-such-head"),
        ({"backbone": "no_such_backbone"}, "no_such_backbone"),
    ],
    ids=["not finite", "head", "backbone"],
)
def test_a_failing_job_is_a_job_error_and_the_others_go_on(
    case: tuple[Context, list[Job]], changes: dict[str, object], reason: str
) -> None:
    context, (first, second, *_) = case
    bad = spoilt(second, **changes)
    outcomes = dict(InlineExecutor().run(batches([bad, first]), context, silent, silent))
    error = outcomes[bad]
    assert isinstance(error, JobError)
    assert error.job_id == bad.id
    assert reason in error.reason
    assert "\n" not in error.reason
    assert error.details.startswith("Traceback")
    assert isinstance(outcomes[first], FoldResult)


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), Stopped(15)])
def test_a_request_to_stop_is_no_failure_of_a_job(case: tuple[Context, list[Job]], signal: BaseException) -> None:
    context, jobs = case

    def stop(*_: object) -> None:
        raise signal

    with pytest.raises(type(signal)):
        list(InlineExecutor().run(batches(jobs), context, silent, stop))


def test_jobs_are_begun_only_when_the_one_before_is_taken(case: tuple[Context, list[Job]]) -> None:
    context, jobs = case
    begun = Begun()
    outcomes = InlineExecutor().run(batches(jobs), context, begun, silent)
    next(outcomes)
    assert begun == jobs[:1]
