from harness.execution.inline import InlineExecutor
from harness.study.plan import Job, batches
from tests.execution.conftest import Case, run


def test_jobs_are_done_in_their_order(case: Case) -> None:
    told = run(InlineExecutor(), case.jobs[::-1], case.context)
    order = [job for batch in batches(case.jobs[::-1]) for job in batch.jobs]
    assert list(told.outcomes) == [job.id for job in order]
    assert told.started == order


def test_a_job_is_begun_only_when_the_outcome_before_is_taken(case: Case) -> None:
    begun: list[Job] = []
    outcomes = InlineExecutor().run(batches(case.jobs), case.context, begun.append, lambda *_: None)
    next(outcomes)
    assert begun == case.jobs[:1]
