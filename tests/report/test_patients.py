"""A study whose unit is the patient: its numbers, its report in both units, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from harness.errors import HarnessError
from harness.prepare import prepare
from harness.report.numbers.predictions import ensemble, pooled
from harness.report.numbers.records import read_statistics
from harness.report.verified.report_again import report_again_items
from harness.store import Store
from harness.study import Study, load_study
from harness.study.unit import BY_IMAGE, Unit
from tests.conftest import Finished, draw_images, run_in, runs_of

TEXT = """\
study: by-patient
data:
  source: table
  path: cases.csv
  image_size: 32
  columns: {image: file, label: finding, patient: pid, split: set}
  metadata: [sex, view]
folds: {k: 2}
unit: patient
combine: noisy-or
subgroups: [sex, view]
operating: {sensitivity: 0.9}
prevalences: [0.05]
base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 16, learning_rate: 1.0e-3}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
    select: {metric: val/roc_auc}
test: {stages: [heads], scenarios: all, model: folds}
"""


def table_study(root: Path, text: str = TEXT) -> Study:
    """56 patients with one to three images each, from two views."""
    patients = [patient for patient in range(56) for _ in range(1 + patient % 3)]
    paths = [f"{'AB'[patient % 2]}/{number}.png" for number, patient in enumerate(patients)]
    draw_images(root, {path: seed for seed, path in enumerate(paths)})
    of = np.array(patients)
    table = pd.DataFrame({"file": paths, "finding": [path[0] for path in paths], "pid": [f"p{p}" for p in patients]})
    table["set"] = np.where(of < 30, "train", "test")
    table["sex"] = np.where(of % 4 < 2, "F", "M")
    table["view"] = np.where(np.arange(len(of)) % 2, "AP", "PA")
    table.to_csv(root / "cases.csv", index=False)
    (root / "by-patient.yaml").write_text(text)
    return load_study(root / "by-patient.yaml")


@pytest.fixture(scope="module")
def by_patient(tmp_path_factory: pytest.TempPathFactory, new_store: Callable[[], Store]) -> Finished:
    return run_in(table_study(tmp_path_factory.mktemp("table")), new_store())


def combined(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each patient of each fold, by noisy-or, computed otherwise than in the package."""
    rows = [
        (patient, part["label"].iloc[0], 1 - float(np.prod(1 - part["prob_B"].to_numpy())), *fold)
        for (patient, *fold), part in frame.groupby(["patient", *(name for name in ("fold",) if name in frame)])
    ]
    return pd.DataFrame(rows, columns=["patient", "label", "prob_B", *(name for name in ("fold",) if name in frame)])


