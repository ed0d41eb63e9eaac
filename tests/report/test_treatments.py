import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from harness.report.numbers.records import Statistics, read_statistics
from harness.report.numbers.treatment_tests import BOTH, QUESTION, SECOND, SENTENCE
from harness.report.numbers.treatments import AREA, BALANCED, CORRECTED, ECE, MOVED, TREATED
from harness.report.sections.unequal_classes import treatment_figure
from harness.stats.calibration import SLOPE, calibration_slope
from harness.stats.metrics import ECE_BINS
from harness.stats.paired import corrected_t
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.scenario_state import ScenarioState
from tests.conftest import PATIENT, Finished, draw_images, run_in

LEVELS = ["none", {"name": "none", "loss": "class-weighted"}]
WEIGHTED, PLAIN = "none (loss=class-weighted)", "none (loss=cross-entropy)"


def treated(levels: Sequence[object], *more: str) -> tuple[str, ...]:
    stage = {"name": "treatments", "grid": {"oversampling": levels}}
    return (f"stages={json.dumps([stage])}", "test=", "base.epochs=1", *more)


@pytest.fixture(scope="module")
def treatments(small_study: Callable[..., Study], new_store: Callable[[], Store]) -> Finished:
    return run_in(small_study(*treated(LEVELS, "folds.repeats=2")), new_store())


@pytest.fixture(scope="module")
def numbers(treatments: Finished) -> Statistics:
    return read_statistics(treatments.run.report.parent)


def folds(found: Finished, name: str) -> list[pd.DataFrame]:
    """The stored predictions of a scenario, fold by fold."""
    scenario = state(found, name)
    return [Ledger(found.store).predictions(job.id) for job in scenario.jobs]


def state(found: Finished, name: str) -> ScenarioState:
    return next(s for s in found.run.state.scenarios if s.name == name)


def value(numbers: Statistics, name: str, metric: str) -> float:
    return next(e.value for e in numbers.estimates if (e.subject, e.on, e.metric) == (name, TREATED, metric))


def moved_by_hand(found: Finished, name: str) -> list[float]:
    """The balanced accuracy of each fold at the best of all thresholds on the other fold of its repeat."""
    frames, values = folds(found, name), []
    for number, frame in enumerate(frames):
        others = frames[number ^ 1]  # of two folds, repeat after repeat
        cuts = np.sort(others["prob_PNEUMONIA"].unique())[::-1]
        scores = [
            balanced_accuracy_score(others["label"] == "PNEUMONIA", others["prob_PNEUMONIA"] >= cut) for cut in cuts
        ]
        cut = cuts[int(np.argmax(np.round(scores, 12)))]
        values.append(balanced_accuracy_score(frame["label"] == "PNEUMONIA", frame["prob_PNEUMONIA"] >= cut))
    return values


def test_the_table_says_what_the_stored_predictions_say(treatments: Finished, numbers: Statistics) -> None:
    for name in (PLAIN, WEIGHTED):
        frames = folds(treatments, name)
        plain = [balanced_accuracy_score(f["label"] == "PNEUMONIA", f["prob_PNEUMONIA"] > 0.5) for f in frames]
        assert value(numbers, name, BALANCED) == pytest.approx(np.mean(plain))
        assert value(numbers, name, MOVED) == pytest.approx(np.mean(moved_by_hand(treatments, name)))
        areas = [roc_auc_score(f["label"] == "PNEUMONIA", f["prob_PNEUMONIA"]) for f in frames]
        assert value(numbers, name, AREA) == pytest.approx(np.mean(areas))


def test_correction_is_for_the_shares_of_the_training_images(treatments: Finished, numbers: Statistics) -> None:
    assert value(numbers, PLAIN, ECE) == pytest.approx(value(numbers, PLAIN, f"{ECE}{CORRECTED}"))
    counts = [r.class_counts["before"] for r in state(treatments, WEIGHTED).records.values()]
    confidences, right = [], []
    for frame, count in zip(folds(treatments, WEIGHTED), counts, strict=True):
        weights = {name: count[name] * frame[f"prob_{name}"] for name in count}  # from shares of one half each
        corrected = weights["PNEUMONIA"] / sum(weights.values())
        confidences.append(np.maximum(corrected, 1 - corrected))
        right.append((corrected > 0.5) == (frame["label"] == "PNEUMONIA"))
    confidence, hits = np.concatenate(confidences), np.concatenate(right)
    bins = np.array_split(np.argsort(confidence, kind="stable"), ECE_BINS)
    error = sum(abs((hits[rows] - confidence[rows]).sum()) for rows in bins) / len(hits)
    assert value(numbers, WEIGHTED, f"{ECE}{CORRECTED}") == pytest.approx(error)
    assert value(numbers, WEIGHTED, ECE) != pytest.approx(error)


def test_each_treatment_is_compared_with_its_own_scenario_untreated(treatments: Finished, numbers: Statistics) -> None:
    compared = [c for c in numbers.comparisons if c.on == TREATED]
    assert [(c.first, c.second, c.metric, c.comparisons) for c in compared] == [
        (WEIGHTED, PLAIN, metric, 1) for metric in (BOTH, SECOND)
    ]
    moved = {name: moved_by_hand(treatments, name) for name in (PLAIN, WEIGHTED)}
    test = corrected_t([a - b for a, b in zip(moved[WEIGHTED], moved[PLAIN], strict=True)], 1)
    assert (compared[0].difference, compared[0].p) == pytest.approx((test.difference, test.p))


