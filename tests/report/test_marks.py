import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.prepare import prepare
from harness.report.numbers.marks import BEST_EPOCH, LEAKS, marks_of
from harness.report.numbers.records import Statistics
from harness.stats.paired import holm
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.state import StudyState
from harness.tracking.report import report_study
from tests.conftest import Finished, run_in
from tests.figures import figures

LEAK = [
    "stages=[{name: leak, grid: {oversampling: [random, random-before-split]}, select: {metric: val/accuracy}}]",
    "test.stages=[leak]",
    "base.epochs=1",
]

NOTHING = StudyState(())


@pytest.fixture(scope="module")
def leaking(small_study: Callable[..., Study], new_store: Callable[[], Store]) -> Finished:
    with figures(drawn=True):
        return run_in(small_study(*LEAK), new_store())


def test_a_planted_leak_marks_every_row_that_it_touches_and_no_other(leaking: Finished) -> None:
    folder = leaking.run.report.parent
    board = pd.read_csv(folder / "leaderboard-leak.csv", keep_default_na=False)
    assert dict(zip(board["oversampling"], board["mark"], strict=True)) == {"random-before-split": LEAKS, "random": ""}
    assert LEAKS in (folder / "leaderboard-leak.tex").read_text()
    assert LEAKS in leaking.run.report.read_text()
    statistics = Statistics.model_validate_json((folder / "statistics.json").read_text())
    for estimate in statistics.estimates:
        assert (LEAKS in (estimate.mark or "")) == ("random-before-split" in estimate.subject)
    assert all(c.mark for c in statistics.comparisons)  # each has the leaking scenario on one side


def test_a_leak_and_undeclared_looks_stand_across_the_figures(leaking: Finished) -> None:
    curves = leaking.run.report.parent / "curves-leak.png"
    assert reddish(curves) > 500
    (test,) = leaking.run.state.tests
    assert not test.settings.leaks  # so its figure is clean
    assert reddish(curves.with_name(f"test-confusion_matrix-{test.id}.png")) == 0
    drawn = {path.parts[-3]: path for path in leaking.store.artifacts.rglob("artifacts/confusion_matrix.png")}
    marked = [reddish(path) > 500 for path in drawn.values()]
    assert sorted(marked) == [False, False, True]  # the test, the scenario that does not leak, the one that does


