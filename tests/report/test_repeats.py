"""Out of fold with several repeats: computed in each, then averaged, on the images of one."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, recall_score, roc_auc_score

from harness.report.figures import scenario_figures as figures
from harness.report.numbers.comparisons import OUT_OF_FOLD
from harness.report.numbers.gap_numbers import STEPS, gap_estimates
from harness.report.numbers.predicted import prediction_estimates
from harness.report.numbers.predictions import by_repeat, ensemble
from harness.report.numbers.records import Estimate
from harness.report.numbers.reliability_numbers import reliability_estimates
from harness.report.numbers.threshold_numbers import SWEEP, chosen_point, operating_point, threshold_estimates
from harness.report.sections.surest_errors import confident_errors, error_lines
from harness.report.tables.cells import Measured
from harness.report.tables.estimate_table import estimate_table
from harness.report.tables.scenario_tables import class_table, confusion_table
from harness.stats.proportions import clustered_wilson

REPEATS, IMAGES, PATIENTS = 4, 60, 20


def predictions(seed: int = 1) -> pd.DataFrame:
    """Repeats in which the same images are scored with new noise, each in an order of its own."""
    rng = np.random.default_rng(seed)
    positive = np.arange(IMAGES) % 3 > 0
    parts = []
    for repeat in range(REPEATS):
        scores = np.clip(rng.normal(np.where(positive, 0.62, 0.38), 0.2), 0.01, 0.99)
        part = pd.DataFrame(
            {
                "image": [f"train/{i:02}.png" for i in range(IMAGES)],
                "patient": [f"p{i % PATIENTS}" for i in range(IMAGES)],
                "label": np.where(positive, "YES", "NO"),
                "fold": np.arange(IMAGES) % 2,
                "repeat": repeat,
                "prob_NO": 1 - scores,
                "prob_YES": scores,
            }
        )
        parts.append(part.iloc[rng.permutation(IMAGES)])
    return pd.concat(parts, ignore_index=True)


FRAME = predictions()
EACH = [part for _, part in FRAME.groupby("repeat")]
TRUE = [(part["label"] == "YES").to_numpy() for part in EACH]
SCORES = [part["prob_YES"].to_numpy() for part in EACH]
CALLED = [scores > 0.5 for scores in SCORES]


def mean_of(score: object, values: list[np.ndarray] = CALLED) -> float:
    return float(np.mean([score(true, value) for true, value in zip(TRUE, values, strict=True)]))  # type: ignore[operator]


@pytest.fixture(scope="module")
def found() -> list[Estimate]:
    return prediction_estimates(FRAME, "s", OUT_OF_FOLD, "YES", None)


def one(found: list[Estimate], metric: str) -> Estimate:
    return next(e for e in found if e.metric == metric and e.of_class in (None, "YES"))


def test_every_repeat_has_each_image_once_in_one_order() -> None:
    parts = by_repeat(FRAME)
    assert len(parts) == REPEATS
    assert all(part["image"].tolist() == parts[0]["image"].tolist() for part in parts)
    for part, own in zip(parts, EACH, strict=True):
        pd.testing.assert_series_equal(part.set_index("image")["prob_YES"].sort_index(),
                                       own.set_index("image")["prob_YES"].sort_index())  # fmt: skip


def test_the_estimates_are_means_of_the_repeats_and_not_those_of_their_ensemble(found: list[Estimate]) -> None:
    accuracy = mean_of(lambda true, called: (true == called).mean())
    assert one(found, "accuracy").value == pytest.approx(accuracy)
    together = ensemble(FRAME)
    assert ((together["prob_YES"] > 0.5) == (together["label"] == "YES")).mean() > accuracy + 0.05
    assert one(found, "recall").value == pytest.approx(mean_of(recall_score))
    assert one(found, "f1").value == pytest.approx(mean_of(f1_score))
    assert one(found, "balanced_accuracy").value == pytest.approx(mean_of(balanced_accuracy_score))
    areas = [roc_auc_score(part["label"] == "YES", part["prob_YES"]) for _, part in FRAME.groupby(["repeat", "fold"])]
    assert one(found, "roc_auc").value == pytest.approx(np.mean(areas))
    assert one(found, "roc_auc").method == "DeLong, of the logit, over patients; within folds, averaged"


def test_repeats_add_no_images(found: list[Estimate]) -> None:
    accuracy = one(found, "accuracy")
    assert (accuracy.n, accuracy.hits, accuracy.repeats) == (IMAGES, None, REPEATS)
    right = np.stack([(part["prob_YES"] > 0.5) == (part["label"] == "YES") for part in by_repeat(FRAME)])
    patients = by_repeat(FRAME)[0]["patient"].str[1:].to_numpy(np.int64)
    expected = clustered_wilson(right, np.ones_like(right), patients)
    assert (accuracy.low, accuracy.high) == pytest.approx(expected)
    assert accuracy.method == "Wilson, of the mean rate on the images of one repeat, over patients"
    assert one(found, "roc_auc").n == IMAGES
    row = estimate_table([accuracy]).iloc[0]
    assert row["k/n"] == f"{accuracy.value * IMAGES:.1f}/{IMAGES}"


def test_the_patients_of_a_resample_are_the_same_in_every_repeat(found: list[Estimate]) -> None:
    """Resampled by hand: the patients drawn, each with all rows of all repeats, and the mean of the repeats' rates."""
    rng = np.random.default_rng(3)
    right = FRAME.assign(right=(FRAME["prob_YES"] > 0.5) == (FRAME["label"] == "YES"))
    hits, sizes = (right.pivot_table("right", "patient", "label", how, fill_value=0) for how in ("sum", "count"))
    drawn = rng.integers(0, PATIENTS, (4000, PATIENTS))
    recalls = hits.to_numpy()[drawn].sum(axis=1) / sizes.to_numpy()[drawn].sum(axis=1)
    expected = np.quantile(recalls.mean(axis=1), [0.025, 0.975])
    balanced = one(found, "balanced_accuracy")
    assert balanced.interval == (balanced.bootstrap_low, balanced.bootstrap_high)
    assert balanced.interval == pytest.approx(expected, abs=0.015)


