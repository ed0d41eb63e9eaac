"""Several refits of a scenario: the small study with three, the first of which an earlier run of it has made."""

from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from harness.cli.show.plan import show_plan
from harness.data.inputs import Workspace
from harness.errors import JobError
from harness.prepare import prepare
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.predictions import averaged, scored
from harness.report.numbers.records import Estimate, read_statistics
from harness.report.numbers.refit_numbers import SD_OVER_REFITS, refit_on, spread_words
from harness.report.numbers.statistics import study_statistics
from harness.report.verified.fits import fit_item, planned_fits
from harness.report.verified.report_again import report_again_items
from harness.stats.arrays import arrays
from harness.stats.one_more_model import one_more
from harness.stats.proportions import clustered_wilson
from harness.store import Ledger, Store
from harness.study import Study, load_study
from harness.study.plan import Job
from harness.study.state import look_key
from harness.study.status import study_status
from harness.study_results import Results
from harness.tracking.publisher import Publisher
from harness.training.preflight import Networks
from tests.conftest import Finished, run_in, runs_of
from tests.report.test_sets_side_by_side import write_three


@pytest.fixture(scope="module")
def refitted(
    finished: Finished, small_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """The small study with three refits, in a copy of its store."""
    store = finished.copy_to(tmp_path_factory.mktemp("refits") / "store")
    return run_in(small_study("test.refits=3"), store)


def pick(estimates: list[Estimate], metric: str, on: str = TEST) -> Estimate:
    """The estimate of the one tested scenario."""
    (found,) = (e for e in estimates if (e.on, e.metric) == (on, metric) and e.subject != "majority class")
    return found


def test_the_first_refit_is_that_of_a_study_with_one_and_the_others_are_fitted(
    finished: Finished, refitted: Finished
) -> None:
    (one,), (test,) = finished.run.state.tests, refitted.run.state.tests
    assert test.jobs == one.jobs
    assert [job.name for job, _ in refitted.reporter.outcomes] == [
        "refit 2 on all training images",
        "refit 3 on all training images",
    ]
    ledger = refitted.run.workspace.ledger
    frames = [ledger.predictions(job.id) for job in test.scored_jobs]
    assert len({frame.filter(like="prob_").to_numpy().tobytes() for frame in frames}) == 3, "a seed each"
    assert scored(test) == f"{test.name}, refit 1 of 3"
    assert averaged(test) == f"{test.name}, mean of 3 refits"


def test_all_refits_of_a_scenario_are_one_look(finished: Finished, refitted: Finished) -> None:
    workspace, (test,) = refitted.run.workspace, refitted.run.state.tests
    looks = workspace.ledger.looks.at(workspace.inputs.dataset)
    assert [look.jobs for look in looks] == [
        tuple(job.id for job in finished.run.state.tests[0].jobs),
        tuple(job.id for job in test.scored_jobs),
    ]
    assert looks[-1].key == look_key(test)


def test_a_number_on_the_test_set_is_the_mean_with_the_interval_of_images_and_seeds(refitted: Finished) -> None:
    (test,), ledger = refitted.run.state.tests, refitted.run.workspace.ledger
    estimates = read_statistics(refitted.run.report.parent).estimates
    frames = [ledger.predictions(job.id) for job in test.scored_jobs]
    right = np.array([arrays(frame)[1].argmax(axis=1) == arrays(frame)[2] for frame in frames])
    values = right.mean(axis=1).tolist()
    assert len(set(values)) > 1
    accuracy = pick(estimates, "accuracy")
    assert accuracy.value == pytest.approx(mean(values))
    of_images = clustered_wilson(right, np.ones_like(right), frames[0]["patient"].factorize()[0])
    low, high = one_more(of_images, values)
    assert accuracy.interval == pytest.approx((max(low, 0), min(high, 1)))
    assert (accuracy.hits, accuracy.n, accuracy.repeats) == (None, len(frames[0]), 1)
    assert "of the mean rate on the images of one refit" in (accuracy.method or "")
    assert (accuracy.method or "").endswith("; widened by the SD of 3 refits, for one more model by the recipe")
    assert pick(estimates, f"{SD_OVER_REFITS}accuracy").value == pytest.approx(stdev(values))
    each = [pick(estimates, "accuracy", refit_on(TEST, number)) for number in (1, 2, 3)]
    assert [e.value for e in each] == pytest.approx(values)
    assert each[0].hits == right[0].sum()
    losses = [record.metrics["test/loss"] for state in test.with_refits for record in state.records.values()]
    assert pick(estimates, "loss").value == pytest.approx(mean(losses))
    assert pick(estimates, "test", "gap").value == pytest.approx(mean(values))
    assert {e.mark for e in each} == {accuracy.mark} != {None}


def test_the_report_has_a_row_for_each_refit_and_says_which_one_it_shows(refitted: Finished) -> None:
    (test,), page = refitted.run.state.tests, refitted.run.report.read_text()
    accuracy = pick(read_statistics(refitted.run.report.parent).estimates, "accuracy")
    assert f"## Test set: {test.name}, mean of 3 refits" in page
    assert f"mean accuracy over all 3 refits, each with a seed of its own: **{accuracy.value:.3f}** (SD" in page
    board = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| refit ")]
    assert board == ["refit 1", "refit 2", "refit 3"]
    assert "What follows is of refit 1" in page
    assert "on the test set, by refit 1" in page, "the operating point, in the summary"
    first = next(iter(test.records.values())).metrics["test/accuracy"]
    assert f"Refit 1 has {round(24 * first)}/24" in page


def test_mlflow_has_a_run_for_each_further_refit_and_registers_the_first(refitted: Finished) -> None:
    (test,) = refitted.run.state.tests
    assert test.refits is not None
    further = [run.data.tags["harness.job_id"] for run in runs_of(refitted.store, "refit")]
    assert further == [job.id for job in test.refits.jobs]
    run = next(run for run in runs_of(refitted.store, "test") if "test/accuracy_mean" in run.data.metrics)
    values = [record.metrics["test/accuracy"] for state in test.with_refits for record in state.records.values()]
    assert run.data.metrics["test/accuracy"] == values[0]
    assert run.data.metrics["test/accuracy_mean"] == pytest.approx(mean(values))
    assert run.data.metrics["test/accuracy_std"] == pytest.approx(stdev(values))
    from mlflow import MlflowClient

    champion = MlflowClient(refitted.store.tracking_uri).get_model_version_by_alias("small", "champion")
    assert champion.tags["harness.job_id"] == test.jobs[0].id


def test_plan_counts_the_fits_and_python_has_the_predictions_of_each(
    refitted: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, (test,) = refitted.run.workspace, refitted.run.state.tests
    show_plan(workspace, refitted.run.state, Networks({}, {}))
    assert "6 done; for the test set 3 fits, 3 of each scenario that is scored" in capsys.readouterr().out
    rows = Results(workspace, refitted.run.state).predictions("test set")
    for job in test.scored_jobs:
        own = workspace.ledger.predictions(job.id)["prob_PNEUMONIA"]
        assert rows.loc[rows["repeat"] == job.refit, "prob_PNEUMONIA"].tolist() == own.tolist()


def _fails(workspace: Workspace, job: Job) -> None:
    """Publish that a job has failed, of a store whose run of it is gone."""
    with Publisher(workspace) as publisher:
        publisher._tracker._runs.pop(("refit", job.id))
        publisher.job_ended(job, JobError(job.id, "the loss is nan", ""))


@pytest.mark.slow
def test_without_one_refit_the_others_count_and_it_alone_is_missing(refitted: Finished, tmp_path: Path) -> None:
    store = refitted.copy_to(tmp_path / "copy")
    workspace = prepare(refitted.study, store)
    lost = refitted.run.state.tests[0].scored_jobs[1]
    workspace.ledger.set_aside(lost.id)
    state = workspace.reader.read()
    (test,) = state.tests
    assert (test.finished, state.finished) == (True, False)
    assert averaged(test) == f"{test.name}, mean of 2 of 3 refits"
    found = study_statistics(workspace, state, workspace.unit, lambda *_: None).estimates
    values = [workspace.ledger.record(test.scored_jobs[n].id).metrics["test/accuracy"] for n in (0, 2)]
    assert pick(found, "accuracy").value == pytest.approx(mean(values))
    assert [e.on for e in found if e.metric == "accuracy" and e.on.startswith(f"{TEST}, refit")] == [
        refit_on(TEST, 1),
        refit_on(TEST, 3),
    ]
    assert spread_words(found, pick(found, "accuracy")).startswith(f" (SD {stdev(values):.3f}, ")
    _fails(workspace, lost)
    assert [(run.info.status, run.data.tags["harness.job_id"]) for run in runs_of(store, "refit")][-1] == (
        "FAILED",
        lost.id,
    )
    status = study_status(refitted.study, workspace.inputs.digests, True, store)
    assert [job.job_id for job in status.jobs if job.status != "done"] == [lost.id]


@pytest.mark.long
def test_a_lost_refit_alone_is_fitted_again_and_the_report_is_that_of_before(
    refitted: Finished, tmp_path: Path
) -> None:
    store = refitted.copy_to(tmp_path / "copy")
    test = refitted.run.state.tests[0]
    Ledger(store).set_aside(test.scored_jobs[2].id)
    again = run_in(refitted.study, store)
    assert [job.id for job, _ in again.reporter.outcomes] == [test.scored_jobs[2].id]
    before, after = (read_statistics(each.run.report.parent).estimates for each in (refitted, again))
    keep = {"run_id", "mark"}
    assert [e.model_dump(exclude=keep) for e in after] == [e.model_dump(exclude=keep) for e in before]
    workspace = again.run.workspace
    planned = planned_fits(workspace)
    for job in test.scored_jobs:
        item = fit_item(workspace.ledger.path(job.id), "", job.id, planned[job.id])
        assert item.verdict == "holds", item.words
    items = [*report_again_items(again.run.report.parent, workspace)]
    wrong = [item for item in items if item.verdict == "differs" and not item.what.endswith((".png", ".svg"))]
    assert wrong == []


@pytest.mark.long
def test_refits_are_scored_on_every_test_set_and_its_mean_is_of_the_first(tmp_path: Path, store: Store) -> None:
    study = load_study(write_three(tmp_path), ["test={stages: [heads], refits: 2}"])
    done = run_in(study, store)
    (test,), ledger = done.run.state.tests, done.run.workspace.ledger
    estimates = read_statistics(done.run.report.parent).estimates
    for name, on in (("hospital-b", "test set hospital-b"), ("abroad", "test set abroad")):
        frames = [ledger.predictions(job.id, name) for job in test.scored_jobs]
        values = [float((arrays(frame)[1].argmax(axis=1) == arrays(frame)[2]).mean()) for frame in frames]
        assert pick(estimates, "accuracy", on).value == pytest.approx(mean(values))
        assert pick(estimates, "accuracy", refit_on(on, 2)).value == pytest.approx(values[1])
    pooled = pick(estimates, "accuracy", "mean over test sets")
    firsts = [
        pick(estimates, "accuracy", refit_on(on, 1)).value for on in (TEST, "test set hospital-b", "test set abroad")
    ]
    assert min(firsts) <= pooled.value <= max(firsts)
    assert "Means over the test sets are of refit 1." in done.run.report.read_text()
