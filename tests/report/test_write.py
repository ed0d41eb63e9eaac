import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.prepare import prepare
from harness.report.tables.export import rounded
from harness.report.write import write_report
from harness.store import Store
from harness.study import Study
from harness.study.identity import study_id
from tests.conftest import Finished


@pytest.fixture(scope="module")
def text(finished: Finished) -> str:
    return finished.run.report.read_text()


def written(study: Study, store: Store) -> str:
    """The report as it is written now."""
    workspace = prepare(study, store)
    return write_report(workspace, workspace.reader.read(provisional=True)).read_text()


def test_the_report_lies_in_the_store_under_the_studys_name(finished: Finished) -> None:
    assert finished.run.report == finished.store.reports / "small" / "report.md"
    assert [path.name for path in finished.store.reports.iterdir()] == ["small"]


def test_there_are_tables_and_figures_of_every_stage_and_of_the_test_set(finished: Finished) -> None:
    (test,) = finished.run.state.tests
    names = {path.name for path in finished.run.report.parent.iterdir()}
    assert {"report.md", "index.html", "curves-heads.png", "curves-sampling.png"} <= names
    assert {"intervals-heads.png", "intervals-sampling.png", "differences-heads.png"} <= names
    drawn = ("confusion_matrix", "roc", "pr", "calibration")
    assert {f"{on}-{figure}-{test.id}.png" for on in ("oof", "test") for figure in drawn} <= names
    tables = ("leaderboard-heads", "leaderboard-sampling", "comparisons-heads", f"test-classes-{test.id}")
    assert {f"{table}.{kind}" for table in tables for kind in ("csv", "tex")} <= names
    assert {"statistics.json", "statistics.schema.json", "audit.json", "environment.txt"} <= names


def test_every_link_of_the_report_leads_to_a_file(finished: Finished, text: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(set(links)) == len(links) > 12
    assert all((finished.run.report.parent / link).is_file() for link in links)


@pytest.mark.figures
def test_every_figure_is_a_picture_that_is_not_blank(finished: Finished, tmp_path: Path) -> None:
    store = finished.copy_to(tmp_path / "store")  # another test may have left blank figures
    written(finished.study, store)
    figures = list((store.reports / "small").glob("*.png"))
    assert len(figures) == 24
    for path in figures:
        image = Image.open(path).convert("L")
        assert np.ptp(np.asarray(image)) > 120
        assert min(image.size) > 200


def test_the_csv_leaderboards_hold_the_numbers_unrounded(finished: Finished) -> None:
    for state in finished.run.state.stages:
        board = pd.read_csv(finished.run.report.parent / f"leaderboard-{state.stage.name}.csv").fillna("")
        assert state.best is not None
        (winner,) = board[board["selected"] == "selected"].to_dict("records")
        assert winner["head"] == state.best.settings.head
        for name in ("val/accuracy", "val/roc_auc", "val/balanced_accuracy"):
            assert winner[name] == pytest.approx(state.best.summary[f"{name}_mean"], abs=1e-12)
            assert winner[f"{name} SD"] == pytest.approx(state.best.summary[f"{name}_std"], abs=1e-12)


def test_the_test_tables_agree_with_each_other_and_with_the_text(finished: Finished, text: str) -> None:
    folder, (test,) = finished.run.report.parent, finished.run.state.tests
    confusion = pd.read_csv(folder / f"test-confusion-{test.id}.csv", index_col=0).drop(columns="mark")
    metrics = pd.read_csv(folder / f"test-metrics-{test.id}.csv")
    classes = pd.read_csv(folder / f"test-classes-{test.id}.csv", index_col="class")
    right = int(confusion.to_numpy().trace())
    assert metrics["accuracy"][0] == pytest.approx(right / 24)
    assert classes["support"].to_dict() == confusion.sum(axis=1).to_dict() == {"NORMAL": 6, "PNEUMONIA": 18}
    assert metrics["recall"][0] == pytest.approx(classes["recall"]["PNEUMONIA"])
    assert f"accuracy **{right}/24 = {right / 24:.3f}**, 95 % interval" in text
    assert "refitted on all training images" in text


def test_the_report_says_what_the_data_and_the_folds_are(finished: Finished, text: str) -> None:
    assert text.startswith("# small\n")
    inputs = prepare(finished.study, finished.store).inputs
    patients = inputs.dataset.table.groupby(["split", "label"])["patient"].nunique()
    for split, label, images in (("train", "NORMAL", 12), ("train", "PNEUMONIA", 36), ("test", "PNEUMONIA", 18)):
        assert f"| {split} | {label} | {images} | {patients[split, label]} |" in text
    assert "2 folds x 1 repeat, stratified by class, grouped by patient" in text
    assert f"manifest `{inputs.digests.manifest}`, folds `{inputs.digests.all_folds}`" in text
    assert study_id(finished.study, inputs.digests) in text


def test_each_stage_names_its_winner_and_what_chose_it(finished: Finished, text: str) -> None:
    chosen = re.findall(r"Selected by the rule `best`: \*\*(.+?)\*\*", text)
    assert chosen == [state.best.name for state in finished.run.state.stages if state.best]
    for metric in ("val/roc_auc", "val/balanced_accuracy"):
        assert f" {metric}" in text.partition("## Stage")[2]


def test_synthetic_data_are_called_so_before_any_number(text: str) -> None:
    assert text.index("**SYNTHETIC DATA.**") < text.index("|")


def test_jobs_that_are_missing_are_named(finished: Finished, store: Store) -> None:
    heads = finished.run.state.stages[0]
    loser = next(s for s in heads.scenarios if s is not heads.best)
    missing = loser.jobs[1]
    shutil.copytree(finished.store.jobs, store.jobs, ignore=shutil.ignore_patterns(missing.id))
    text = written(finished.study, store)
    assert f"**Missing:** 1 of the stage's fits is not done: {missing.scenario.name} (repeat 0, fold 1)." in text
    assert "| 1/2 |" in text
    assert text.count("**Missing:**") == 1
    assert text.count("Selected by the rule") == 1


def test_a_stage_that_waits_says_for_which_winner(small_study: Callable[..., Study], store: Store) -> None:
    text = written(small_study(), store)
    assert "## Stage sampling\n\nNot run: it starts from the winner of stage heads" in text
    assert "**Missing:** 4 of the stage's fits are not done: dropout-gap" in text
    assert "Test set" not in text


def test_a_rehearsal_without_the_test_set_does_not_say_that_its_images_were_used(
    small_study: Callable[..., Study], store: Store
) -> None:
    text = written(small_study("data.limit=24", "test=null"), store)
    assert "data.limit 24. Only 24 training images were used; no test image was scored.\n" in text


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.limit=24", "data.limit 24. Only 24 training images and 24 test images were used.\n"),
        ("base.epochs=1", "**Rehearsal.** Less was run than the study says: base.epochs 1 of 2.\n"),
        ("base.select_epoch=best", "**Optimistic choice.**"),
        ("folds.grouped=false", "**NOT grouped by patient: "),
        ("description=Words about it.", "# small\n\nThe study file says: Words about it.\n"),
    ],
)
def test_what_a_reader_must_know_stands_at_the_top(
    small_study: Callable[..., Study], store: Store, text: str, override: str, expected: str
) -> None:
    assert expected in written(small_study(override), store).partition("## Stage")[0]
    assert expected not in text