def test_identical_repeats_say_what_one_says() -> None:
    single = EACH[0].assign(repeat=0)
    copies = pd.concat([single.assign(repeat=repeat) for repeat in range(3)])
    alone, thrice = (prediction_estimates(f, "s", OUT_OF_FOLD, "YES", None) for f in (single, copies))
    for a, b in zip(alone, thrice, strict=True):
        assert a.value == pytest.approx(b.value)
        for end in ("low", "high", "bootstrap_low", "bootstrap_high"):
            assert getattr(a, end) == pytest.approx(getattr(b, end)), (a.metric, end)


def test_counts_and_class_rates_are_means(found: list[Estimate]) -> None:
    expected = np.mean([confusion_matrix(true, called) for true, called in zip(TRUE, CALLED, strict=True)], axis=0)
    np.testing.assert_allclose(confusion_table(FRAME).to_numpy(), expected)
    assert expected.sum() == IMAGES
    classes = class_table(FRAME).set_index("class")
    assert classes.loc["YES", "recall"] == pytest.approx(mean_of(recall_score))
    assert classes["support"].sum() == IMAGES
    low, high = one(found, "recall").interval or (0, 0)
    assert classes.loc["YES", "recall 95 % interval"] == Measured(None, (low, high))


def test_the_gap_begins_where_one_model_stands() -> None:
    test = ensemble(predictions(2))
    values = {e.metric: e.value for e in gap_estimates(FRAME, test, "YES", "s", None)}
    assert values[STEPS[0]] == pytest.approx(mean_of(lambda true, called: (true == called).mean()))
    shares = (test["label"] == "YES").mean()
    recalls = mean_of(recall_score), mean_of(lambda true, called: recall_score(~true, ~called))
    assert values[STEPS[1]] == pytest.approx(shares * recalls[0] + (1 - shares) * recalls[1])


