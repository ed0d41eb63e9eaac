"""A nested selection from its fits to its numbers: on images that took no part, resumed, beside the study itself."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.cli.show.plan import nested_line
from harness.data.record import records
from harness.errors import JobError, StudyError
from harness.execution.ahead import fits_ahead
from harness.execution.planned import plan_study
from harness.prepare import prepare
from harness.report.numbers.records import read_statistics
from harness.report.verified.fits import fit_item, planned_fits
from harness.report.verified.study_inputs import record_items
from harness.runner import Run, run_study
from harness.store import Store
from harness.store.results import FoldRecord
from harness.study import Study, load_study
from harness.study.plan import Job
from harness.study.scenario_state import ScenarioState
from harness.study.status import study_status
from tests.conftest import Finished, Recorder, run_in

STUDY = """\
study: nested
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 60, test: 24}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, trainable: head, head: logistic}
stages:
  - name: heads
    grid: {head: [logistic, knn]}
    select: {metric: val/balanced_accuracy}
test: {stages: [heads]}
"""
NESTED = "stages.0.select.nested=3"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "nested.yaml"
    path.write_text(STUDY)
    return path


class Stops(Recorder):
    """Stops the run, as Ctrl-C does, when so many fits are done."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        super().job_ended(job, outcome)
        if len(self.outcomes) == self._after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def nested(file: Path, new_store: Callable[[], Store]) -> tuple[list[Job], Finished]:
    """The study with a nested selection, stopped after 11 fits and run again; and the jobs that were fitted before."""
    study, stops, store = load_study(file, [NESTED]), Stops(11), new_store()
    with pytest.raises(KeyboardInterrupt), stops:
        run_study(study, store, "cpu", stops)
    return [job for job, _ in stops.outcomes], run_in(study, store)


def _run(nested: tuple[list[Job], Finished]) -> Run:
    return nested[1].run


def test_what_was_fitted_before_a_stop_or_without_nested_is_not_fitted_again(
    file: Path, nested: tuple[list[Job], Finished]
) -> None:
    before, finished = nested
    after = [job for job, _ in finished.reporter.outcomes]
    (state,) = finished.run.state.nested
    assert len(before) == 11, "in the middle of the second outer fold"
    assert len({job.id for job in [*before, *after]}) == len(before) + len(after) == 4 + state.planned + 1
    assert state.done == state.planned == 15
    assert finished.run.state.finished
    plain = prepare(load_study(file), finished.store).reader.read()
    assert plain.finished, "the study without a nested selection has the same fits"
    assert plain.nested == ()


def test_the_report_counts_each_fit_once(nested: tuple[list[Job], Finished]) -> None:
    run = _run(nested)
    twice = replace(run.state, nested=run.state.nested * 2)  # as nested selections of two stages have fits in common
    assert len(twice.records) == len(run.state.records) == 4 + 15 + 1
    assert "\n- 20 fits, " in run.report.read_text()
    assert "; 20 fits |" in (run.report.parent / "checklist.md").read_text()


def _frame(store: Store, job: Job) -> pd.DataFrame:
    return pd.read_parquet(store.jobs / job.id / "predictions.parquet")


def _balanced(frame: pd.DataFrame) -> float:
    """The balanced accuracy of predictions, counted by hand."""
    found = np.where(frame["prob_PNEUMONIA"] > frame["prob_NORMAL"], "PNEUMONIA", "NORMAL")
    return float(np.mean([(found[frame["label"] == name] == name).mean() for name in ("NORMAL", "PNEUMONIA")]))