def test_a_new_report_replaces_the_old_one_whole(finished: Finished, store: Store) -> None:
    shutil.copytree(finished.store.jobs, store.jobs)
    written(finished.study, store)
    stale = store.reports / "small" / "stale.png"
    stale.touch()
    written(finished.study, store)
    assert not stale.exists()
    assert [path.name for path in store.reports.iterdir()] == ["small"]


@pytest.mark.long
def test_a_report_is_written_without_torch_timm_or_mlflow(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(finished.study.text or "")
    copied = tmp_path / "store"
    shutil.copytree(finished.store.root, copied)  # this report has no links to runs, for which others look
    code = f"""
import sys
from pathlib import Path
from harness.prepare import prepare
from harness.report.write import write_report
from harness.store import Store
from harness.study import load_study
study, store = load_study(Path({str(tmp_path / "study.yaml")!r})), Store(Path({str(copied)!r}))
workspace = prepare(study, store)
write_report(workspace, workspace.reader.read(provisional=True))
print(sorted({{"torch", "timm", "mlflow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
    report = copied / finished.run.report.relative_to(finished.store.root)
    assert report.read_text() == finished.run.report.read_text()


def test_tables_for_readers_have_three_decimals_and_dashes() -> None:
    table = pd.DataFrame({"learning_rate": [1e-4, 1e30], "val/accuracy": [0.98765, float("nan")], "head": ["a", "b"]})
    assert rounded(table).to_numpy().tolist() == [["0.0001", "0.988", "a"], ["1e+30", "-", "b"]]


def test_the_metric_precision_is_no_factor_of_that_name() -> None:
    assert rounded(pd.DataFrame({"precision": [31 / 54], "recall": [31 / 54]})).to_numpy().tolist() == [["0.574"] * 2]


def test_levels_of_a_factor_are_not_rounded() -> None:
    table = pd.DataFrame({"dropout": [0.5, 0.500001, float("nan")], "val/f1": [0.5, 0.500001, 0.1]})
    assert rounded(table).to_numpy().tolist() == [["0.5", "0.500"], ["0.500001", "0.500"], ["-", "0.100"]]


def test_the_deviation_stands_behind_its_mean() -> None:
    table = rounded(
        pd.DataFrame({"val/f1": [0.91234, 0.5], "val/f1 SD": [0.0101, float("nan")], "folds": ["3/3", "1/3"]})
    )
    assert list(table) == ["val/f1", "folds"]
    assert list(table["val/f1"]) == ["0.912 ± 0.010", "0.500 ± -"]
