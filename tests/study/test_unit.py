"""Patients as the unit of a study: how their images are combined, what stages select by, ids, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

from harness.errors import StudyError
from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.store import Ledger, Store
from harness.store.results import FoldRecord, FoldResult
from harness.study import Study
from harness.study.contests import least_step
from harness.study.identity import Digests, study_id
from harness.study.reader import OF_IMAGES, Reading, StateReader
from harness.study.unit import BY_IMAGE, Combine, Unit, unit_scores
from tests.conftest import fit_facts

LoadText = Callable[..., Study]

DIGESTS = Digests("images", {(0, fold): f"rows {fold}" for fold in range(2)}, {("resnet18", "none"): "none"})
TEXT = """\
study: demo
data: {source: phantom}
folds: {k: 2}
unit: patient
base: {backbone: resnet18, weights: none}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
    select: {metric: val/accuracy}
"""
BY_IMAGES = TEXT.replace("unit: patient\n", "")

IMAGES = pd.DataFrame(
    [("b1", "b", "WELL", 0.5), ("a1", "a", "ILL", 0.2), ("b2", "b", "WELL", 0.1), ("a2", "a", "ILL", 0.9),
     ("a3", "a", "ILL", 0.4)],
    columns=["image", "patient", "label", "prob_ILL"],
)  # fmt: skip
IMAGES["prob_WELL"] = 1 - IMAGES["prob_ILL"]


@pytest.mark.parametrize(
    ("combine", "well", "ill"),
    [
        ("mean", (0.5 + 0.1) / 2, (0.2 + 0.9 + 0.4) / 3),
        ("max", 0.5, 0.9),
        ("noisy-or", 1 - 0.5 * 0.9, 1 - 0.8 * 0.1 * 0.6),
    ],
)
def test_the_images_of_a_patient_become_one_row(combine: Combine, well: float, ill: float) -> None:
    found = Unit("patient", combine, "ILL").of(IMAGES)
    assert found["image"].tolist() == found["patient"].tolist() == ["b", "a"], "in the order of their first images"
    assert found["label"].tolist() == ["WELL", "ILL"]
    assert found["images"].tolist() == [2, 3]
    assert found["prob_ILL"].tolist() == pytest.approx([well, ill])
    assert found["prob_WELL"].tolist() == pytest.approx([1 - well, 1 - ill])
    assert BY_IMAGE.of(IMAGES) is IMAGES


def test_they_are_combined_in_each_fold_and_repeat_and_where_a_fit_has_none() -> None:
    twice = pd.concat([IMAGES.assign(repeat=repeat, fold=pd.array([0] * 5, "Int64")) for repeat in (0, 1)])
    twice.loc[twice["repeat"] == 1, ["prob_ILL", "prob_WELL"]] = 0.5
    found = Unit("patient", "max", "ILL").of(twice)
    assert found[["patient", "repeat", "prob_ILL"]].to_numpy().tolist() == [
        ["b", 0, 0.5], ["a", 0, 0.9], ["b", 1, 0.5], ["a", 1, 0.5],
    ]  # fmt: skip
    refit = IMAGES.assign(repeat=0, fold=pd.array([None] * 5, "Int64"))
    assert Unit("patient", "mean", "ILL").of(refit)["fold"].isna().tolist() == [True, True]


def test_several_classes_have_a_mean_and_patients_without_one_class_have_no_row() -> None:
    frame = pd.DataFrame({"image": list("xyz"), "patient": ["p", "p", "q"], "label": ["C", "C", "A"]})
    frame[["prob_A", "prob_B", "prob_C"]] = [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.6, 0.2, 0.2]]
    unit = Unit("patient", "mean")
    assert unit.of(frame)[["prob_A", "prob_B", "prob_C"]].to_numpy()[0] == pytest.approx([0.3, 0.25, 0.45])
    assert Unit("patient", left_out=frozenset(["p"])).of(frame)["patient"].tolist() == ["q"]
    metrics = unit_scores(unit, frame, None).metrics
    assert (metrics["val/accuracy"], unit_scores(unit, frame, None).counts) == (1.0, (1, 0, 1))


def fold_of(fold: int, scores: Callable[[int, bool], tuple[float, float, float]]) -> pd.DataFrame:
    """Twelve patients, six of a class; the ill ones with three images, the others with one."""
    rows = []
    for number in range(12):
        ill = number % 2 == 0
        for image, score in enumerate(scores(number, ill)[: 3 if ill else 1]):
            rows.append((f"{fold}-{number}-{image}", f"{fold}-{number}", "ILL" if ill else "WELL", score, 1 - score))
    frame = pd.DataFrame(rows, columns=["image", "patient", "label", "prob_ILL", "prob_WELL"])
    return frame.assign(fold=pd.array([fold] * len(frame), "Int64"), repeat=0)


def often_right(fold: int) -> pd.DataFrame:
    """Every ill image is found, and every second healthy patient is taken for ill."""
    return fold_of(fold, lambda number, ill: (0.8, 0.7, 0.9) if ill else ((0.6 if number % 4 == 1 else 0.2), 0.0, 0.0))


def right_together(fold: int) -> pd.DataFrame:
    """Of three ill images one is missed, but not their mean; every healthy patient but one is found."""
    return fold_of(fold, lambda number, ill: (0.4, 0.9, 0.4) if ill else ((0.6 if number == 1 else 0.2), 0.0, 0.0))


def finish(study: Study, ledger: Ledger) -> None:
    """Store the results of both scenarios: the first is better by image, the second by patient."""
    scenarios = StateReader(study, DIGESTS, ledger).stage(study.stages[0], None).scenarios
    for scenario, table in zip(scenarios, (often_right, right_together), strict=True):
        for job in scenario.jobs:
            frame = table(job.fold or 0)
            _, probabilities, labels = arrays(frame)
            metrics = {f"val/{k}": v for k, v in classification_metrics(probabilities, labels, 0).items()}
            counts = {"before": {"ILL": 18, "WELL": 6}, "after": {"ILL": 18, "WELL": 6}}
            ledger.save(FoldResult(FoldRecord(job.id, [], 1, metrics, counts, fit_facts()), frame))


def test_stages_select_by_patients_where_they_are_the_unit(study_of: LoadText, tmp_path: Path) -> None:
    study, ledger = study_of(TEXT), Ledger(Store(tmp_path / "store"))
    finish(study, ledger)
    unit = Unit("patient", "mean", "ILL")
    (images,), (patients,) = (
        StateReader(study, DIGESTS, ledger, True, reading).read().stages
        for reading in (OF_IMAGES, Reading(unit, "ILL"))
    )
    assert images.best is images.scenarios[0]
    assert patients.best is patients.scenarios[1]
    frame = unit.of(right_together(0))
    ill, score = frame["label"] == "ILL", frame["prob_ILL"]
    one = patients.scenarios[1].metrics(patients.scenarios[1].jobs[0].id)
    expected = {
        "val/accuracy": accuracy_score(ill, score > 0.5), "val/roc_auc": roc_auc_score(ill, score),
        "val/balanced_accuracy": balanced_accuracy_score(ill, score > 0.5), "val/loss": log_loss(ill, score),
    }  # fmt: skip
    assert {name: one[name] for name in expected} == pytest.approx(expected)
    assert patients.scenarios[1].summary["val/accuracy_mean"] == pytest.approx(11 / 12)
    (contest,) = patients.contests
    assert contest.test.difference == pytest.approx(11 / 12 - 9 / 12)
    assert least_step(patients.scenarios[0], "val/accuracy") == pytest.approx(1 / 12), "one of twelve patients"
    assert least_step(images.scenarios[0], "val/accuracy") == pytest.approx(1 / 24), "one of the images of a fold"


def test_the_numbers_of_the_other_unit_leave_the_winner_as_it_was_selected(study_of: LoadText, tmp_path: Path) -> None:
    study, ledger = study_of(TEXT), Ledger(Store(tmp_path / "store"))
    finish(study, ledger)
    leading = StateReader(study, DIGESTS, ledger, True, Reading(Unit("patient", "mean", "ILL"), "ILL")).read()
    (images,) = StateReader(study, DIGESTS, ledger).again(leading).stages
    assert images.best is images.scenarios[1]
    assert images.top is images.scenarios[0]


def test_the_unit_changes_no_job_and_is_in_the_id_where_it_is_not_the_default(study_of: LoadText) -> None:
    texts = (BY_IMAGES, TEXT, TEXT + "combine: max\n", BY_IMAGES + "combine: max\n", BY_IMAGES + "unit: image\n")
    studies = [study_of(text) for text in texts]
    ids = [study_id(study, DIGESTS) for study in studies]
    assert ids[0] == ids[4] == "d67fdf8c592e76d9", "as before there was a unit"
    assert len(set(ids)) == 4
    assert not {"unit", "combine"} & studies[0].model_dump(mode="json").keys()
    jobs = [[job.id for s in StateReader(study, DIGESTS, Ledger(Store(Path()))).read().scenarios for job in s.jobs]
            for study in studies]  # fmt: skip
    assert all(each == jobs[0] for each in jobs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("phantom", "folder, path: ."), "4: unit: patients are unknown; say who they are by data.patient"),
        (
            BY_IMAGES.replace("phantom", "folder, path: .") + "combine: max\n",
            "9: combine: patients are unknown; say who they are by data.patient, or of a table by data.columns.patient,"
            " or write combine: mean",
        ),
        (
            TEXT.replace("k: 2", "k: 2, grouped: false"),
            "4: unit: folds that are not grouped tear patients apart; write",
        ),
        (
            TEXT + "search: {space: {learning_rate: {low: 1.0e-4, high: 1.0e-2}}, trials: 2}\n",
            "4: unit: a search compares trials by the images of every epoch; give it a study file of its own, or",
        ),
        (TEXT + "combine: noisy_or\n", "10: combine: noisy_or is given; allowed: mean, max, noisy-or"),
        (TEXT.replace("unit: patient", "unit: patients"), "4: unit: patients is given; allowed: image, patient"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(study_of: LoadText, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(text)
    assert str(refused.value).startswith(f"{tmp_path}/study.yaml:{message}")
    assert "\n" not in str(refused.value)


def test_labels_that_are_no_class_are_seen() -> None:
    assert arrays(IMAGES.assign(label="OTHER"))[2].tolist() == [-1] * 5
    assert arrays(IMAGES)[2].tolist() == [1, 0, 1, 0, 0]
    assert np.allclose(arrays(IMAGES)[1].sum(axis=1), 1)