def test_the_number_is_that_of_a_loop_over_the_stored_predictions(nested: tuple[list[Job], Finished]) -> None:
    run, store = _run(nested), nested[1].store
    (state,) = run.state.nested
    scores, names = [], list[str]()
    for outer in state.outer:
        means = [np.mean([_balanced(_frame(store, job)) for job in scenario.jobs]) for scenario in outer.inner]
        names.append(outer.inner[int(np.argmax(means))].name)
        assert outer.refit is not None
        assert outer.refit.name == names[-1]
        scores.append(_balanced(_frame(store, outer.refit.jobs[0])))
    estimates = read_statistics(run.report.parent).estimates
    (found,) = (e for e in estimates if e.on == "outer folds of stage heads" and e.metric == "balanced_accuracy")
    assert found.folds == pytest.approx(scores)
    assert found.value == pytest.approx(np.mean(scores))
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    chosen = {e.subject: e.hits for e in estimates if e.on == "rest of each outer fold of stage heads"}
    assert chosen == Counter(names)


def test_no_image_of_an_outer_fold_was_trained_or_validated_on(nested: tuple[list[Job], Finished]) -> None:
    run, store = _run(nested), nested[1].store
    (state,), inputs = run.state.nested, run.workspace.inputs
    images = inputs.dataset.table["image"]
    scored = set[str]()
    for outer, fold in zip(state.outer, inputs.nested[0].folds, strict=True):
        assert outer.refit is not None
        own = set(_frame(store, outer.refit.jobs[0])["image"])
        rest = set(images[inputs.dataset.rows("train")]) - own
        assert own == set(images[fold.outer.validation])
        assert not own & scored
        scored |= own
        for scenario in outer.inner:
            assert set().union(*(_frame(store, job)["image"] for job in scenario.jobs)) == rest
            for job in scenario.jobs:
                validated = len(_frame(store, job))
                assert _trained(store, job) == len(rest) - validated
        assert _trained(store, outer.refit.jobs[0]) == len(rest)
    assert scored == set(images[inputs.dataset.rows("train")])


def _trained(store: Store, job: Job) -> int:
    counts = json.loads((store.jobs / job.id / "classes.json").read_text())
    return sum(counts["before"].values())


def test_the_report_says_it_beside_the_own_mean(nested: tuple[list[Job], Finished]) -> None:
    run = _run(nested)
    folder, text = run.report.parent, run.report.read_text()
    estimates = read_statistics(folder).estimates
    (found,) = (e for e in estimates if e.on == "outer folds of stage heads" and e.metric == "balanced_accuracy")
    board = pd.read_csv(folder / "leaderboard-heads.csv")
    assert board["nested"][board["selected"] == "selected"].tolist() == pytest.approx([found.value])
    assert board["nested"].notna().sum() == 1
    assert f"has a mean val/balanced_accuracy of {found.value:.3f} (95 % interval" in text
    assert all(f"{name} in {count} of 3" in text for name, count in run.state.nested[0].chosen.items())


def test_outer_folds_are_no_looks_at_the_test_set(nested: tuple[list[Job], Finished]) -> None:
    run = _run(nested)
    looks = [look for look in run.workspace.ledger.looks.at(run.workspace.inputs.dataset) if look.study == "nested"]
    jobs = {job for look in looks for job in look.jobs}
    assert jobs == {job.id for test in run.state.tests for job in test.jobs}
    assert len(run.workspace.study.tried.seeds) == 1


def test_the_record_alone_has_the_same_state_and_every_fit_holds(nested: tuple[list[Job], Finished]) -> None:
    run, store = _run(nested), nested[1].store
    (record,) = (each for each in records(store) if each.study_id == run.workspace.identity)
    workspace = record.workspace(store)
    state = workspace.reader.read()
    assert state.nested[0].chosen == run.state.nested[0].chosen
    planned = planned_fits(workspace)
    for outer in state.nested[0].outer:
        for job in (job for fit in outer.fits for job in fit.jobs):
            found = fit_item(store.jobs / job.id, job.id, job.id, planned[job.id])
            assert (found.verdict, "of its fold" in found.words) == ("holds", True), found.words


