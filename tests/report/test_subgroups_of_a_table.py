"""A table with metadata, from its plan to a report by subgroups that holds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from harness.errors import StudyError
from harness.prepare import prepare
from harness.report.numbers.predictions import ensemble, pooled
from harness.report.sections.checklist import AUTHOR
from harness.report.verified.report_again import report_again_items
from harness.store import Store
from harness.study import Study, load_study
from tests.conftest import Finished, draw_images, run_in, runs_of

TEXT = """\
study: grouped
data:
  source: table
  path: cases.csv
  image_size: 32
  columns: {image: file, label: finding, patient: pid, split: set}
  metadata: [sex, age, site]
folds: {k: 2}
subgroups: [sex, {age: [40, 65]}, site]
base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 16, learning_rate: 1.0e-3}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
    select: {metric: worst-group val/roc_auc}
test: {stages: [heads], model: folds}
"""


def table_study(root: Path) -> Study:
    """80 patients with two images each; few of site C, and of some the sex is not known."""
    paths = {f"{'AB'[n // 2 % 2]}/{n}.png": n for n in range(160)}
    draw_images(root, paths)
    patient = np.arange(160) // 2
    table = pd.DataFrame(
        {"file": list(paths), "finding": [path[0] for path in paths], "pid": [f"p{p}" for p in patient]}
    )
    table["set"] = np.where(patient < 30, "train", "test")
    table["sex"] = np.array(["F", "F", "M", "M", "F", "F", "M", "M", "", ""])[patient % 10]
    table["age"] = 30 + patient % 50
    table["site"] = np.where(patient % 16 == 15, "C", np.where(patient % 4 < 2, "07", "B"))
    table.to_csv(root / "cases.csv", index=False)
    (root / "grouped.yaml").write_text(TEXT)
    return load_study(root / "grouped.yaml")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory, new_store: Callable[[], Store]) -> Finished:
    return run_in(table_study(tmp_path_factory.mktemp("table")), new_store())


@pytest.mark.slow
def test_the_report_has_the_groups_and_its_numbers_are_those_of_the_predictions(grouped: Finished) -> None:
    folder, (test,) = grouped.run.report.parent, grouped.run.state.tests
    text = grouped.run.report.read_text()
    assert (
        f"## Subgroups: {test.name}, ensemble of 2 fold models, test set" in text
        and "By sex, age (cut at 40 and 65), site." in text
    )
    names = {path.name for path in folder.iterdir()}
    tables = ("subgroups", "subgroup-numbers", "subgroup-differences")
    assert {f"{table}-{test.id}.{kind}" for table in tables for kind in ("csv", "tex")} <= names
    assert {f"subgroups-{test.id}.png", f"subgroups-{test.id}.svg"} <= names
    table = pd.read_csv(folder / f"subgroups-{test.id}.csv").set_index("group")
    ages = ["age <40", "age = 40-64", "age >=65"]
    sites = ["site = 07", "site = B", "site = C"]
    assert list(table.index) == ["all images", "sex = F", "sex = M", "sex = missing", *ages, *sites]
    assert table.loc["site = C", "sensitivity note"] == "small"
    assert table["sensitivity low"].isna()["site = C"]
    frame = pooled(list(test.jobs), grouped.run.workspace.ledger)
    part = ensemble(frame[frame["sex"] == "F"])
    assert table.loc["sex = F", "images"] == len(part)
    assert table.loc["sex = F", "patients"] == part["patient"].nunique()
    estimates = json.loads((folder / "statistics.json").read_text())["estimates"]
    (area,) = (e for e in estimates if (e["on"], e["metric"]) == ("subgroup, test set, sex = F", "roc_auc"))
    assert area["value"] == pytest.approx(roc_auc_score(part["label"] == "B", part["prob_B"]))
    assert area["run_id"] in [run.info.run_id for run in runs_of(grouped.store, "test")]


@pytest.mark.slow
def test_the_worst_group_is_named_in_the_summary_the_checklist_and_the_leaderboard(grouped: Finished) -> None:
    folder = grouped.run.report.parent
    (finding,) = (
        f for f in json.loads((folder / "statistics.json").read_text())["findings"] if f["kind"] == "subgroups"
    )
    assert "the lowest ROC AUC of" in finding["text"]
    assert f"- Subgroups: {finding['text']}." in (folder / "summary.md").read_text()
    answers = pd.read_csv(folder / "checklist.csv").set_index(["checklist", "item"])["answer"]
    assert finding["text"] in answers["TRIPOD+AI 2024", "14"] != AUTHOR
    assert answers["CLAIM 2024", "36"].startswith("train images: sex = F 24, sex = M 24, sex = missing 12, age <40 20,")
    (stage,) = grouped.run.state.stages
    metric = "worst-group val/roc_auc"
    board = pd.read_csv(folder / "leaderboard-heads.csv")
    assert board[metric].tolist() == sorted((s.worst[metric].mean for s in stage.scenarios), reverse=True)
    assert set(board["worst group"]) == {s.worst[metric].group for s in stage.scenarios}
    logged = [run.data.metrics[f"{metric}_mean"] for run in runs_of(grouped.store, "scenario")]
    assert sorted(logged, reverse=True) == pytest.approx(board[metric].tolist())


@pytest.mark.slow
def test_the_report_follows_from_the_record_without_the_images(grouped: Finished) -> None:
    items = list(report_again_items(grouped.run.report.parent, grouped.run.workspace))
    assert len(items) > 20
    assert {item.what: item.words for item in items if item.verdict != "holds"} == {}


def test_groups_that_are_too_small_to_select_by_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = table_study(tmp_path)
    table = pd.read_csv(tmp_path / "cases.csv").iloc[:40]
    table.assign(sex=[f"{n // 4}" for n in range(40)], set="train").to_csv(tmp_path / "cases.csv", index=False)
    (tmp_path / "grouped.yaml").write_text(TEXT.replace("[sex, {age: [40, 65]}, site]", "[sex]"))
    study = load_study(tmp_path / "grouped.yaml")
    with pytest.raises(StudyError) as refused:
        prepare(study, Store(tmp_path / "store"))
    assert str(refused.value) == (
        f"{tmp_path}/grouped.yaml:14: stages[0].select.metric: no group has 10 training images of each class, all of"
        " them in one fold; select by val/roc_auc, or make larger groups"
    )
    assert not (tmp_path / "store").exists()