def reddish(path: Path) -> int:
    """How many pixels of a figure are of the watermark's colour, or nearly."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), dtype=int), -1, 0)
    return int(((red > 200) & (red - green > 60) & (abs(green - blue) < 25)).sum())


def test_all_tests_of_inflation_are_adjusted_together(leaking: Finished) -> None:
    statistics = Statistics.model_validate_json((leaking.run.report.parent / "statistics.json").read_text())
    found = [c for c in statistics.comparisons if c.mark == LEAKS]
    assert len(found) == len({c.metric for c in found}) == 5
    assert {c.comparisons for c in found} == {5}
    assert [c.p_holm for c in found] == holm([c.p or 0.0 for c in found])
    verdicts = [c.verdict != "cannot resolve" for c in found]
    assert verdicts == [c.p_holm is not None and c.p_holm < 0.05 for c in found]


def test_the_report_states_the_inflation_as_the_folds_have_it(leaking: Finished) -> None:
    statistics = Statistics.model_validate_json((leaking.run.report.parent / "statistics.json").read_text())
    found = next(c for c in statistics.comparisons if c.mark == LEAKS and c.metric == "balanced_accuracy")
    means = {
        s.settings.oversampling: s.summary["val/balanced_accuracy_mean"] for s in leaking.run.state.stages[0].scenarios
    }
    assert found.difference == pytest.approx(means["random-before-split"] - means["random"])
    text = leaking.run.report.read_text(encoding="utf-8")
    assert f"{100 * found.difference:+.1f} points" in text
    assert {c.compares for c in statistics.comparisons} == {"recipes"}
    assert "fitted models" not in text, "nothing is said of rows that are not there"


def test_the_copies_in_validation_are_scored_as_such_a_study_scores_them(leaking: Finished) -> None:
    ledger = Ledger(leaking.store)
    for state in leaking.run.state.stages[0].scenarios:
        rows = sum(len(ledger.predictions(job.id)) for job in state.jobs)
        leaks = state.settings.oversampling == "random-before-split"
        assert rows == (2 * max(_train_counts(leaking).values()) if leaks else sum(_train_counts(leaking).values()))


def _train_counts(run: Finished) -> dict[str, int]:
    table = pd.read_parquet(next((run.store.artifacts / "small").glob("*/artifacts/manifest.parquet")))
    labels = table[table["split"] == "train"]["label"]
    return {name: int((labels == name).sum()) for name in set(labels)}


@pytest.mark.figures
def test_a_look_at_the_test_set_counts_once_and_a_second_one_marks_the_test_tables(
    small_study: Callable[..., Study], new_store: Callable[[], Store]
) -> None:
    stages = "stages=[{name: sampling, grid: {oversampling: [none]}, select: {metric: val/accuracy}}]"
    first = small_study(stages, "base.epochs=1")
    run = run_in(first, new_store())
    ledger, dataset = Ledger(run.store), prepare(first, run.store).inputs.dataset
    run_in(first, run.store)
    assert len(ledger.looks(dataset)) == 1
    assert "SEEN" not in run.run.report.read_text()
    second = run_in(small_study(stages, "base.epochs=1", "base.learning_rate=0.01"), run.store)
    assert [look.study for look in ledger.looks(dataset)] == ["small", "small"]
    for report in (second.run.report, report_study(first, run.store)):
        assert "TEST SET SEEN 2 TIMES, 1 DECLARED" in report.read_text()
        assert all(reddish(figure) > 500 for figure in report.parent.glob("test-confusion_matrix-*.png"))
        maps = list(report.parent.glob("grad-cam-*.png"))
        assert maps and all(reddish(figure) > 500 for figure in maps)
        assert reddish(report.parent / "curves-sampling.png") == 0
        written: Path = report.parent / "statistics.json"
        estimates = json.loads(written.read_text())["estimates"]
        marks = {e["on"]: e["mark"] for e in estimates if e["subject"] != "majority class"}
        seen = "TEST SET SEEN 2 TIMES, 1 DECLARED"
        on_test = ["test set", "gap", "test set, by threshold", "reliability, test set"]
        of_folds = ["folds", "out of fold", "threshold sweep, out of fold", "reliability, out of fold"]
        assert marks == dict.fromkeys(on_test, seen) | dict.fromkeys(of_folds)


def test_folds_that_tear_patients_apart_and_accepted_errors_mark_everything(small_study: Callable[..., Study]) -> None:
    study = small_study("folds.grouped=false", "audit.accept=[label-conflict]")
    mark = marks_of(study, NOTHING).scenario(study.base)
    assert mark == "PATIENTS TORN APART: folds are not grouped; ACCEPTED: label-conflict"
    assert marks_of(small_study(), NOTHING).scenario(study.base) is None
    unknown = small_study("folds.grouped=false", "data={source: folder, path: x}")
    assert marks_of(unknown, NOTHING).scenario(study.base) == "PATIENTS UNKNOWN: folds are not grouped"


def test_an_epoch_chosen_by_its_own_score_marks_validation_and_not_the_test(
    small_study: Callable[..., Study], finished: Finished
) -> None:
    study, ledger = small_study("base.select_epoch=best"), Ledger(finished.store)
    assert marks_of(study, NOTHING).scenario(study.base) == BEST_EPOCH
    dataset = prepare(finished.study, finished.store).inputs.dataset
    assert marks_of(study, NOTHING).test(dataset, study.base, ledger) is None