def test_the_operating_point_is_best_in_the_mean_of_the_repeats() -> None:
    def at(cut: float) -> float:
        return mean_of(balanced_accuracy_score, [scores >= cut for scores in SCORES])

    point = operating_point(FRAME, "YES")
    assert at(point) == pytest.approx(max(at(cut) for cut in FRAME["prob_YES"]))
    chosen = chosen_point(FRAME, "YES")
    assert chosen is not None and chosen.threshold == point
    swept = [e for e in threshold_estimates(FRAME, None, chosen, "s") if (e.on, e.at) == (SWEEP, point)]
    assert next(e.value for e in swept if e.metric == "balanced_accuracy") == pytest.approx(at(point))
    assert all((e.n or 0) <= IMAGES and e.repeats == REPEATS for e in swept)


def test_the_bins_of_reliability_are_made_in_each_repeat() -> None:
    bins = reliability_estimates(FRAME, "s", OUT_OF_FOLD, None)
    assert sum(e.n or 0 for e in bins) == IMAGES
    confidence = [np.sort(np.maximum(scores, 1 - scores))[: bins[0].n] for scores in SCORES]
    assert bins[0].at == pytest.approx(np.mean(confidence))


def test_the_surest_errors_are_those_of_most_repeats(tmp_path: Path) -> None:
    table = confident_errors(FRAME)
    wrong = FRAME[(FRAME["prob_YES"] > 0.5) != (FRAME["label"] == "YES")]
    times = wrong.groupby("image").size()
    assert table["image"].is_unique
    assert table["repeats wrong"].tolist() == sorted(times, reverse=True)[: len(table)]
    assert table["repeats wrong"].tolist() == times[table["image"]].tolist()
    sure = wrong.assign(sure=wrong[["prob_NO", "prob_YES"]].max(axis=1)).groupby("image")["sure"].mean()
    assert table["probability"].tolist() == pytest.approx(sure[table["image"]].tolist())
    np.save(tmp_path / "pixels.npy", np.zeros((IMAGES, 1, 16, 16), dtype=np.uint8))
    images = pd.Series([f"train/{i:02}.png" for i in range(IMAGES)])
    words = error_lines(FRAME, images, lambda row: np.load(tmp_path / "pixels.npy")[row], tmp_path, "hard", None)[0]
    assert words.startswith(f"On average over {REPEATS} repeats, {len(wrong) / REPEATS:.1f} of {IMAGES} images were")


@pytest.mark.figures
def test_a_curve_is_drawn_for_each_repeat_and_where_scores_are_ranked_for_each_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Axes] = []
    monkeypatch.setattr(plt, "close", lambda figure: drawn.append(figure.axes[0]))
    figures.prediction_figures(FRAME, "YES", "title", tmp_path)
    monkeypatch.undo()
    plt.close("all")
    confusion, roc, pr, calibration = drawn
    titles = [axes.figure.get_suptitle() for axes in drawn]
    assert titles == ["title, mean of 4 repeats", *["title, 4 repeats"] * 3]
    counts = [text.get_text() for text in confusion.texts]
    matrix = confusion_table(FRAME).to_numpy()
    assert [words.split("\n")[0] for words in counts] == [f"{count:,.1f}" for count in matrix.ravel()]
    assert len(calibration.lines) == REPEATS + 1
    folds = REPEATS * FRAME["fold"].nunique()
    assert len(pr.lines) == folds + 1
    assert len(roc.lines) == folds + 2, "the mean, and chance"
    x, y = (np.asarray(values, dtype=np.float64) for values in roc.lines[folds].get_data())
    areas = [roc_auc_score(part["label"] == "YES", part["prob_YES"]) for _, part in FRAME.groupby(["repeat", "fold"])]
    assert np.trapezoid(y, x) == pytest.approx(np.mean(areas), abs=0.005)
    assert roc.get_legend_handles_labels()[1] == ["YES"]