def test_verify_names_an_image_of_an_outer_fold_that_is_in_the_folds_of_the_rest(
    nested: tuple[list[Job], Finished],
) -> None:
    run, store = _run(nested), nested[1].store
    (record,) = (each for each in records(store) if each.study_id == run.workspace.identity)
    workspace = record.workspace(store)
    found = [item for item in record_items(record, workspace) if item.what.endswith("nested.json")]
    assert [item.verdict for item in found] == ["holds"]
    (folds,) = workspace.inputs.nested
    first, leaked = folds.folds[0], folds.folds[0].outer.validation[:1]
    inner = [replace(each, train=np.append(each.train, leaked)) for each in first.inner]
    leaking = replace(folds, folds=(replace(first, inner=inner), *folds.folds[1:]))
    other = replace(workspace, inputs=replace(workspace.inputs, nested=(leaking,)))
    found = [item for item in record_items(record, other) if item.what.endswith("nested.json")]
    assert [item.verdict for item in found] == ["differs"]


def test_plan_and_status_count_the_fits(file: Path, tmp_path: Path, nested: tuple[list[Job], Finished]) -> None:
    study = load_study(file, [NESTED])
    planned = plan_study(study, Store(tmp_path / "empty"))
    (state,) = planned.state.nested
    words = "for each of 3 outer folds 4 fits of 2 scenarios on 2 folds of the rest, and one of what is selected"
    assert words in nested_line(state, 2)
    ahead = {each.name: [len(jobs) for jobs in each.choices] for each in fits_ahead(planned.workspace, planned.state)}
    assert ahead["nested in stage heads, heads"] == [12]
    assert set(ahead["nested in stage heads, refits"]) == {3}
    inputs, workspace = planned.workspace.inputs, nested[1].run.workspace
    status = study_status(study, inputs.digests, True, nested[1].store, workspace.reading(workspace.unit))
    of_outer = [job for job in status.jobs if job.stage == "heads, outer fold 2"]
    assert [job.status for job in of_outer] == ["done"] * 5


def test_an_outer_fold_chooses_no_epoch(file: Path, nested: tuple[list[Job], Finished]) -> None:
    """Every scenario with `select_epoch: best` chooses its epoch on the inner folds; what is scored takes the last."""
    base = ["base.trainable=all", "base.head=dropout-gap", "base.select_epoch=best", "base.epochs=2"]
    grid = ["stages.0.grid.head=[dropout-gap, batchnorm-gap]"]
    workspace = prepare(load_study(file, [NESTED, *base, *grid]), nested[1].store)
    (of,) = workspace.reading(workspace.unit).nested
    outer = workspace.reader.outer(of, 0)
    assert outer.refit is None
    from harness.study.nested import outer_refit

    done = ScenarioState(outer.inner[0].scenario, outer.inner[0].jobs, {})
    assert done.settings.select_epoch == "best"
    assert outer_refit(done).settings.select_epoch == "last"


def test_the_test_set_stays_closed_until_it_is_finished(file: Path, nested: tuple[list[Job], Finished]) -> None:
    study = load_study(file, ["stages.0.select.nested=4"])
    with pytest.raises(StudyError, match="the nested selection of stage heads is not finished; first run: harness run"):
        run_study(study, nested[1].store, "cpu", Recorder(), tests_only=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["subgroups=[sex]", "stages.0.select.metric=worst-group val/roc_auc"], "an outer fold is scored as a whole"),
        (["folds={by: site}", "data.metadata=[site]"], "outer folds are drawn as the study's folds are"),
    ],
)
def test_what_has_no_meaning_is_refused(file: Path, options: list[str], words: str) -> None:
    phantom = STUDY.replace("source: phantom", "source: table, path: cases.csv").replace(
        ", phantom: {train: 60, test: 24}", ", metadata: [sex]"
    )
    other = file.with_name("other.yaml")
    other.write_text(phantom)
    with pytest.raises(StudyError, match=words):
        load_study(other, [NESTED, *options])


def test_nested_is_in_no_id_where_it_is_absent(file: Path) -> None:
    assert "nested" not in json.dumps(load_study(file).model_dump(mode="json")["stages"])
    assert load_study(file, [NESTED]).model_dump()["stages"][0]["select"]["nested"] == 3
    assert isinstance(load_study(file), Study)