def positive(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["label"] == "B"


@pytest.mark.slow
def test_every_number_of_patients_is_that_of_scikit_learn_on_the_combined_predictions(by_patient: Finished) -> None:
    folder, workspace = by_patient.run.report.parent, by_patient.run.workspace
    statistics = read_statistics(folder)
    assert statistics.model_dump(include={"unit", "combine", "left_out"}) == {
        "unit": "patient", "combine": "noisy-or", "left_out": 0,
    }  # fmt: skip
    for state, on in ((by_patient.run.state.scenarios[0], "out of fold"), (by_patient.run.state.tests[0], "test set")):
        frame = pooled(list(state.jobs), workspace.ledger)
        frame = combined(ensemble(frame) if on == "test set" else frame)
        values = {
            (e.metric, e.of_class): e for e in statistics.estimates if (e.subject, e.on) == (state.name, on)
        }  # fmt: skip
        found = frame["prob_B"] > 0.5
        expected: dict[tuple[str, str | None], float] = {}
        expected["accuracy", None] = accuracy_score(positive(frame), found)
        expected["recall", "B"] = recall_score(positive(frame), found)
        expected["specificity", "B"] = recall_score(positive(frame), found, pos_label=False)
        apart = [part for _, part in frame.groupby("fold")] if on == "out of fold" else [frame]
        expected["roc_auc", "B"] = np.mean([roc_auc_score(positive(part), part["prob_B"]) for part in apart])
        assert {key: values[key].value for key in expected} == pytest.approx(expected)
        assert values["accuracy", None].n == len(frame) == (30 if on == "out of fold" else 26)
    areas = [
        roc_auc_score(positive(part), part["prob_B"])
        for job in by_patient.run.state.scenarios[0].jobs
        for part in [combined(workspace.ledger.predictions(job.id))]
    ]
    board = pd.read_csv(folder / "leaderboard-heads.csv").set_index("head")
    name = by_patient.run.state.scenarios[0].settings.head
    assert board.loc[name, "val/roc_auc"] == pytest.approx(np.mean(areas))
    assert board.loc[name, "val/roc_auc SD"] == pytest.approx(np.std(areas, ddof=1))


@pytest.mark.slow
def test_the_operating_point_is_chosen_on_patients_and_the_subgroups_are_measured_at_it(by_patient: Finished) -> None:
    folder, workspace = by_patient.run.report.parent, by_patient.run.workspace
    estimates, (test, _) = read_statistics(folder).estimates, by_patient.run.state.tests
    validated = next(s for s in by_patient.run.state.scenarios if s.id == test.id)
    (point,) = (e.value for e in estimates if (e.subject, e.metric) == (test.name, "operating point"))
    frame = combined(pooled(list(validated.jobs), workspace.ledger))
    of_ill = frame.loc[positive(frame), "prob_B"]
    assert point == pytest.approx(max(cut for cut in of_ill if (of_ill >= cut).mean() >= 0.9)), "that of a patient"
    tested = ensemble(pooled(list(test.jobs), workspace.ledger))
    sexes = workspace.groups["sex"].loc[tested["image"]].to_numpy()
    part = combined(tested[sexes == "F"])
    sensitivity = recall_score(positive(part), part["prob_B"] >= point)
    wanted = (test.name, "subgroup, test set, sex = F", "recall at the operating point")
    (found,) = (e for e in estimates if (e.subject, e.on, e.metric) == wanted)
    assert found.value == pytest.approx(sensitivity)
    assert found.at == point
    table = pd.read_csv(folder / f"subgroups-{test.id}.csv").set_index("group")
    assert table.loc["view = several", "patients"] == 17, "patients with images from both views"
    assert "images" not in table and table.index[0] == "all patients"
    assert table.loc["sex = F", "sensitivity at the operating point"] == pytest.approx(sensitivity, abs=1e-15)


@pytest.mark.slow
def test_the_page_of_images_has_the_numbers_of_a_study_by_image(by_patient: Finished) -> None:
    folder, workspace = by_patient.run.report.parent, by_patient.run.workspace
    images = read_statistics(folder / "images")
    test = by_patient.run.state.tests[0]
    frame = ensemble(pooled(list(test.jobs), workspace.ledger))
    keys = (test.name, "test set", "roc_auc")
    (area,) = (e for e in images.estimates if (e.subject, e.on, e.metric) == keys)
    assert area.value == pytest.approx(roc_auc_score(positive(frame), frame["prob_B"]))
    text = by_patient.run.report.read_text()
    assert "**Unit: patient, the images of a patient combined by noisy-or.**" in text
    assert "[a page of its own](images/index.html)" in text
    assert "a fold validates on 7 patients of A: a recall of 0.9 is known to" in text
    assert (folder / "images" / "index.html").exists()
    names = {path.name for path in folder.glob("*.csv")} - {path.name for path in (folder / "images").glob("*.csv")}
    of_the_study = {
        "checklist.csv", "commands.csv", "costs.csv", "fits.csv", "inputs.csv", "scenarios.csv", "settings.csv",
        "units.csv",
    }  # fmt: skip
    assert names == of_the_study, "every table of results is there in both units"
    answers = (folder / "checklist.md").read_text()
    assert "by val/roc_auc of patients" in answers and "test set of patients: accuracy" in answers


@pytest.mark.slow
def test_mlflow_has_the_metrics_of_both_units_under_their_names(by_patient: Finished) -> None:
    scenario = by_patient.run.state.scenarios[0]
    (logged,) = (r.data for r in runs_of(by_patient.store, "scenario") if r.data.tags["harness.key"] == scenario.id)
    assert logged.metrics["patient val/roc_auc_mean"] == pytest.approx(scenario.summary["val/roc_auc_mean"])
    of_images = [record.metrics["val/roc_auc"] for record in scenario.records.values()]
    assert logged.metrics["val/roc_auc_mean"] == pytest.approx(np.mean(of_images))
    assert logged.tags["harness.unit"] == "patient, noisy-or"
    assert "accuracy of patients" in logged.tags["mlflow.note.content"]
    folds = [run.data.metrics["val/roc_auc"] for run in runs_of(by_patient.store, "fold")]
    assert set(of_images) <= set(folds)
    (tested, _) = (run.data.metrics for run in runs_of(by_patient.store, "test"))
    assert {"test/roc_auc", "patient test/roc_auc"} <= tested.keys()


@pytest.mark.slow
def test_verify_computes_both_units_again(by_patient: Finished) -> None:
    folder, workspace = by_patient.run.report.parent, by_patient.run.workspace
    items = {item.what: item for item in report_again_items(folder, workspace)}
    assert {what: item.words for what, item in items.items() if item.verdict != "holds"} == {}
    place = "reports/by-patient"
    assert {f"{place}/units.csv", f"{place}/images/statistics.json", f"{place}/images/index.html"} <= items.keys()


def test_a_patient_of_several_classes_is_named_and_with_images_as_the_unit_left_out(tmp_path: Path) -> None:
    study = table_study(tmp_path)
    table = pd.read_csv(tmp_path / "cases.csv")
    table.loc[table["pid"] == "p3", "pid"] = "p2"
    table.loc[table["pid"] == "p9", "pid"] = "p8"
    table.to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(HarnessError) as refused:
        prepare(study, Store(tmp_path / "store"))
    assert str(refused.value) == (
        f"{tmp_path}/by-patient.yaml:9: unit: patient p8 has images of A, A/15.png (row 17) and of B, B/18.png (row"
        " 20), as one more patient has, and a patient is of one class: give all images of a patient the same label, or"
        " name what is of one class as the patient, such as an exam, or write unit: image"
    )
    study = table_study(tmp_path, TEXT.replace("unit: patient", "unit: image"))
    table.to_csv(tmp_path / "cases.csv", index=False)
    other = prepare(study, Store(tmp_path / "store")).other_unit
    assert isinstance(other, Unit) and other.left_out == {"p2", "p8"}


def test_max_and_noisy_or_are_of_two_classes(tmp_path: Path) -> None:
    study = table_study(tmp_path, TEXT.replace("unit: patient", "unit: image"))
    table = pd.read_csv(tmp_path / "cases.csv")
    table.loc[table["pid"].isin(["p3", "p5", "p7", "p9", "p31", "p33"]), "finding"] = "C"
    table.to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(HarnessError) as refused:
        prepare(study, Store(tmp_path / "store"))
    assert str(refused.value) == (
        f"{tmp_path}/by-patient.yaml:10: combine: noisy-or combines probabilities of a positive class, and there are 3"
        " classes; write combine: mean"
    )


def test_nothing_is_said_of_patients_with_one_image_each(tmp_path: Path) -> None:
    table_study(tmp_path)
    table = pd.read_csv(tmp_path / "cases.csv")
    table.drop_duplicates("pid").to_csv(tmp_path / "cases.csv", index=False)
    for text, expected in ((TEXT.replace("unit: patient", "unit: image"), None), (TEXT, BY_IMAGE)):
        (tmp_path / "by-patient.yaml").write_text(text)
        workspace = prepare(load_study(tmp_path / "by-patient.yaml"), Store(tmp_path / "store"))
        assert workspace.other_unit == expected