def test_report_and_summary_have_the_sentence_the_table_and_the_figure(
    treatments: Finished, numbers: Statistics
) -> None:
    (sentence,) = (f.text for f in numbers.findings if f.kind == SENTENCE)
    report = treatments.run.report.read_text()
    assert sentence.startswith(f"Against {PLAIN}, untreated, with its decision moved: ")
    assert report.count(sentence) == 1, "the summary has it in short"
    assert report.lower().count(QUESTION.lower()) == 2, "asked once in the summary, and once in the section"
    short = next(line for line in report.splitlines() if line.startswith("- Classes of unequal size: "))
    assert len(short) < 0.7 * len(sentence)
    answer = re.search(r"decision moved: (.*?)[.;]", sentence)
    best = re.search(r"is ([+-][\d.]+) points away", sentence)
    assert answer and best and answer[1] in short and f"{best[1]} points away" in short
    assert report.index(short) < report.index("## Classes of unequal size") < report.index(sentence)
    table = pd.read_csv(treatments.run.report.parent / "treatments.csv")
    assert list(table["scenario"]) == [PLAIN, WEIGHTED]
    assert {BALANCED, MOVED, AREA, SLOPE, f"{SLOPE}{CORRECTED}", ECE, f"{ECE}{CORRECTED}"} < set(table)
    assert "](treatments.png)" in report


@pytest.mark.figures
def test_the_figure_has_a_row_for_each_scenario(numbers: Statistics, tmp_path: Path) -> None:
    treatment_figure([e for e in numbers.estimates if e.on == TREATED], "small", tmp_path / "treatments.png", None)
    drawn = (tmp_path / "treatments.svg").read_text()
    assert all(words in drawn for words in (PLAIN, WEIGHTED, BALANCED, AREA, ECE))


def test_several_classes_are_moved_by_their_shares(
    tmp_path: Path, small_study: Callable[..., Study], new_store: Callable[[], Store]
) -> None:
    counts = {"A": 12, "B": 6, "C": 6}
    files = [
        f"{split}/{name}/{n}.png" for split in ("train", "test") for name, count in counts.items() for n in range(count)
    ]
    folder = draw_images(tmp_path / "images", {file: seed for seed, file in enumerate(files)})
    images = ["data.source=folder", f"data.path={folder}", "data.positive=null"]
    found = run_in(small_study(*treated(["none", "random"], *images)), new_store())
    numbers = read_statistics(found.run.report.parent)
    for name, shares in (("none", [1 / 2, 1 / 4, 1 / 4]), ("random", [1 / 3] * 3)):
        values = []
        for frame in folds(found, name):
            called = (frame[["prob_A", "prob_B", "prob_C"]] / shares).to_numpy().argmax(axis=1)
            values.append(balanced_accuracy_score(frame["label"], np.array(["A", "B", "C"])[called]))
        assert value(numbers, name, MOVED) == pytest.approx(np.mean(values))
    assert [c.metric for c in numbers.comparisons if c.on == TREATED] == [BOTH, SECOND]
    assert SLOPE not in {e.metric for e in numbers.estimates}


def test_of_patients_the_images_are_corrected_before_they_are_combined(
    image_folder: Path, small_study: Callable[..., Study], new_store: Callable[[], Store]
) -> None:
    levels = ["none", {"name": "none", "loss": "logit-adjusted", "prior_correction": "on"}]
    images = [
        "data.source=folder",
        f"data.path={image_folder}",
        "data.positive=B",
        f"data.patient={PATIENT}",
        "unit=patient",
        "folds.k=2",
    ]
    found = run_in(small_study(*treated(levels, *images)), new_store())
    numbers = read_statistics(found.run.report.parent)
    name = next(s.name for s in found.run.state.scenarios if "logit-adjusted" in s.name)
    assert {e.n for e in numbers.estimates if e.on == TREATED} == {10}
    before, after, is_b = [], [], []
    for frame in folds(found, name):  # stored for shares of 12 and 8; learnt for equal ones
        mean = frame.assign(of_b=equal(frame["prob_B"])).groupby("patient")[["prob_B", "of_b"]].mean()
        before.append(mean["of_b"])
        after.append(equal(mean["prob_B"]))
        is_b.append(frame.groupby("patient")["label"].first() == "B")
    right, wrong = (calibration_slope(np.concatenate(by), np.concatenate(is_b)) for by in (before, after))
    assert value(numbers, name, SLOPE) == pytest.approx(right, rel=1e-7)
    assert value(numbers, name, SLOPE) != pytest.approx(wrong, rel=1e-6)


def equal(of_b: pd.Series) -> pd.Series:
    """The probability of B for classes of one size, from that for 12 and 8 images."""
    return of_b / 8 / (of_b / 8 + (1 - of_b) / 12)


def test_a_study_whose_only_treatment_leaks_has_no_such_section(
    small_study: Callable[..., Study], new_store: Callable[[], Store]
) -> None:
    found = run_in(small_study(*treated(["none", "random-before-split"], "folds.k=2")), new_store())
    assert not [e for e in read_statistics(found.run.report.parent).estimates if e.on == TREATED]
    assert "Classes of unequal size" not in found.run.report.read_text()
