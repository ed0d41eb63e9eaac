"""The costs in a report: the table, what the figure is drawn over, and who is on the front."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.report.figures.accuracy_cost import CostAxes, CostPoint, accuracy_cost_figure, front_of
from harness.report.numbers.marks import Marks
from harness.report.sections.cost import cost_shown
from harness.report.tables.cost_table import cost_json, cost_table
from harness.report.tables.scenario_tables import leaderboard
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.data_block import Data
from harness.study.plan import Job, Scenario
from harness.study.scenario_state import ScenarioState
from harness.study.settings import ResolvedSettings, Settings
from harness.study.stage import Select, Stage
from harness.study.state import StageState
from tests.conftest import Finished, fit_facts
from tests.figures import figures

MARKS = Marks(
    Study(
        study="s", data=Data(source="folder"), base=Settings(backbone="resnet18"),
        stages=[Stage(name="s", grid={"head": ["a", "b"]})],
    ),
    (),
)  # fmt: skip


def scenario(name: str, accuracy: float = 0.9, **facts: float | None) -> ScenarioState:
    point = Scenario(name, name, ResolvedSettings(backbone="resnet18", head=name, image_size=32))
    jobs = tuple(Job(f"{name}-{fold}", point, 0, fold, "val", seed=0) for fold in (0, 1))
    metrics = dict.fromkeys(("val/accuracy", "val/balanced_accuracy", "val/f1", "val/roc_auc"), accuracy)
    counts = {"after": {"x": 30, "y": 30}}
    record = FoldRecord("", [{}] * 4, 1, metrics, counts, fit_facts(**facts))
    records = {job.id: replace(record, job_id=job.id) for job in jobs}
    return ScenarioState(point, jobs, records)


def stage(*scenarios: ScenarioState, **select: str) -> StageState:
    return StageState(Stage(name="s", select=Select.model_validate(select)), scenarios)


NEW = scenario("a", parameters=1000, trained_parameters=10, flops=5_000, seconds=3.0, extraction_seconds=60.0)
OLD = scenario("b", parameters=2000, trained_parameters=20, seconds=4.0)


def test_the_table_has_a_row_for_each_scenario_and_an_empty_cell_for_what_was_not_recorded() -> None:
    table = cost_table([NEW, OLD, replace(OLD, records={})], MARKS).set_index("scenario")
    assert list(table.index) == ["a", "b"]
    assert table.loc["a"].to_dict() == {
        "fits": "2/2", "parameters": 1000, "trained": 10, "FLOPs": 5_000, "extraction s": 60, "fit s": 3,
        "fit s SD": 0, "images/s": 60 * 4 / 3,
    }  # fmt: skip
    assert table[["FLOPs", "extraction s"]].isna().to_numpy().tolist() == [[False, False], [True, True]]
    by_json = json.loads(cost_json([NEW, OLD], MARKS))
    assert [(row["scenario"], row["flops"], row["energy_wh"]) for row in by_json] == [
        ("a", 5000, None),
        ("b", None, None),
    ]


def test_the_leaderboard_of_older_fits_is_as_it_was() -> None:
    costs = ["parameters", "FLOPs", "fit s"]
    assert not set(costs) & set(leaderboard(stage(OLD, OLD), MARKS))
    board = leaderboard(stage(OLD, NEW), MARKS).set_index("head")
    assert list(board.loc["a", costs]) == [1000, 5000, 3]
    assert board[costs].isna().all(axis=1).to_dict() == {"a": False, "b": True}


def test_the_figure_is_drawn_over_what_varies_most_and_over_seconds_where_the_networks_are_alike() -> None:
    small = scenario("small", parameters=100, flops=1000)
    for other, shown in (
        (scenario("b", parameters=300, flops=1100), "parameters"),
        (scenario("b", parameters=100, flops=4000), "flops"),
        (scenario("b", parameters=101, flops=1010), "seconds"),
        (scenario("b", parameters=300), "parameters"),  # of which the FLOPs are not known
    ):
        state = stage(small, other)
        assert cost_shown(state, state.scenarios) == shown
    chosen = stage(small, scenario("b", parameters=300, flops=1100), rule="cheapest-equivalent", cost="flops")
    assert cost_shown(chosen, chosen.scenarios) == "flops"


def test_the_front_is_of_the_metrics_direction() -> None:
    points = [CostPoint("a", 1, 0.5), CostPoint("b", 2, 0.4), CostPoint("c", 3, 0.9)]
    assert [points[i].name for i in front_of(points, maximize=True)] == ["a", "c"]
    assert [points[i].name for i in front_of(points, maximize=False)] == ["a", "b"]


@pytest.mark.figures
@pytest.mark.parametrize("costs", [[1.0, 1.3, 1.5], [0.0, 7e6, 8e9], [5.0, 5.0, 5.0]])
def test_the_figure_names_its_points_and_the_front(tmp_path: Path, costs: list[float]) -> None:
    points = [CostPoint(f"name-{i}", cost, 0.5 + i / 10, 0.01) for i, cost in enumerate(costs)]
    with figures(drawn=True):
        path = accuracy_cost_figure(points, CostAxes("FLOPs", "val/f1", True), "a title", tmp_path / "cost.png")
    assert not path.with_suffix(".txt").exists()
    svg = path.with_suffix(".svg").read_text()
    assert all(f"name-{i}" in svg for i in range(3))
    many = [CostPoint(f"name-{i}", i + 1, 0.9 - i / 100) for i in range(40)]
    with figures(drawn=True):
        accuracy_cost_figure(many, CostAxes("FLOPs", "val/f1", True), "a title", path)
    svg = path.with_suffix(".svg").read_text()
    assert "name-0" in svg  # the front
    assert "name-1" not in svg


def test_a_report_has_the_costs_of_every_scenario(finished: Finished) -> None:
    folder = finished.run.report.parent
    table = pd.read_csv(folder / "costs.csv")
    assert sorted(table["scenario"]) == sorted(s.name for s in finished.run.state.scenarios)
    board = pd.read_csv(io.StringIO((folder / "leaderboard-heads.csv").read_text()))
    assert set(board["FLOPs"]) <= set(table["FLOPs"])
    assert (table["FLOPs"] > 1e6).all()
    assert {"costs.tex", "costs.json", "cost-heads.png", "cost-heads.svg"} <= {path.name for path in folder.iterdir()}
    text = finished.run.report.read_text()
    assert "![val/roc_auc over the seconds of each scenario](cost-heads.png)" in text
