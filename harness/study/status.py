"""The status of every job of a study, and why jobs are missing. Writes nothing."""

from dataclasses import dataclass
from typing import Any, Literal

from harness.store import Ledger, Store
from harness.store.holders import read_holder
from harness.store.reports import find_report, search_report
from harness.study.identity import Digests, study_id
from harness.study.plan import Job
from harness.study.reader import OF_IMAGES, Reading, StateReader
from harness.study.state import StudyState
from harness.study.study import Study

State = Literal["done", "running", "failed", "missing"]


@dataclass(frozen=True)
class JobStatus:
    """The status of one job in one stage."""

    stage: str  # "test set" for the final test
    scenario: str
    job: str
    job_id: str
    status: State
    why: str = ""


@dataclass(frozen=True)
class Status:
    """The jobs of all known scenarios, the stages that wait for a winner, and the process that runs the study."""

    study: str
    study_id: str
    holder: dict[str, Any] | None  # pid and host of the process that runs a study of this name
    jobs: list[JobStatus]
    waiting: list[str]
    report: str | None  # the folder of this study's report
    search_report: str | None  # that of its newest search

    def count(self, status: State) -> int:
        """The number of jobs with this status."""
        return sum(job.status == status for job in self.jobs)


def study_status(study: Study, digests: Digests, has_test: bool, store: Store, reading: Reading = OF_IMAGES) -> Status:
    """Read the status of a study in this store. has_test: whether there are test images.

    reading: the unit of the numbers that stages select by.
    """
    ledger = Ledger(store)
    holder = read_holder(store.locks / f"{study.study}.json")
    identity = study_id(study, digests)
    running = holder is not None and holder.get("study_id") in (None, identity)  # else another study of this name
    state = StateReader(study, digests, ledger, has_test, reading).read()
    jobs: dict[str, JobStatus] = {}
    for stage, job in _jobs(state):
        jobs.setdefault(job.id, _job_status(stage, job, ledger, running))
    waiting = [f"stage {s.stage.name} waits for the winner of stage {s.waits_for}" for s in state.stages if s.waits_for]
    if study.test and not all(stage.finished for stage in state.stages):
        waiting.append("the test set waits for every stage")
    waiting += [
        f"stage {n.stage.name}, outer fold {number} waits for what is selected without it"
        for n in state.nested
        for number, fold in enumerate(n.outer)
        if fold.refit is None
    ]
    report = find_report(store.reports / study.study, identity)
    searched = search_report(store.reports, study.study)
    folders = [str(folder) if folder else None for folder in (report, searched)]
    return Status(study.study, identity, holder, list(jobs.values()), waiting, *folders)


def _jobs(state: StudyState) -> list[tuple[str, Job]]:
    """Every job with the name of its stage."""
    found = [(stage.stage.name, job) for stage in state.stages for each in stage.scenarios for job in each.jobs]
    found += [
        (f"{n.stage.name}, outer fold {number}", job)
        for n in state.nested
        for number, fold in enumerate(n.outer)
        for fit in fold.fits
        for job in fit.jobs
    ]
    return found + [("test set", job) for test in state.tests for job in test.scored_jobs]


def _job_status(stage: str, job: Job, ledger: Ledger, running: bool) -> JobStatus:
    status, why = _status_and_reason(job, ledger, running)
    return JobStatus(stage, job.scenario.name, job.name, job.id, status, why)


def _status_and_reason(job: Job, ledger: Ledger, running: bool) -> tuple[State, str]:
    if ledger.done(job.id):
        return "done", ""
    note, epoch = ledger.note(job.id), ledger.checkpoint(job.id)
    resumes = f"; continues from its checkpoint of epoch {epoch}" if epoch else ""
    if note is None:
        return "missing", f"not started{resumes}"
    if note["status"] == "failed":
        return "failed", note["reason"] + resumes
    return ("running", resumes.removeprefix("; ")) if running else ("missing", f"interrupted{resumes}")
