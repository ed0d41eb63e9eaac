from harness.report.numbers.comparisons import TEST
from harness.report.numbers.records import read_statistics
from harness.tracking.leaderboard_tags import TEST_ACCURACY, TEST_INTERVAL, VERDICT, leaderboard_tags, shown_cells
from tests.conftest import Finished, runs_of


def test_the_run_of_each_scenario_has_the_cells_of_its_row(finished: Finished) -> None:
    stages = finished.run.state.stages
    estimates = read_statistics(finished.run.report.parent).estimates
    wanted = leaderboard_tags(stages, estimates)
    runs = {run.data.tags["harness.scenario_id"]: run for run in runs_of(finished.store, "scenario")}
    assert runs.keys() == wanted.keys()
    for scenario in finished.run.state.scenarios:
        tags, metrics = runs[scenario.id].data.tags, runs[scenario.id].data.metrics
        mean, sd = (metrics[f"val/balanced_accuracy_{end}"] for end in ("mean", "std"))
        assert tags["balanced_accuracy"] == f"{mean:.3f} ± {sd:.3f}"
        assert wanted[scenario.id].items() <= tags.items()
        assert {*wanted[scenario.id]} <= {*shown_cells(stages)}


def test_the_selected_scenario_and_it_alone_has_a_test_accuracy(finished: Finished) -> None:
    stages = finished.run.state.stages
    estimates = read_statistics(finished.run.report.parent).estimates
    found = leaderboard_tags(stages, estimates)
    best = stages[-1].best
    assert best is not None
    assert [scenario for scenario, tags in found.items() if TEST_ACCURACY in tags] == [best.id]
    (accuracy,) = (e for e in estimates if (e.subject, e.on, e.metric) == (best.name, TEST, "accuracy"))
    assert found[best.id][TEST_ACCURACY] == f"{accuracy.value:.3f}"
    assert accuracy.interval is not None
    assert found[best.id][TEST_INTERVAL] == "{:.3f} - {:.3f}".format(*accuracy.interval)
    assert found[best.id][VERDICT].startswith("selected")
    assert all(tags[VERDICT] for tags in found.values())
