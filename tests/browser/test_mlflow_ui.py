"""The MLflow UI at the printed URLs, as a reader sees it: MLflow's view states are documented nowhere, so held here."""

import http.client
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import served
from tests.conftest import Finished, runs_of
from tests.services import SERVER_PYTHON

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.ui, pytest.mark.slow]

PATIENCE = 90_000  # ms: the machine may be busy
Open = Callable[[str], "Page"]


@pytest.fixture(scope="module")
def port(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a UI that serves the finished study."""
    store = finished.store
    if sys.executable != SERVER_PYTHON:
        store = finished.copy_to(tmp_path_factory.mktemp("other") / "store")
        subprocess.run([SERVER_PYTHON, "-m", "mlflow", "db", "upgrade", store.database_uri], check=True)
    with served(store, SERVER_PYTHON) as number:
        yield number


@pytest.fixture
def show(browser: "Browser", port: int) -> Iterator[Open]:
    """Opens a printed URL."""
    context = browser.new_context(viewport={"width": 2000, "height": 1300})
    context.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1']='true'")
    context.set_default_timeout(PATIENCE)

    def go(url: str) -> "Page":
        page = context.new_page()
        page.goto(url.replace(":5000/", f":{port}/"))
        return page

    yield go
    context.close()


def test_the_leaderboard_is_sorted_by_the_selection_metric_with_factors_and_means(
    show: Open, finished: Finished
) -> None:
    page = show(finished.run.views["leaderboard"])
    page.get_by_text("3 matching runs").wait_for()
    page.get_by_text("dropout-gap + none").first.wait_for()
    words = page.inner_text("body")
    for column in ("head", "oversampling", "verdict", "test accuracy", "balanced_accuracy", "accuracy", "roc_auc"):
        assert f"\n{column}\n" in words
    summary = next(s for s in finished.run.state.scenarios if s.name == "dropout-gap + none").summary
    mean, sd = (summary[f"val/balanced_accuracy_{end}"] for end in ("mean", "std"))
    assert f"{mean:.3f} ± {sd:.3f}" in words
    assert "selected" in words
    scenarios = {s.name: s for state in finished.run.state.stages for s in state.scenarios}
    shown = [name for name in re.findall(r"[\w-]+ \+ [\w-]+", words) if name in scenarios]
    means = [scenarios[name].summary["val/balanced_accuracy_mean"] for name in dict.fromkeys(shown)]
    assert len(means) == 3
    assert means == sorted(means, reverse=True)
    assert "Sort: val/balanced_accuracy_mean" in words
    assert "Prompts" not in words, "the side bar is that of model training"


@pytest.mark.parametrize(
    ("factor", "levels"),
    [("head", ["dropout-gap"]), ("oversampling", ["none", "random"])],
)
@pytest.mark.long
def test_the_curves_of_a_factor_are_charts_by_epoch_with_a_line_for_each_level(
    show: Open, finished: Finished, factor: str, levels: list[str]
) -> None:
    page = show(finished.run.views[f"curves by {factor}"])
    page.get_by_text("by epoch").first.wait_for()
    page.get_by_text(f"Group by: {factor}").wait_for()
    for level in levels:
        page.get_by_text(f"{level} (val/balanced_accuracy)").first.wait_for()
        page.get_by_text(f"{level} (val/loss)").first.wait_for()
    page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()


def test_all_runs_stand_opened_each_fold_under_its_scenario_with_data_and_words(show: Open, finished: Finished) -> None:
    page = show(finished.run.views["all runs"])
    page.get_by_text("11 matching runs").wait_for()
    page.get_by_text("repeat 0, fold 1").first.wait_for()
    words = page.inner_text("body")
    for run in runs_of(finished.store):
        assert run.info.run_name in words
    assert words.count("phantom (SYNTHETIC)") >= 6
    assert "SYNTHETIC DATA" in words
    assert "Group: " in words


def test_the_study_says_what_was_run_and_found(show: Open, finished: Finished) -> None:
    (study,) = runs_of(finished.store, "study")
    page = show(_run_url(finished, study.info.run_id))
    page.get_by_text("all 6 fits are done").wait_for()
    words = page.inner_text("body")
    assert "has the best mean val/roc_auc" in words
    assert "24 images correct" in words
    assert "Prompts" not in words


def test_a_scenario_has_its_confusion_matrix_where_mlflow_shows_pictures(show: Open, finished: Finished) -> None:
    run = runs_of(finished.store, "scenario")[0]
    page = show(_run_url(finished, run.info.run_id, "/artifacts/confusion_matrix.png"))
    page.locator("img[src*='confusion_matrix'], img[src^='blob:'], canvas, .js-plotly-plot").first.wait_for()
    words = page.inner_text("body")
    assert {"roc.png", "pr.png", "calibration.png", "learning_curves.png"} <= set(words.split())


def test_a_fold_shows_the_load_of_the_machine(show: Open, finished: Finished) -> None:
    run = runs_of(finished.store, "fold")[0]
    page = show(_run_url(finished, run.info.run_id, "/system-metrics"))
    page.get_by_text("cpu_utilization_percentage").first.wait_for()
    page.get_by_text("system_memory_usage_megabytes").first.wait_for()


def test_the_scenarios_compared_are_the_settings_that_differ_and_the_means(show: Open, finished: Finished) -> None:
    page = show(finished.run.views["scenarios compared"])
    page.get_by_text("what varies").first.wait_for()
    page.get_by_text("Parallel Coordinates").first.wait_for()
    rows = page.get_by_text("Parameters", exact=True).locator("xpath=ancestor::*[contains(., 'oversampling')][1]")
    rows.first.wait_for()
    words = rows.first.inner_text().split()
    assert {"head", "oversampling"} <= set(words)
    assert not {"epochs", "learning_rate", "backbone"} & set(words), "what is the same for all"
    titles = page.locator("h4").all_inner_texts()
    assert "val/balanced_accuracy_mean" in titles
    assert "train/loss_mean" not in titles, "the charts that MLflow adds are folded"


def test_marked_runs_are_compared_by_the_params_that_differ_and_a_switch_hides_the_others(
    show: Open, finished: Finished
) -> None:
    first, second = runs_of(finished.store, "scenario")[:2]
    assert first.data.params["head"] != second.data.params["head"]
    runs = f'["{first.info.run_id}","{second.info.run_id}"]'
    base = finished.run.url.partition("#")[0]
    page = show(f'{base}#/compare-runs?runs={runs}&experiments=["{first.info.experiment_id}"]')
    page.locator(".js-plotly-plot").get_by_text("head", exact=True).first.wait_for()  # an axis of the plot on top
    table = page.locator(".mlflow-compare-run-table").nth(1)
    table.get_by_text("learning_rate").first.wait_for()
    page.get_by_label("Show diff only").first.click()
    table.get_by_text("learning_rate").first.wait_for(state="hidden")
    words = set(table.inner_text().split())
    assert {"head", first.data.params["head"], second.data.params["head"]} <= words


def test_the_bare_address_opens_the_studies_of_model_training_and_no_assistant(browser: "Browser", port: int) -> None:
    if "harness" not in entry_points(group="mlflow.app").names:
        pytest.skip("the harness is installed without its entry point for MLflow: pip install -e '.[dev]'")
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_role("link", name="small").first.wait_for()
    page.get_by_text("Model registry").first.wait_for()
    words = page.inner_text("body")
    assert "Prompts" not in words, "the side bar is that of model training"
    assert "Welcome" not in words
    assert not page.get_by_placeholder(re.compile("ask", re.IGNORECASE)).is_visible(), "the assistant is closed"
    context.close()


def _run_url(finished: Finished, run_id: str, tab: str = "") -> str:
    base, _, _ = finished.run.url.partition("/runs?")
    return f"{base}/runs/{run_id}{tab}?workflowType=machine_learning"


def _status(port: int, address: str = "127.0.0.1", **headers: str) -> int:
    """How the UI answers a request for its experiments with these headers."""
    connection = http.client.HTTPConnection(address, port, timeout=60)
    with closing(connection):
        connection.request(
            "POST", "/api/2.0/mlflow/experiments/search", '{"max_results": 1}',
            {"Content-Type": "application/json", **headers},
        )  # fmt: skip
        return connection.getresponse().status


def test_the_ui_answers_this_machine_and_no_foreign_host(port: int) -> None:
    for own in ("127.0.0.1", "localhost"):
        assert _status(port, Host=f"{own}:{port}") == 200
    for foreign in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "203.0.113.5"):
        assert _status(port, Host=foreign) == 403, foreign
    assert _status(port, Host=f"127.0.0.1:{port}", Origin="http://evil.example") == 403


def test_the_ui_listens_on_one_address_alone(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        _status(port, "127.0.0.2")
