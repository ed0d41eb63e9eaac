"""Subgroups in the study file, and stages that select by the worst of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from harness.errors import StudyError
from harness.report.numbers.fold_numbers import worst_over_folds
from harness.store import Ledger, Store
from harness.store.results import FoldRecord, FoldResult
from harness.study import Study
from harness.study.identity import Digests, study_id
from harness.study.reader import Reading, StateReader
from harness.study.state import StageState
from harness.study.unit import Unit
from harness.study.worst_group import ImageGroups
from tests.conftest import fit_facts

LoadText = Callable[..., Study]

DIGESTS = Digests("images", {(0, fold): f"rows {fold}" for fold in range(3)}, {("resnet18", "none"): "none"})
TEXT = """\
study: demo
data: {source: phantom}
folds: {k: 3}
subgroups: [sex]
base: {backbone: resnet18, weights: none}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
    select: {metric: worst-group val/roc_auc}
"""
BY_ALL = TEXT.replace("worst-group ", "")
WITHOUT = BY_ALL.replace("subgroups: [sex]\n", "")


def predictions(fold: int, good: Sequence[str]) -> pd.DataFrame:
    """A fold of 12 images of each sex, whose scores tell the classes apart in the `good` ones, and else do not."""
    rng = np.random.default_rng(fold)
    rows = []
    for sex in "FM":
        for number in range(12):
            ill = number % 2 == 0
            score = (0.6 if ill else 0.4) + 0.05 * rng.random() if sex in good else rng.random()
            rows.append((f"{fold}{sex}{number}", "ILL" if ill else "WELL", score, 1 - score))
    return pd.DataFrame(rows, columns=["image", "label", "prob_ILL", "prob_WELL"])


GROUPS = {
    f"sex = {sex}": frozenset(f"{fold}{sex}{number}" for fold in range(3) for number in range(12)) for sex in "FM"
}


def run(study: Study, folder: Path, tables: Sequence[Callable[[int], pd.DataFrame]]) -> StageState:
    """The stage after its scenarios have predicted these."""
    ledger = Ledger(Store(folder))
    reading = Reading(groups=ImageGroups(GROUPS, "ILL"))
    reader = StateReader(study, DIGESTS, ledger, reading=reading)
    for scenario, table in zip(reader.stage(study.stages[0], None).scenarios, tables, strict=True):
        for job in scenario.jobs:
            frame = table(job.fold or 0)
            area = float(roc_auc_score(frame["label"] == "ILL", frame["prob_ILL"]))
            ledger.save(FoldResult(FoldRecord(job.id, [], 1, {"val/roc_auc": area}, {}, fit_facts()), frame))
    return StateReader(study, DIGESTS, ledger, reading=reading).stage(study.stages[0], None)


def uneven(fold: int) -> pd.DataFrame:
    """Perfect for one sex; for the other one a guess."""
    return predictions(fold, "F")


def even(fold: int) -> pd.DataFrame:
    """Scores that are pushed together, so that both sexes are told apart, but one pair in each is not."""
    frame = predictions(fold, "FM")
    for sex in "FM":
        worst = frame.index[frame["image"].str.contains(sex)][:2]
        frame.loc[worst, "prob_ILL"] = frame.loc[worst[::-1], "prob_ILL"].to_numpy()
    return frame


def test_the_worst_group_decides_and_the_mean_of_all_images_does_not(study_of: LoadText, tmp_path: Path) -> None:
    state = run(study_of(TEXT), tmp_path / "store", [uneven, even])
    assert state.best is state.scenarios[1]
    first, second = state.scenarios
    (name,) = second.worst
    assert name == "worst-group val/roc_auc"
    assert first.worst[name].group == "sex = M"
    frames = [uneven(fold) for fold in range(3)]
    areas = [roc_auc_score(f["label"] == "ILL", f["prob_ILL"]) for f in (f[f.image.str.contains("M")] for f in frames)]
    assert first.summary[f"{name}_mean"] == pytest.approx(np.mean(areas))
    assert first.summary[f"{name}_std"] == pytest.approx(np.std(areas, ddof=1))
    (contest,) = state.contests
    assert contest.test.difference == pytest.approx(second.worst[name].mean - np.mean(areas))


def test_the_worst_groups_mean_is_resampled_with_the_worst_group_of_each_resample() -> None:
    parts = [uneven(fold).assign(fold=fold, repeat=0, patient="p") for fold in range(3)]
    frame, name = pd.concat(parts, ignore_index=True), "worst-group val/roc_auc"
    groups, order = ImageGroups(GROUPS, "ILL"), pd.Index(frame["image"])
    statistic = worst_over_folds(frame, order, name, "ILL", groups)
    worst = groups.worst(name, {(0, fold): part for fold, part in enumerate(parts)})
    assert statistic is not None
    assert worst is not None
    turned = np.where(
        frame["image"].str.contains("M") & (frame["prob_ILL"] > 0.5) != (frame["label"] == "ILL"), 0.0, 1.0
    )
    found = statistic(np.stack([np.ones(len(frame)), turned]))
    assert found[0] == pytest.approx(worst.mean)
    assert found[1] > worst.mean
    assert worst_over_folds(frame, order, name, "ILL", ImageGroups({}, "ILL")) is None


def test_a_group_without_a_class_in_a_fold_is_scored_in_the_others(study_of: LoadText, tmp_path: Path) -> None:
    def without(fold: int) -> pd.DataFrame:
        frame = uneven(fold)
        return frame[(fold > 0) | (frame["label"] == "ILL") | frame["image"].str.contains("F")]

    state = run(study_of(TEXT), tmp_path / "store", [without, without])
    (worst,) = state.scenarios[0].worst.values()
    assert worst.group == "sex = M"
    assert [fold for _, fold in worst.values] == [1, 2]


def test_groups_in_different_folds_cannot_be_paired(study_of: LoadText, tmp_path: Path) -> None:
    def only(sex: str, fold: int) -> Callable[[int], pd.DataFrame]:
        def table(at: int) -> pd.DataFrame:
            frame = predictions(at, "FM".replace(sex, ""))
            return frame if at != fold else frame[(frame["label"] == "ILL") | ~frame["image"].str.contains(sex)]

        return table

    (contest,) = run(study_of(TEXT), tmp_path / "store", [only("F", 0), only("M", 1)]).contests
    assert (contest.test.p, contest.resolved) == (1.0, False)


def test_the_worst_group_is_one_of_patients_where_they_are_the_unit(study_of: LoadText, tmp_path: Path) -> None:
    """Two images each: the second repeats the first for one sex, and is the opposite of it for the other."""

    def twice(fold: int) -> pd.DataFrame:
        first = predictions(fold, "FM").assign(patient=lambda frame: frame["image"])
        second = first.assign(image=first["image"] + "b")
        opposite = second["image"].str.contains("M")
        second.loc[opposite, "prob_ILL"] = 1 - second.loc[opposite, "prob_ILL"]
        return pd.concat([first, second], ignore_index=True).assign(prob_WELL=lambda frame: 1 - frame["prob_ILL"])

    run(study_of(TEXT), tmp_path / "store", [twice, twice])
    study, ledger, unit = study_of(TEXT + "unit: patient\n"), Ledger(Store(tmp_path / "store")), Unit("patient")
    reading = Reading(unit, "ILL", ImageGroups(GROUPS, "ILL"))
    (stage,) = StateReader(study, DIGESTS, ledger, True, reading).read().stages
    (worst,) = stage.scenarios[0].worst.values()
    assert worst.group == "sex = M"
    assert list(worst.values.values()) == pytest.approx([0.5] * 3), "the mean of a score and its opposite"
    assert worst.step == pytest.approx(1 / 36), "of six times six pairs of patients, twelve of each sex in a fold"


def test_a_group_with_few_images_takes_no_part(study_of: LoadText, tmp_path: Path) -> None:
    def few(fold: int) -> pd.DataFrame:
        frame = uneven(fold)
        return frame[frame["image"].str.contains("F") | frame["image"].str.endswith(("M0", "M1", "M2", "M3"))]

    (worst,) = run(study_of(TEXT), tmp_path / "store", [few, few]).scenarios[0].worst.values()
    assert worst.group == "sex = F", "of the other one there are 6 of each class"


def test_subgroups_are_part_of_the_study_s_id_and_a_study_without_them_stays_as_it_was(study_of: LoadText) -> None:
    plain, grouped = study_of(WITHOUT), study_of(BY_ALL)
    ids = [study_id(study, DIGESTS) for study in (plain, grouped, study_of(TEXT))]
    assert ids[0] == "59dd9446dea06329"
    assert len(set(ids)) == 3
    assert "subgroups" not in plain.model_dump() and "subgroups" not in plain.model_dump(mode="json")
    assert grouped.model_dump()["subgroups"] == ["sex"]
    jobs = [[job.id for s in StateReader(study, DIGESTS, Ledger(Store(Path()))).read().scenarios for job in s.jobs]
            for study in (plain, grouped)]  # fmt: skip
    assert jobs[0] == jobs[1], "they change no fit"


@pytest.mark.parametrize(
    ("given", "line", "message"),
    [
        ("[sex, {age: [40]}, sex]", "4: subgroups", "the column sex stands twice"),
        ("[age, {age: [40]}]", "4: subgroups", "the column age stands twice"),
        ("[{age: [65, 40]}]", "4: subgroups[0]", "cut points are a list of rising numbers, such as {age: [40, 65]}"),
        ("[{age: []}]", "4: subgroups[0]", "cut points are a list of rising numbers"),
        ("[{age: [true]}]", "4: subgroups[0]", "cut points are a list of rising numbers"),
        ("[{age: 40}]", "4: subgroups[0]", "cut points are a list of rising numbers"),
        ("[{age: [40], bmi: [25]}]", "4: subgroups[0]", "an entry is one column of the metadata, such as sex, or one"),
        ("[7]", "4: subgroups[0]", "7 is given; an entry is one column of the metadata"),
        ("['']", "4: subgroups[0]", "an entry is one column of the metadata"),
        ("sex", "4: subgroups", "'sex' is given; a list is needed, such as [a, b]"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(
    study_of: LoadText, tmp_path: Path, given: str, line: str, message: str
) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(TEXT.replace("[sex]", given))
    assert str(refused.value).startswith(f"{tmp_path}/study.yaml:{line}: ")
    assert message in str(refused.value)


def test_the_worst_group_needs_groups(study_of: LoadText) -> None:
    with pytest.raises(StudyError, match=r"study.yaml:8: stages\[0\].select.metric: the worst group of which groups"):
        study_of(TEXT.replace("subgroups: [sex]\n", ""))
