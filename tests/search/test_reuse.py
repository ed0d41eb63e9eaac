"""A search after an edit: the trials of earlier searches that are in its space are its own."""

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import optuna
import pandas as pd
import pytest
from optuna.trial import FrozenTrial, TrialState

from harness.cli.ui import study_views
from harness.data.record import records, write_record
from harness.errors import StudyError
from harness.prepare import prepare
from harness.search.confirm import write_best_study
from harness.search.earlier import origin
from harness.search.queue import Queue, slot_of
from harness.search.reuse import reuse_earlier
from harness.search.run import SearchRun, _first_points
from harness.search.search_record import search_folder
from harness.search.search_report import report_folder
from harness.store import Ledger, Store
from harness.store.reports import search_report
from harness.study import Study, load_study
from harness.study.history import read_commands
from harness.study.identity import search_id
from harness.study.plan import fold_jobs, point_scenario
from harness.study.status import study_status
from harness.tracking.stored_report import report_study
from tests.search.conftest import STUDY, StudyOf, new_store, searched

NARROW = "search.space.learning_rate.low=5.0e-4"


@dataclass(frozen=True)
class Joined:
    """A new search that has looked for earlier trials, and what it said."""

    queue: Queue
    said: list[str]
    study: Study

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.queue.trials()

    @property
    def numbers(self) -> list[int]:
        """The numbers that the reused trials had."""
        return sorted(int(trial.user_attrs["reused"].partition(":")[2]) for trial in self.trials)


def join(study: Study, store: Store, url: str | None = None) -> Joined:
    """Starts a search as `harness search` does, up to its first trial."""
    workspace, said = prepare(study, store), list[str]()
    queue = Queue(study.searched, f"{study.study}-{search_id(study, workspace.inputs.digests)}", store, url)
    reuse_earlier(workspace, queue, _first_points(study, study.searched), said.append)
    return Joined(queue, said, study)


@pytest.fixture(scope="module")
def earlier(reference: tuple[SearchRun, Store]) -> SearchRun:
    """The six trials of the search before the edit: five complete ones, and a pruned one."""
    run = reference[0]
    assert [result.state for result in run.results] == ["complete"] * 5 + ["pruned"]
    return run


@pytest.fixture
def copy(reference: tuple[SearchRun, Store], tmp_path: Path) -> Store:
    """A copy of the store of that search, without its MLflow database."""
    root = tmp_path / "copy"
    shutil.copytree(reference[1].root, root, ignore=shutil.ignore_patterns("mlflow.db", "reports", "artifacts"))
    return Store(root)


