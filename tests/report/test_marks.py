import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.prepare import prepare
from harness.report.numbers.marks import BEST_EPOCH, LEAKS, marks_of
from harness.report.numbers.records import Statistics
from harness.report.numbers.scaled_numbers import BEFORE, FITTED, SCALED, TEMPERATURE, WITH_SHIFT
from harness.stats.paired import holm
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.state import StudyState
from harness.tracking.stored_report import report_study
from tests.conftest import Finished, run_in, runs_of
from tests.figures import figures

LEAK = [
    "stages=[{name: leak, grid: {oversampling: [random, random-before-split]}, select: {metric: val/accuracy}}]",
    "test.stages=[leak]",
    "base.epochs=1",
]
OF_STUDY = "SYNTHETIC DATA; REHEARSAL: base.epochs 1 of 2"  # the small study has two epochs
LEAKING = f"{OF_STUDY}; {LEAKS}"

NOTHING = StudyState(())

CURVES = ("reliability", "decision curve", "calibration")


@pytest.fixture(scope="module")
def leaking(small_study: Callable[..., Study], new_store: Callable[[], Store]) -> Finished:
    with figures(drawn=True):
        return run_in(small_study(*LEAK), new_store())


def test_a_planted_leak_marks_every_row_that_it_touches_and_no_other(leaking: Finished) -> None:
    folder = leaking.run.report.parent
    board = pd.read_csv(folder / "leaderboard-leak.csv", keep_default_na=False)
    assert dict(zip(board["oversampling"], board["mark"], strict=True)) == {
        "random-before-split": LEAKING,
        "random": OF_STUDY,
    }
    assert LEAKS in (folder / "leaderboard-leak.tex").read_text()
    assert LEAKS in leaking.run.report.read_text()
    statistics = Statistics.model_validate_json((folder / "statistics.json").read_text())
    for estimate in statistics.estimates:
        assert (LEAKS in (estimate.mark or "")) == ("random-before-split" in estimate.subject)
    assert all(c.mark for c in statistics.comparisons)  # each has the leaking scenario on one side


def test_a_leak_stands_across_the_figures_that_it_touches(leaking: Finished) -> None:
    folder, (test,) = leaking.run.report.parent, leaking.run.state.tests
    assert reddish(folder / "curves-leak.png") > 500
    assert watermark(folder / "curves-leak.svg") == LEAKING
    assert not test.settings.leaks
    assert watermark(folder / f"test-confusion_matrix-{test.id}.svg") == OF_STUDY
    drawn = {path.parts[-3]: path for path in leaking.store.artifacts.rglob("artifacts/confusion_matrix.png")}
    red = sorted(reddish(path) for path in drawn.values())
    assert 0 < red[0] <= red[1] < red[2] / 1.5  # the test, the scenario that does not leak, the one that does


def watermark(figure: Path) -> str:
    """The words across a figure, from its SVG."""
    return " ".join(re.findall(r"<text [^>]*fill: #ff0000[^>]*>([^<]*)</text>", figure.read_text()))


