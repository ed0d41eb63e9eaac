"""The numbers of subgroups, on predictions that are made by hand."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, roc_auc_score

from harness.report.numbers.group_measures import CALIBRATION
from harness.report.numbers.records import Comparison, Estimate
from harness.report.numbers.study_subgroups import worst_words
from harness.report.numbers.subgroup_numbers import MIN_PATIENTS, NO_INTERVAL, Scored, subgroup_numbers
from harness.stats.paired import holm

Numbers = tuple[list[Estimate], list[Comparison]]


def predictions(seed: int, n: int = 240, copies: int = 1, poor: slice = slice(0)) -> pd.DataFrame:
    """Two classes, `copies` equal images of each patient; the scores of the `poor` patients say nothing."""
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < 0.5
    scores = np.clip(rng.normal(np.where(ill, 0.7, 0.35), 0.2), 0.01, 0.99)
    scores[poor] = rng.random(len(scores[poor]))
    frame = pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "label": np.where(ill, "ILL", "WELL")})
    frame = frame.assign(prob_ILL=scores, prob_WELL=1 - scores).loc[np.repeat(np.arange(n), copies)]
    return frame.assign(image=[f"{i}.png" for i in range(n * copies)]).reset_index(drop=True)


def by_patient(frame: pd.DataFrame, **columns: Sequence[str]) -> pd.DataFrame:
    """The groups of every image: the first patient has the first of these values, and so on."""
    number = frame["patient"].str[1:].astype(int)
    values = {name: pd.Categorical(np.array(each)[number % len(each)]) for name, each in columns.items()}
    return pd.DataFrame(values, index=pd.Index(frame["image"]))


def numbers(frame: pd.DataFrame, groups: pd.DataFrame, positive: str | None = "ILL") -> Numbers:
    return subgroup_numbers(Scored("s", "test set", frame, positive, patients=True), groups)


def of(found: Numbers, group: str) -> dict[str, Estimate]:
    return {e.metric: e for e in found[0] if e.on == f"subgroup, test set, {group}"}


def test_the_numbers_of_a_group_are_those_of_scikit_learn_on_its_images() -> None:
    frame = predictions(1)
    groups = by_patient(frame, sex=["F", "M", "F"])
    found = numbers(frame, groups)
    for group, part in (("all images", frame), ("sex = F", frame[(groups["sex"] == "F").to_numpy()])):
        ill, score = part["label"] == "ILL", part["prob_ILL"]
        values = {metric: e.value for metric, e in of(found, group).items()}
        assert values == pytest.approx(
            {
                "images": len(part),
                "patients": len(part),
                "prevalence": ill.mean(),
                "recall": recall_score(ill, score > 0.5),
                "specificity": recall_score(ill, score > 0.5, pos_label=False),
                "roc_auc": roc_auc_score(ill, score),
                CALIBRATION: score.mean() - ill.mean(),
            }
        )
        assert all(
            e.interval is not None for metric, e in of(found, group).items() if metric not in ("images", "patients")
        )


def test_with_several_classes_they_are_accuracies() -> None:
    rng = np.random.default_rng(2)
    table = rng.dirichlet([1, 1, 1], 150)
    labels = rng.choice(["A", "B", "C"], 150)
    frame = pd.DataFrame({"image": [f"{i}" for i in range(150)], "patient": [f"p{i // 2}" for i in range(150)]})
    frame = frame.assign(label=labels, **{f"prob_{name}": table[:, i] for i, name in enumerate("ABC")})
    groups = pd.DataFrame({"site": pd.Categorical(["X"] * 60 + ["Y"] * 90)}, index=frame["image"])
    found = of(numbers(frame, groups, positive=None), "site = X")
    predicted = np.array(["A", "B", "C"])[table.argmax(axis=1)][:60]
    assert found["accuracy"].value == pytest.approx(accuracy_score(labels[:60], predicted))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels[:60], predicted))
    assert found[CALIBRATION].value == pytest.approx(table[:60].max(axis=1).mean() - found["accuracy"].value)
    assert found["patients"].value == 30


def test_copies_of_an_image_of_a_patient_make_no_interval_smaller() -> None:
    once, often = (predictions(3, copies=copies) for copies in (1, 6))
    for group in ("all images", "sex = F"):
        one, six = (of(numbers(frame, by_patient(frame, sex=["F", "M"])), group) for frame in (once, often))
        for metric in ("prevalence", "recall", "specificity", "roc_auc", CALIBRATION):
            ends = [each[metric].interval or (1, 0) for each in (one, six)]
            assert ends[1][0] <= ends[0][0] + 1e-9
            assert ends[1][1] >= ends[0][1] - 1e-9
        assert six["images"].value == 6 * one["images"].value
        assert six["patients"].value == one["patients"].value


def test_a_group_with_few_patients_of_a_class_has_a_value_and_says_why_there_is_no_interval() -> None:
    frame = predictions(4)
    few = frame["patient"].isin(frame.loc[frame["label"] == "ILL", "patient"][: MIN_PATIENTS - 1])
    well = frame.index < 120
    groups = pd.DataFrame({"site": pd.Categorical(np.where(few | ((frame["label"] == "WELL") & well), "A", "B"))})
    found = numbers(frame, groups.set_index(frame["image"]))
    small = of(found, "site = A")
    for metric in ("recall", "roc_auc"):
        assert (small[metric].method or "").startswith(NO_INTERVAL)
        assert small[metric].interval is None
    assert small["specificity"].interval is not None, "there are enough without the illness"
    assert {c.metric for c in found[1]} == {"specificity", CALIBRATION}


def test_a_group_without_images_is_counted_as_such() -> None:
    frame = predictions(5)
    groups = by_patient(frame, site=["A", "B"])
    groups["site"] = groups["site"].cat.add_categories("C")
    found = numbers(frame, groups)
    assert {metric: e.value for metric, e in of(found, "site = C").items()} == {"images": 0, "patients": 0}
    assert {(c.first, c.second) for c in found[1]} == {("s: site = A", "s: site = B")}


def test_each_of_three_groups_is_compared_with_all_others_and_holm_counts_every_difference() -> None:
    frame = predictions(6, poor=slice(0, 240, 3))
    estimates, comparisons = numbers(frame, by_patient(frame, sex=["F", "M"], site=["A", "B", "C"]))
    pairs = list(dict.fromkeys((c.first, c.second) for c in comparisons))
    assert pairs == [("s: sex = F", "s: sex = M"), *((f"s: site = {x}", "s: all others") for x in "ABC")]
    assert {c.comparisons for c in comparisons} == {4 * 4}
    ps = [c.p for c in comparisons if c.p is not None]
    assert [c.p_holm for c in comparisons] == pytest.approx(holm(ps))
    area = next(c for c in comparisons if (c.first, c.metric) == ("s: site = A", "roc_auc"))
    part = frame[frame.index % 3 == 0], frame[frame.index % 3 > 0]
    first, second = (roc_auc_score(each["label"] == "ILL", each["prob_ILL"]) for each in part)
    assert area.difference == pytest.approx(first - second)
    assert area.low is not None and area.high is not None and area.low < area.difference < area.high < 0
    assert area.p_holm is not None and area.p_holm < 0.01
    words = worst_words(Scored("s", "test set", frame, "ILL", True), estimates, comparisons)
    assert words.startswith(f"s, test set: the lowest ROC AUC of 5 groups is that of site = A, {first:.3f} (95 %")
    assert "80 images of 80 patients" in words and f"{second - first:.3f} below all others (p = " in words


def test_out_of_fold_numbers_are_means_over_the_repeats() -> None:
    parts = [predictions(7).assign(repeat=0), predictions(7).assign(repeat=1)]
    parts[1]["prob_ILL"] = 1 - parts[1]["prob_ILL"]
    parts[1]["prob_WELL"] = 1 - parts[1]["prob_ILL"]
    groups = by_patient(parts[0], sex=["F", "M"])
    (each,) = [of(numbers(pd.concat(parts), groups), "sex = F")]
    one, two = (of(numbers(part, groups), "sex = F") for part in parts)
    for metric in ("recall", "roc_auc", CALIBRATION):
        assert each[metric].value == pytest.approx((one[metric].value + two[metric].value) / 2)
    assert each["images"].value == one["images"].value, "repeats add no images"
    assert each["recall"].hits is None
