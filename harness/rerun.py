"""One cell of a study, run again although it is done: the old result is set aside, so that there is one truth."""

from dataclasses import dataclass

from harness.ledger import Ledger
from harness.plan import Job
from harness.prepare import prepare
from harness.progress import Reporter
from harness.reproduce import Reproduction
from harness.runner import Run, require_same_code, require_same_versions, run_study
from harness.stages import study_state
from harness.status import find_job
from harness.store import Store
from harness.study import Study


@dataclass(frozen=True)
class Rerun:
    """The run, and the old numbers beside the new ones where there were old ones and the new fit did not fail."""

    job: Job
    run: Run
    compared: Reproduction | None


def rerun(study: Study, store: Store, device: str, reporter: Reporter, scenario: str, fold: int, repeat: int) -> Rerun:
    """The job at these coordinates, fitted anew and published; other jobs stay as they are, missing ones missing."""
    inputs, ledger = prepare(study, store), Ledger(store)
    states = study_state(study, inputs.digests, ledger, provisional=True)
    job = find_job(study, states, scenario, fold, repeat)
    old = ledger.record(job.id) if ledger.done(job.id) else None
    if old is not None:
        require_same_code(study, inputs, ledger)
        require_same_versions(study, inputs, store, to_fit=True)
        with store.locked(study.study):
            reporter.say(f"the old result is now in {ledger.set_aside(job.id)}")
    run = run_study(study, store, device, reporter, only={job.id})
    compared = Reproduction(job, old, ledger.record(job.id)) if old is not None and ledger.done(job.id) else None
    return Rerun(job, run, compared)
