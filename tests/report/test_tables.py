from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.numbers.marks import Marks
from harness.report.numbers.predictions import Predictions, ensemble, pooled
from harness.report.numbers.predictions import test_metrics as metrics_on_the_test_set
from harness.report.tables.scenario_tables import class_table, confusion_table, leaderboard
from harness.stats.proportions import wilson
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.data_block import Data
from harness.study.plan import Job, Scenario
from harness.study.scenario_state import ScenarioState
from harness.study.settings import ResolvedSettings, Settings
from harness.study.stage import Select, Stage
from harness.study.state import StageState
from tests.conftest import Finished, fit_facts


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (372, 390, 0.928, 0.971),
        (555, 624, 0.862, 0.912),
        (549, 624, 0.852, 0.903),
        (183, 234, 0.725, 0.830),
        (348, 390, 0.858, 0.919),
        (0, 10, 0.0, 0.278),
        (10, 10, 0.722, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_rate_and_mirrors_for_the_complement(case: tuple[int, int]) -> None:
    hits, n = case
    low, high = wilson(hits, n)
    assert -1e-12 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1 + 1e-12
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low))


def frame_of(cells: dict[tuple[str, str], int]) -> pd.DataFrame:
    """Predictions with so many images of a true class that are called another."""
    rows = [
        {"image": f"{true}-{called}-{i}", "patient": f"{true}-{called}-{i}", "label": true, "fold": 0, "repeat": 0,
         "prob_NORMAL": 0.9 if called == "NORMAL" else 0.2, "prob_PNEUMONIA": 0.1 if called == "NORMAL" else 0.8}
        for (true, called), count in cells.items()
        for i in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


PAPER = frame_of(
    {("PNEUMONIA", "PNEUMONIA"): 372, ("PNEUMONIA", "NORMAL"): 18, ("NORMAL", "PNEUMONIA"): 51,
     ("NORMAL", "NORMAL"): 183}
)  # fmt: skip


def test_the_confusion_table_has_true_classes_down_and_predicted_ones_across() -> None:
    table = confusion_table(PAPER)
    assert (table.index.name, table.columns.name) == ("true", "predicted")
    assert table.to_dict() == {
        "NORMAL": {"NORMAL": 183, "PNEUMONIA": 18},
        "PNEUMONIA": {"NORMAL": 51, "PNEUMONIA": 372},
    }


def test_the_class_table_gives_the_papers_rates_with_their_intervals() -> None:
    table = class_table(PAPER).set_index("class")
    assert table["support"].to_dict() == {"NORMAL": 234, "PNEUMONIA": 390}
    assert table["recall"].to_dict() == pytest.approx({"NORMAL": 183 / 234, "PNEUMONIA": 372 / 390})
    assert table["specificity"].to_dict() == pytest.approx({"NORMAL": 372 / 390, "PNEUMONIA": 183 / 234})
    assert table["precision"].to_dict() == pytest.approx({"NORMAL": 183 / 201, "PNEUMONIA": 372 / 423})
    assert table["f1"].to_dict() == pytest.approx({"NORMAL": 366 / 435, "PNEUMONIA": 744 / 813})
    intervals = table["recall 95 % interval"].map(str).to_dict()
    assert intervals == {
        "NORMAL": "0.725 to 0.830",
        "PNEUMONIA": "0.928 to 0.971",
    }


def test_a_class_without_images_has_the_widest_interval() -> None:
    table = class_table(frame_of({("NORMAL", "NORMAL"): 5})).set_index("class")
    assert str(table.loc["PNEUMONIA", "recall 95 % interval"]) == "0.000 to 1.000"


def test_several_predictions_of_an_image_are_averaged_in_the_first_ones_order() -> None:
    frame = frame_of({("PNEUMONIA", "PNEUMONIA"): 2, ("NORMAL", "NORMAL"): 1})
    second = frame.iloc[::-1].assign(prob_NORMAL=0.4, prob_PNEUMONIA=0.6)
    mean = ensemble(pd.concat([frame, second]))
    assert list(mean["image"]) == list(frame["image"])
    np.testing.assert_allclose(mean["prob_PNEUMONIA"], [0.7, 0.7, 0.35])
    np.testing.assert_allclose(mean["prob_NORMAL"], [0.3, 0.3, 0.65])
    assert list(mean["label"]) == ["PNEUMONIA", "PNEUMONIA", "NORMAL"]


def scenario_state(head: str, values: list[float], folds: int, metric: str) -> ScenarioState:
    scenario = Scenario(head, head, ResolvedSettings(backbone="test_resnet", head=head, image_size=32))
    jobs = tuple(Job(f"{head}-{fold}", scenario, 0, fold, "val", 0) for fold in range(folds))
    names = {"val/accuracy", "val/balanced_accuracy", "val/f1", "val/roc_auc", metric}
    records = {
        job.id: FoldRecord(job.id, [], 1, dict.fromkeys(names, value), {}, fit_facts())
        for job, value in zip(jobs, values, strict=False)
    }
    return ScenarioState(scenario, jobs, records)


STUDY = Study(
    study="demo",
    data=Data(source="folder"),
    base=Settings(backbone="test_resnet"),
    stages=[Stage(name="s", grid={"head": ["a", "b"]})],
)


def board_of(values: dict[str, list[float]], metric: str = "val/accuracy") -> pd.DataFrame:
    states = tuple(scenario_state(head, folds, 3, metric) for head, folds in values.items())
    select = Select.model_validate({"metric": metric})
    return leaderboard(StageState(Stage(name="s", select=select), states), Marks(STUDY, ()))


def test_the_leaderboard_has_means_and_sample_deviations_best_first() -> None:
    board = board_of({"a": [0.5, 0.6, 0.7], "b": [0.9, 0.8, 0.7]})
    assert list(board["head"]) == ["b", "a"]
    assert list(board["folds"]) == ["3/3", "3/3"]
    np.testing.assert_allclose(board["val/accuracy"], [0.8, 0.6])
    np.testing.assert_allclose(board["val/accuracy SD"], [0.1, 0.1])
    assert list(board["selected"]) == ["selected", ""]


def test_where_less_is_better_the_least_comes_first_and_wins() -> None:
    board = board_of({"a": [0.9] * 3, "b": [0.2] * 3, "c": [0.5] * 3}, "val/loss")
    assert list(board["head"]) == ["b", "c", "a"]
    assert list(board["selected"]) == ["selected", "", ""]
    assert "val/loss SD" in board


def test_a_best_epoch_is_not_compared_with_last_ones() -> None:
    one, other = (
        scenario_state(head, folds, 3, "val/accuracy") for head, folds in (("a", [0.5] * 3), ("b", [0.9] * 3))
    )
    settings = other.settings.model_copy(update={"select_epoch": "best"})
    optimistic = replace(other, scenario=replace(other.scenario, settings=settings))
    state = StageState(Stage(name="s", select=Select(metric="val/accuracy")), (one, optimistic))
    board = leaderboard(state, Marks(STUDY, ()))
    assert dict(zip(board["head"], board["against the best"], strict=True))["b"] == "best epoch, takes no part"
    assert dict(zip(board["head"], board["selected"], strict=True)) == {"a": "selected", "b": ""}


def test_of_equals_the_first_of_the_grid_wins() -> None:
    board = board_of({"a": [0.5] * 3, "b": [0.5] * 3})
    assert list(zip(board["head"], board["selected"], strict=True)) == [("a", "selected"), ("b", "")]


def test_an_unfinished_stage_shows_the_folds_done_and_no_winner() -> None:
    board = board_of({"a": [], "b": [0.5], "c": [0.4] * 3})
    assert dict(zip(board["head"], board["folds"], strict=True)) == {"a": "0/3", "b": "1/3", "c": "3/3"}
    assert list(board["head"]) == ["c", "b", "a"]  # b's mean is of other images
    assert not board["selected"].any()
    assert board.set_index("head")["val/accuracy SD"].isna().to_dict() == {"a": True, "b": True, "c": False}


def test_pooled_predictions_and_test_metrics_come_from_the_ledger(finished: Finished) -> None:
    from harness.store import Ledger

    ledger, (test,) = Ledger(finished.store), finished.run.state.tests
    frame = pooled(list(test.jobs), ledger)
    assert len(frame) == 24
    accuracy = ((frame["prob_PNEUMONIA"] > 0.5) == (frame["label"] == "PNEUMONIA")).mean()
    metrics = metrics_on_the_test_set(test, Predictions(ledger, "PNEUMONIA"))
    assert metrics["test/accuracy"] == pytest.approx(accuracy)
    other = metrics_on_the_test_set(test, Predictions(ledger, "NORMAL"))
    assert metrics["test/specificity"] == pytest.approx(other["test/recall"])