def test_an_edited_space_reuses_the_trials_in_it_and_fits_only_the_others(
    study_of: StudyOf,
    prepared: Store,
    earlier: SearchRun,
    reference: tuple[SearchRun, Store],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, study = new_store(prepared, tmp_path / "store"), study_of(NARROW)
    shutil.copytree(reference[1].jobs, store.jobs)
    shutil.copytree(reference[1].reports, store.reports)
    first_report = (store.reports / "tiny-search" / "report.md").read_bytes()
    shutil.copy(reference[1].root / "optuna.db", store.root)
    before = {path: path.stat().st_mtime_ns for path in store.jobs.rglob("*")}
    run = searched(study, store)
    inside = [r for r in earlier.results if r.state == "complete" and r.point["learning_rate"] >= 5e-4]
    assert 0 < len(inside) < 5
    reused = [result for result in run.results if result.reused]
    assert [(r.slot, r.point, r.value, r.means) for r in reused] == [
        (r.slot, r.point, r.value, r.means) for r in inside
    ]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    fitted = {path.name for path in store.jobs.glob("[!.]*")} - {path.name for path in before}
    assert fitted == {job.id for r in run.results if not r.reused for job in r.done}
    assert [result.slot for result in run.results] == list(range(6))

    said, words = capsys.readouterr(), f"{len(inside)} of 6 trials reused from an earlier search of this study (id "
    earlier_id = search_id(study_of(), prepare(study, store).inputs.digests)[:8]
    line = f"earlier search {earlier_id} of this study: 6 trials (search.space.learning_rate.low 0.0001, asked: 0.0005)"
    outside = 5 - len(inside)
    assert f"{line}: {len(inside)} reused; not reused: {outside} of other settings than this space has, 1 pruned" in (
        said.err + said.out
    )
    assert f"{words}{earlier_id})" in run.report.read_text()
    table = pd.read_csv(run.report.with_name("trials.csv"), dtype={"reused from": str}).set_index("trial")
    assert table["reused from"].dropna().to_dict() == {r.slot: earlier_id for r in inside}

    identity = search_id(study, prepare(study, store).inputs.digests)
    assert run.report.parent.name == f"tiny-search-{identity[:8]}", "a variant by --set takes no other's place"
    assert (store.reports / "tiny-search" / "report.md").read_bytes() == first_report

    views = study_views(prepare(study, store), 5000)
    assert views["trials of the search"] == run.url

    again = searched(study, store)
    assert again.results == run.results and again.report == run.report
    assert "earlier search" not in "".join(capsys.readouterr()).replace("an earlier search", "")
    (command,) = read_commands(search_folder(prepare(study, store)))
    assert (command.fits, command.failed) == (len(fitted), 0), "the second start fitted nothing"


def test_a_search_without_an_earlier_one_says_nothing(study_of: StudyOf, prepared: Store, tmp_path: Path) -> None:
    joined = join(study_of(), new_store(prepared, tmp_path / "store"))
    assert not joined.said and not joined.trials


def test_a_search_that_has_trials_of_its_own_stays_as_it_is(study_of: StudyOf, copy: Store) -> None:
    fresh = join(study_of(NARROW, "search.reuse=false"), copy)
    assert "6 because search.reuse is false" in fresh.said[0] and not fresh.trials
    fresh.queue.fill(2, [])
    resumed = join(study_of(NARROW), copy)
    assert not resumed.said and len(resumed.trials) == 2
    assert not join(study_of(), copy).said, "nor does the first search take trials of the second one"


def test_a_search_of_an_earlier_version_is_judged_by_the_ids_of_its_scenarios(
    study_of: StudyOf, copy: Store, earlier: SearchRun
) -> None:
    with sqlite3.connect(copy.root / "optuna.db") as database:
        database.execute("delete from study_user_attributes")
    joined = join(study_of(NARROW), copy)
    assert "(what it searched was not recorded)" in joined.said[0]
    assert joined.numbers == [
        r.number for r in earlier.results if r.state == "complete" and r.point["learning_rate"] >= 5e-4
    ]


def test_values_are_those_of_the_new_objective(study_of: StudyOf, copy: Store) -> None:
    joined = join(study_of("search.objective={metric: val/accuracy, cost: parameters}"), copy)
    assert joined.numbers == [0, 1, 2, 3, 4]
    digests, ledger = prepare(joined.study, copy).inputs.digests, Ledger(copy)
    for trial in joined.trials:
        jobs = fold_jobs(joined.study, point_scenario(joined.study, trial.params, digests), digests)
        records = [ledger.record(job.id) for job in jobs]
        assert trial.values == [mean(r.metrics["val/accuracy"] for r in records), records[0].facts.parameters]
        assert not trial.intermediate_values


@pytest.mark.parametrize(
    ("edits", "numbers"),
    [
        (["search.space.head.choices=[dropout-gap]"], [0, 1, 2, 3]),  # a choice is gone
        (["search.space.head.choices=[batchnorm-gap, dropout-flatten, dropout-gap]"], [0, 1, 2, 3, 4]),  # one more
        (["search.space.weight_decay={low: 0.0, high: 0.1}"], [0, 1, 2, 3, 4]),  # base.weight_decay is in its range
        (["search.space.weight_decay={low: 0.01, high: 0.1}"], []),
        (["search.space.weight_decay={low: 0.01, high: 0.1, when: {head: [batchnorm-gap]}}"], [0, 1, 2, 3]),
        (["search.space.image_size={low: 24, high: 48, step: 8}"], [0, 1, 2, 3, 4]),  # data.image_size is a level
        (["search.space.epochs={choices: [1, 2]}", "base.epochs=2"], [0, 1, 2, 3, 4]),  # what base was is a level
        (["base.epochs=2"], []),
        (["seed=1"], []),
        (["folds.seed=1"], []),
        (["data.phantom.seed=1"], []),
        (["search.seed=1"], []),
        (["search.pruner=none", "search.sampler=tpe", "search.trials=30"], [0, 1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_a_trial_is_reused_if_it_could_be_one_of_the_new_search(
    study_of: StudyOf, copy: Store, edits: list[str], numbers: list[int]
) -> None:
    joined = join(study_of(*edits), copy)
    assert joined.numbers == numbers
    assert all(trial.state == TrialState.COMPLETE and origin(trial) for trial in joined.trials)
    assert len({slot_of(trial) for trial in joined.trials}) == len(numbers)
    for edit in edits:
        assert edit.partition("=")[0] in joined.said[0] or edit.startswith("search.trials")


def test_a_range_that_becomes_a_grid_is_visited_once(study_of: StudyOf, copy: Store, earlier: SearchRun) -> None:
    drawn = [r for r in earlier.results if r.state == "complete" and r.point["head"] == "dropout-gap"][:2]
    space = {
        "dropout": {"choices": [0.5, *(r.point["dropout"] for r in drawn)]},
        "learning_rate": {"choices": [r.point["learning_rate"] for r in drawn]},
    }
    study = study_of(f"search.space={space}", "search.sampler=grid", "search.trials=null", "base.head=dropout-gap")
    joined = join(study, copy)
    assert joined.numbers == [r.number for r in drawn]
    points = study.searched.points()
    assert [points[slot_of(trial)] for trial in joined.trials] == [trial.params for trial in joined.trials]
    assert joined.queue.fill(6, points) == 4
    assert sorted(slot_of(trial) for trial in joined.trials) == list(range(6))


def test_an_enqueued_point_that_was_tried_is_not_tried_again(
    study_of: StudyOf, copy: Store, earlier: SearchRun
) -> None:
    third = earlier.results[2].point
    joined = join(study_of(f"search.enqueue=[{{head: batchnorm-gap}}, {third}]"), copy)
    slots = {int(trial.user_attrs["reused"].partition(":")[2]): slot_of(trial) for trial in joined.trials}
    assert slots == {0: 2, 1: 5, 2: 1, 3: 3, 4: 4}, "the first slots are those of the enqueued points"
    assert joined.queue.fill(6, _first_points(joined.study, joined.study.searched)) == 1


def test_a_point_is_reused_once_however_many_searches_have_it(study_of: StudyOf, copy: Store) -> None:
    assert join(study_of("search.sampler=tpe"), copy).numbers == [0, 1, 2, 3, 4]
    third = join(study_of(NARROW), copy)
    assert len(third.said) == 1, "a search that only has trials of another one is not named"
    assert len({trial.user_attrs["scenario_id"] for trial in third.trials}) == len(third.trials)


def test_a_start_that_was_killed_while_it_reused_trials_is_completed(
    study_of: StudyOf, copy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, added, add = study_of("search.sampler=tpe"), list[FrozenTrial](), optuna.Study.add_trial

    def add_three(self: optuna.Study, trial: FrozenTrial) -> None:
        if len(added) == 3:
            raise KeyboardInterrupt
        add(self, trial)
        added.append(trial)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.Study, "add_trial", add_three)
        join(study, copy)
    again = join(study, copy)
    assert "5 reused" in again.said[0] and again.numbers == [0, 1, 2, 3, 4]
    assert join(study, copy).said == []


def test_fits_by_other_code_are_not_reused(study_of: StudyOf, copy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.search.reuse.code_digest", lambda: "other")
    joined = join(study_of(NARROW), copy)
    assert not joined.trials and "fitted by other code or versions" in joined.said[0]


@pytest.mark.parametrize(("edit", "count"), [(NARROW, None), ("search.objective.metric=val/accuracy", 0)])
def test_trials_of_another_machine_are_reused_as_it_scored_them_where_the_objective_is_the_same(
    study_of: StudyOf, prepared: Store, copy: Store, tmp_path: Path, edit: str, count: int | None
) -> None:
    url, here = f"sqlite:///{copy.root}/optuna.db", new_store(prepared, tmp_path / "here")
    there = {
        trial.number: trial for trial in Queue(study_of().searched, queue_name(study_of(), copy), copy, url).trials()
    }
    joined = join(study_of(edit), here, url)
    if count == 0:
        assert not joined.trials and "whose fits on these images and folds are not in this store" in joined.said[0]
    else:
        assert joined.numbers
        for trial, number in zip(joined.trials, joined.numbers, strict=True):
            assert trial.values == there[number].values
            assert trial.intermediate_values == there[number].intermediate_values


def queue_name(study: Study, store: Store) -> str:
    return f"{study.study}-{search_id(study, prepare(study, store).inputs.digests)}"


def test_a_search_without_a_complete_trial_takes_no_other_s_place(copy: Store, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY.replace("sampler: random", "sampler: tpe"))
    workspace, there = prepare(load_study(file), copy), copy.reports / "tiny-search"
    there.mkdir(parents=True)
    (there / "search.json").write_text('{"search_id": "0123456789abcdef"}')
    identity = search_id(workspace.study, workspace.inputs.digests)
    assert report_folder(workspace, empty=True) == copy.reports / f"tiny-search-{identity[:8]}"
    assert report_folder(workspace) == there, "a report with numbers does, and the other one is moved"


def test_the_best_study_of_a_variant_has_a_name_of_its_own(study_of: StudyOf, copy: Store, earlier: SearchRun) -> None:
    found = {}
    for study in (study_of(), study_of(NARROW), study_of("study=" + 64 * "x", NARROW)):
        path, best = write_best_study(prepare(study, copy), earlier.results[0])
        found[best.study] = path.name
    identity = search_id(study_of(NARROW), prepare(study_of(), copy).inputs.digests)[:8]
    (plain, variant, long) = found
    assert (plain, variant) == ("tiny-best", f"tiny-best-{identity}")
    assert (found[plain], found[variant]) == ("tiny-best.yaml", f"tiny-best-{identity}.yaml")
    assert len(long) == 64 and "-best-" in long


def test_what_reads_a_study_that_was_only_searched_says_where_its_report_is(
    study_of: StudyOf, reference: tuple[SearchRun, Store]
) -> None:
    run, store = reference
    workspace = prepare(study_of(), store)
    with pytest.raises(StudyError, match=f"only a search, whose report is {run.report.with_name('index.html')}; first"):
        report_study(workspace)
    status = study_status(workspace.study, workspace.inputs.digests, workspace.has_test, store)
    assert (status.report, status.search_report) == (None, str(run.report.parent))
    assert search_report(store.reports, "tin") is None


def test_the_record_of_a_study_does_not_count_what_was_changed_of_its_search(study_of: StudyOf, copy: Store) -> None:
    write_record(prepare(study_of("search.trials=2", "base.epochs=2"), copy))
    (record,) = [each for each in records(copy, "tiny") if "base.epochs" in each.study.changed]
    assert list(record.study.changed) == ["base.epochs"]