def reddish(path: Path) -> int:
    """How many pixels of a figure are of the watermark's colour, or nearly."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), dtype=int), -1, 0)
    return int(((red > 200) & (red - green > 60) & (abs(green - blue) < 25)).sum())


def test_all_tests_of_inflation_are_adjusted_together(leaking: Finished) -> None:
    statistics = Statistics.model_validate_json((leaking.run.report.parent / "statistics.json").read_text())
    found = [c for c in statistics.comparisons if c.mark == LEAKING]
    assert len(found) == len({c.metric for c in found}) == 5
    assert {c.comparisons for c in found} == {5}
    assert [c.p_holm for c in found] == holm([c.p or 0.0 for c in found])
    verdicts = [c.verdict != "cannot resolve" for c in found]
    assert verdicts == [c.p_holm is not None and c.p_holm < 0.05 for c in found]


def test_the_report_states_the_inflation_as_the_folds_have_it(leaking: Finished) -> None:
    statistics = Statistics.model_validate_json((leaking.run.report.parent / "statistics.json").read_text())
    found = next(c for c in statistics.comparisons if c.mark == LEAKING and c.metric == "balanced_accuracy")
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


OF_TEST = (
    "test set",
    "test set, by threshold",
    "test set, predictive values",
    "test set, least sure referred",
    "test set, conformal sets",
)
BOTH_WAYS = ("smooth calibration", *(f"{SCALED}{state}" for state in (BEFORE, TEMPERATURE, WITH_SHIFT)))


@pytest.mark.long
@pytest.mark.figures
def test_a_look_at_the_test_set_counts_once_and_a_second_one_marks_the_test_tables(
    small_study: Callable[..., Study], new_store: Callable[[], Store]
) -> None:
    stages = "stages=[{name: sampling, grid: {oversampling: [none]}, select: {metric: val/accuracy}}]"
    first = small_study(stages, "base.epochs=1")
    run = run_in(first, new_store())
    ledger, dataset = Ledger(run.store), prepare(first, run.store).inputs.dataset
    run_in(first, run.store)
    assert len(ledger.looks.at(dataset)) == 1
    assert "SEEN" not in run.run.report.read_text()
    second = run_in(small_study(stages, "base.epochs=1", "base.learning_rate=0.01"), run.store)
    assert [look.study for look in ledger.looks.at(dataset)] == ["small", "small"]
    for report in (second.run.report, report_study(prepare(first, run.store))):
        assert "TEST SET SEEN 2 TIMES, 1 DECLARED" in report.read_text()
        seen = "TEST SET SEEN 2 TIMES, 1 DECLARED"
        marked = [watermark(figure) for figure in report.parent.glob("test-confusion_matrix-*.svg")]
        assert marked == [f"{OF_STUDY}; {seen}"]
        maps = list(report.parent.glob("grad-cam-*.png"))
        assert maps and all(reddish(figure) > 500 for figure in maps)
        assert watermark(report.parent / "curves-sampling.svg") == OF_STUDY
        written: Path = report.parent / "statistics.json"
        estimates = json.loads(written.read_text())["estimates"]
        marks = {e["on"]: e["mark"] for e in estimates if e["subject"] != "majority class"}
        both = (*CURVES, *BOTH_WAYS)
        on_test = ["gap", *OF_TEST, *(f"{what}, test set" for what in both)]
        of_folds = ["folds", "out of fold", "threshold sweep, out of fold", FITTED]
        of_folds += [f"{what}, out of fold" for what in both]
        assert marks == dict.fromkeys(on_test, f"{OF_STUDY}; {seen}") | dict.fromkeys(of_folds, OF_STUDY)


def test_folds_that_tear_patients_apart_and_accepted_errors_mark_everything(small_study: Callable[..., Study]) -> None:
    study = small_study("folds.grouped=false", "audit.accept=[label-conflict]")
    mark = marks_of(study, NOTHING, synthetic=False).scenario(study.base)
    assert mark == "PATIENTS TORN APART: folds are not grouped; ACCEPTED: label-conflict"
    assert marks_of(small_study(), NOTHING, synthetic=False).scenario(study.base) is None
    unknown = small_study("folds.grouped=false", "data={source: folder, path: x}")
    mark = marks_of(unknown, NOTHING, synthetic=False).scenario(study.base)
    assert mark == "PATIENTS UNKNOWN: folds are not grouped"


def test_synthetic_images_are_so_wherever_they_were_moved(
    study_of: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    (drawn,) = store.data.iterdir()
    root = drawn.rename(tmp_path / "moved")
    text = f"study: s\ndata: {{source: folder, path: {root}}}\nfolds: {{k: 2}}\n"
    study = study_of(f"{text}base: {{backbone: test_resnet, weights: none}}\nstages: [{{name: a}}]\n")
    assert prepare(study, store).inputs.dataset.synthetic
    (root / "SYNTHETIC.txt").unlink()
    assert not prepare(study, store).inputs.dataset.synthetic


def test_an_epoch_chosen_by_its_own_score_marks_validation_and_not_the_test(
    small_study: Callable[..., Study], finished: Finished
) -> None:
    study, ledger = small_study("base.select_epoch=best"), Ledger(finished.store)
    marks = marks_of(study, NOTHING, synthetic=False)
    assert marks.scenario(study.base) == BEST_EPOCH
    dataset = prepare(finished.study, finished.store).inputs.dataset
    assert marks.test(dataset, study.base, ledger) is None


def rows_of(path: Path) -> list[str]:
    """The rows of a CSV or LaTeX file."""
    lines = path.read_text().splitlines()
    return lines[1:] if path.suffix == ".csv" else [line for line in lines if line.endswith(r"\\")][1:]


def test_synthetic_data_and_a_rehearsal_mark_every_row_of_every_table(leaking: Finished) -> None:
    folder = leaking.run.report.parent
    tables = [path for kind in ("csv", "tex") for path in folder.glob(f"*.{kind}")]
    assert len(tables) > 15
    for path in tables:
        for row in rows_of(path):
            assert OF_STUDY in row, f"{path.name}: {row}"
    captions = leaking.run.report.read_text().count(f"*{OF_STUDY}")
    assert captions >= sum(path.suffix == ".tex" and path.stem != "checklist" for path in tables)


def test_synthetic_data_and_a_rehearsal_mark_every_number_and_every_file_for_scripts(leaking: Finished) -> None:
    folder = leaking.run.report.parent
    statistics = Statistics.model_validate_json((folder / "statistics.json").read_text())
    assert "; ".join(statistics.marks) == OF_STUDY
    marks = [found.mark for part in ("estimates", "comparisons", "findings") for found in getattr(statistics, part)]
    assert len(marks) > 50
    assert all((mark or "").startswith(OF_STUDY) for mark in marks)
    assert json.loads((folder / "audit.json").read_text())["marks"] == statistics.marks


def test_synthetic_data_and_a_rehearsal_mark_every_description_in_mlflow(leaking: Finished) -> None:
    for run in runs_of(leaking.store):
        assert run.data.tags["harness.rehearsal"] == "base.epochs 1 of 2"
        assert run.data.tags["harness.data"] == "SYNTHETIC"
        if run.data.tags["harness.level"] in ("scenario", "test"):
            assert run.data.tags["mlflow.note.content"].startswith(f"**{OF_STUDY}")
        if run.data.tags["harness.level"] == "study":
            note = run.data.tags["mlflow.note.content"]
            assert "**SYNTHETIC DATA.**" in note
            assert "**Rehearsal.** Less was run than the study says: base.epochs 1 of 2." in note
