import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import JobError, StudyError
from harness.prepare import prepare
from harness.reproduce import find_job
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.status import JobStatus, Status, study_status
from tests.conftest import Finished


@pytest.fixture
def part(finished: Finished, store: Store) -> Store:
    """A store with the small study, one of whose first stage's jobs is not done."""
    shutil.copytree(finished.store.jobs, store.jobs)
    shutil.rmtree(store.jobs / missing_id(finished))
    return store


def missing_id(finished: Finished) -> str:
    return finished.run.state.stages[0].scenarios[1].jobs[1].id


def status_of(finished: Finished, store: Store) -> Status:
    return study_status(finished.study, prepare(finished.study, store).inputs.digests, True, store)


def cell(status: Status, job_id: str) -> JobStatus:
    (found,) = [job for job in status.jobs if job.job_id == job_id]
    return found


def test_a_finished_study_is_all_done(finished: Finished) -> None:
    status = status_of(finished, finished.store)
    assert status.count("done") == len(status.jobs) == 7
    assert (status.holder, status.waiting) == (None, [])


def test_what_is_missing_says_why(finished: Finished, part: Store) -> None:
    job_id, ledger = missing_id(finished), Ledger(part)
    assert cell(status_of(finished, part), job_id).why == "not started"
    ledger.begin(job_id)
    assert cell(status_of(finished, part), job_id).status == "missing"
    assert cell(status_of(finished, part), job_id).why == "interrupted"
    with part.locked(finished.study.study):
        status = status_of(finished, part)
        assert cell(status, job_id).status == "running"
        assert status.holder is not None
    ledger.fail(JobError(job_id, "out of memory in epoch 1, batch 2"))
    failed = cell(status_of(finished, part), job_id)
    assert (failed.status, failed.why) == ("failed", "out of memory in epoch 1, batch 2")
    assert status.waiting == [
        "stage sampling waits for the winner of stage heads", "the test set waits for every stage",
    ]  # fmt: skip


def test_a_checkpoint_is_told(finished: Finished, part: Store) -> None:
    folder = part.checkpoints / missing_id(finished)
    folder.mkdir(parents=True)
    (folder / "000007-abc.safetensors").touch()
    assert (
        cell(status_of(finished, part), missing_id(finished)).why
        == "not started; continues from its checkpoint of epoch 7"
    )


def test_the_status_changes_nothing(finished: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.store.root.rglob("*")}
    status_of(finished, finished.store)
    assert {path: path.stat().st_mtime_ns for path in finished.store.root.rglob("*")} == before


def test_a_cell_is_found_by_name_or_id_and_a_wrong_one_is_refused(
    finished: Finished, small_study: Callable[..., Study]
) -> None:
    study = small_study()
    state = prepare(study, finished.store).reader.read()
    scenario = state.stages[0].scenarios[0].scenario
    for name in (scenario.name, scenario.id):
        assert find_job(state, name, 1, 0) == state.stages[0].scenarios[0].jobs[1]
    with pytest.raises(StudyError, match=r"--scenario: unknown scenario 'dropout-gap'; did you mean"):
        find_job(state, "dropout-gap", 0, 0)
    with pytest.raises(StudyError, match=r"--fold 2 --repeat 0: the study has the folds 0 to 1 and the repeats 0 to 0"):
        find_job(state, scenario.name, 2, 0)


def test_a_result_that_is_set_aside_is_not_done_any_more(finished: Finished, part: Store, tmp_path: Path) -> None:
    ledger, job_id = Ledger(part), finished.run.state.stages[0].scenarios[0].jobs[0].id
    shutil.copytree(ledger.path(job_id), tmp_path / "copy")
    first = ledger.set_aside(job_id)
    assert not ledger.done(job_id)
    assert sorted(path.name for path in first.iterdir()) == sorted(path.name for path in (tmp_path / "copy").iterdir())
    shutil.copytree(first, ledger.path(job_id))
    assert ledger.set_aside(job_id) != first
