import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
import sklearn.metrics as sk
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from PIL import Image

from harness.data.inputs import Inputs
from harness.errors import JobError
from harness.prepare import prepare
from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.store import Ledger, Store
from harness.store.results import FoldRecord
from harness.study import Study, load_study
from harness.study.plan import Job
from harness.study.settings import Settings
from harness.tracking.connection import is_lost
from harness.tracking.tracker import Tracker
from tests.conftest import Finished, fit_facts, runs_of

METRICS = {
    f"val/{name}"
    for name in ("loss", "accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "mcc", "roc_auc",
                 "pr_auc", "brier", "ece")
} | {"train/loss", "train/accuracy"}  # fmt: skip


@pytest.fixture(scope="module")
def client(finished: Finished) -> MlflowClient:
    return MlflowClient(finished.store.database_uri)


@pytest.fixture(scope="module")
def inputs(finished: Finished) -> Inputs:
    return prepare(finished.study, finished.store).inputs


def artifact(client: MlflowClient, run: Run, path: str) -> bytes:
    return Path(client.download_artifacts(run.info.run_id, path)).read_bytes()


def predictions(client: MlflowClient, run: Run) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(artifact(client, run, "predictions.parquet")))


def recomputed(frame: pd.DataFrame) -> dict[str, float]:
    classes, probabilities, labels = arrays(frame)
    return classification_metrics(probabilities, labels, classes.index("PNEUMONIA"))


def children(store: Store, run: Run) -> list[Run]:
    return [r for r in runs_of(store) if r.data.tags.get("mlflow.parentRunId") == run.info.run_id]


def test_study_scenario_and_fold_runs_are_three_levels(finished: Finished) -> None:
    store = finished.store
    (study,) = runs_of(store, "study")
    assert "mlflow.parentRunId" not in study.data.tags
    below = children(store, study)
    assert sorted(run.data.tags["harness.level"] for run in below) == ["scenario"] * 3 + ["test"]
    for scenario in runs_of(store, "scenario"):
        folds = children(store, scenario)
        assert [run.data.tags["harness.level"] for run in folds] == ["fold"] * 2
        assert sorted(run.data.tags["harness.fold"] for run in folds) == ["0", "1"]
        assert {run.data.tags["harness.scenario_id"] for run in folds} == {scenario.data.tags["harness.scenario_id"]}
    assert len(runs_of(store)) == 1 + 3 + 6 + 1


def test_the_experiment_is_the_study_and_keeps_its_artifacts_in_the_store(
    finished: Finished, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    assert experiment.artifact_location == (finished.store.artifacts / "small").as_uri()
    assert {run.info.experiment_id for run in runs_of(finished.store)} == {experiment.experiment_id}


def test_every_run_is_finished_and_says_that_it_is_whole(finished: Finished) -> None:
    for run in runs_of(finished.store):
        assert (run.info.status, run.data.tags["harness.complete"]) == ("FINISHED", "true")


def test_tags_say_where_a_run_stands(finished: Finished, inputs: Inputs) -> None:
    for run in runs_of(finished.store):
        tags = run.data.tags
        assert tags["harness.folds_digest"] == inputs.digests.all_folds
        assert tags["harness.data"] == "SYNTHETIC"
        assert "harness.rehearsal" not in tags
        assert tags["mlflow.user"]
    jobs = {job.id: job for state in finished.run.state.stages for s in state.scenarios for job in s.jobs}
    for run in runs_of(finished.store, "fold"):
        tags, job = run.data.tags, jobs.pop(run.data.tags["harness.job_id"])
        assert (tags["harness.fold"], tags["harness.repeat"]) == (str(job.fold), str(job.repeat))
        assert tags["harness.scenario_id"] == job.scenario.id
        assert (tags["harness.device"], tags["harness.precision"]) == ("cpu", "fp32")
    assert not jobs


def test_a_scenario_that_two_stages_share_is_one_run_with_both_stages(finished: Finished) -> None:
    stages = sorted(run.data.tags["harness.stage"] for run in runs_of(finished.store, "scenario"))
    assert stages == ["heads", "heads,sampling", "sampling"]


def test_every_resolved_setting_is_a_param_under_its_own_name(finished: Finished) -> None:
    scenarios = {s.id: s.scenario for state in finished.run.state.stages for s in state.scenarios}
    for run in (*runs_of(finished.store, "scenario"), *runs_of(finished.store, "fold")):
        settings = scenarios[run.data.tags["harness.scenario_id"]].settings
        used = {name for name in Settings.model_fields if settings.uses(name)}
        assert used == set(Settings.model_fields) & set(run.data.params)
        assert set(Settings.model_fields) - used == {"stop_inner", "stop_metric", "recipe"}  # none is asked for
        for name in used:
            assert run.data.params[name] == str(getattr(settings, name))
        assert run.data.params["image_size"] == "32"
    for run in runs_of(finished.store):
        protocol = {"k": "2", "repeats": "1", "grouped": "True", "folds_seed": "0", "seed": "0"}
        assert protocol.items() <= run.data.params.items()
        assert (run.data.params["positive"], run.data.params["source"]) == ("PNEUMONIA", "phantom")


def test_every_metric_of_a_fold_has_one_point_for_each_epoch_counted_from_1(
    finished: Finished, client: MlflowClient
) -> None:
    ledger = Ledger(finished.store)
    for run in runs_of(finished.store, "fold"):
        record = ledger.record(run.data.tags["harness.job_id"])
        for name in METRICS:
            points = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
            assert points == [(step, epoch[name]) for step, epoch in enumerate(record.history, start=1)]
            assert len(points) == 2
        assert run.data.metrics["seconds"] > 0
        assert run.data.metrics["parameters"] > 1000


def test_the_last_value_of_a_fold_equals_what_its_predictions_give(finished: Finished, client: MlflowClient) -> None:
    for run in runs_of(finished.store, "fold"):
        frame = predictions(client, run)
        assert list(frame) == ["image", "patient", "label", "fold", "repeat", "prob_NORMAL", "prob_PNEUMONIA"]
        for name, value in recomputed(frame).items():
            assert run.data.metrics[f"val/{name}"] == pytest.approx(value, abs=1e-12)
        sick, score = frame["label"] == "PNEUMONIA", frame["prob_PNEUMONIA"]
        assert run.data.metrics["val/roc_auc"] == pytest.approx(sk.roc_auc_score(sick, score))
        assert run.data.metrics["val/accuracy"] == pytest.approx(((score > 0.5) == sick).mean())


def test_scenario_means_equal_the_means_recomputed_from_the_folds_predictions(
    finished: Finished, client: MlflowClient
) -> None:
    for scenario in runs_of(finished.store, "scenario"):
        folds = pd.DataFrame([recomputed(predictions(client, run)) for run in children(finished.store, scenario)])
        assert len(folds) == 2
        for name in folds:
            assert scenario.data.metrics[f"val/{name}_mean"] == pytest.approx(folds[name].mean(), abs=1e-12)
            assert scenario.data.metrics[f"val/{name}_std"] == pytest.approx(folds[name].std(ddof=1), abs=1e-12)
        assert {f"{name}_mean" for name in METRICS} <= set(scenario.data.metrics)


def test_a_scenario_has_the_means_and_sds_over_its_folds_by_epoch(finished: Finished, client: MlflowClient) -> None:
    ledger = Ledger(finished.store)
    for scenario in runs_of(finished.store, "scenario"):
        folds = [ledger.record(run.data.tags["harness.job_id"]) for run in children(finished.store, scenario)]
        for name in ("train/loss", "val/loss", "val/accuracy", "val/roc_auc"):
            each = pd.DataFrame([[epoch[name] for epoch in record.history] for record in folds])
            for ending, wanted in (("", each.mean()), ("_std", each.std(ddof=1))):
                points = client.get_metric_history(scenario.info.run_id, f"by epoch/{name}{ending}")
                assert [m.step for m in points] == [1, 2]
                assert [m.value for m in points] == pytest.approx(wanted.tolist(), abs=1e-12)


def test_the_experiments_description_leads_with_the_summary_and_its_links(
    finished: Finished, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    note = experiment.tags["mlflow.note.content"]
    summary = (finished.run.report.parent / "summary.md").read_text()
    assert note.startswith(summary.partition("\n- ")[0].rstrip())
    assert note.index(f"[leaderboard]({finished.run.url})") < note.index("\n- ")
    assert len(note) <= 5000


def test_what_a_scenario_costs_is_on_its_run(finished: Finished) -> None:
    for scenario in runs_of(finished.store, "scenario"):
        costs = {name: value for name, value in scenario.data.metrics.items() if name.startswith("cost/")}
        names = ("parameters", "trained_parameters", "flops", "fit_seconds", "images_per_second")
        assert costs.keys() == {f"cost/{name}" for name in names}  # a network that is trained whole, on a CPU
        fold = children(finished.store, scenario)[0].data.metrics
        assert (costs["cost/parameters"], costs["cost/flops"]) == (fold["parameters"], fold["flops"])
        assert costs["cost/flops"] > 10**6


def test_pooled_predictions_have_every_training_image_once(
    finished: Finished, client: MlflowClient, inputs: Inputs
) -> None:
    table = inputs.dataset.table
    for run in runs_of(finished.store, "scenario"):
        frame = predictions(client, run)
        assert sorted(frame["image"]) == sorted(table["image"][table["split"] == "train"])
        of_folds = pd.concat([predictions(client, fold) for fold in children(finished.store, run)])
        both = [f.sort_values("image", ignore_index=True) for f in (frame, of_folds)]
        pd.testing.assert_frame_equal(both[0], both[1])


def artifact_names(client: MlflowClient, run: Run, folder: str | None = None) -> set[str]:
    return {file.path for file in client.list_artifacts(run.info.run_id, folder)}


FIGURES = {"confusion_matrix.png", "roc.png", "pr.png", "calibration.png", "learning_curves.png"}


@pytest.mark.parametrize(
    ("level", "names"),
    [
        ("study", {"study.yaml", "manifest.parquet", "folds.json", "environment.txt"}),
        ("scenario", {"predictions.parquet", *FIGURES}),
        ("fold", {"predictions.parquet", "classes.json"}),
        ("test", {"predictions.parquet", "confusion_matrix.png"}),
    ],
)
def test_every_level_has_its_artifacts(finished: Finished, client: MlflowClient, level: str, names: set[str]) -> None:
    for run in runs_of(finished.store, level):
        assert names <= artifact_names(client, run)
        for name in names & {"confusion_matrix.png", *FIGURES}:
            image = Image.open(io.BytesIO(artifact(client, run, name)))
            image.load()
            assert min(image.size) > 200


def test_the_report_is_an_artifact_and_the_description_of_the_study(finished: Finished, client: MlflowClient) -> None:
    (run,) = runs_of(finished.store, "study")
    written = {f"report/{path.name}" for path in finished.run.report.parent.iterdir()}
    assert artifact_names(client, run, "report") == written
    summary = (finished.run.report.parent / "summary.md").read_text()
    assert run.data.tags["mlflow.note.content"].startswith(summary)


def test_the_class_counts_of_a_fold_are_those_before_and_after_oversampling(
    finished: Finished, client: MlflowClient
) -> None:
    for run in runs_of(finished.store, "fold"):
        counts = json.loads(artifact(client, run, "classes.json"))
        before, after = counts["before"], counts["after"]
        more = max(before.values())
        oversampled = run.data.params["oversampling"] == "random"
        assert after == ({"NORMAL": more, "PNEUMONIA": more} if oversampled else before)
        assert before["NORMAL"] < before["PNEUMONIA"]


def test_the_study_can_be_read_back_from_its_artifacts(
    finished: Finished, client: MlflowClient, inputs: Inputs, tmp_path: Path
) -> None:
    (run,) = runs_of(finished.store, "study")
    (tmp_path / "study.yaml").write_bytes(artifact(client, run, "study.yaml"))
    assert load_study(tmp_path / "study.yaml").model_dump() == finished.study.model_dump()
    table = pd.read_parquet(io.BytesIO(artifact(client, run, "manifest.parquet")))
    pd.testing.assert_frame_equal(table, inputs.dataset.table)
    folds = json.loads(artifact(client, run, "folds.json"))
    assert folds["digest"] == run.data.tags["harness.folds_digest"]
    images = inputs.dataset.table["image"]
    assert [f["validation"] for f in folds["folds"]] == [images[f.validation].tolist() for f in inputs.folds]
    packages = artifact(client, run, "environment.txt").decode()
    assert all(f"\n{name}==" in packages for name in ("torch", "timm", "mlflow", "scikit-learn"))


def test_the_dataset_is_an_input_of_every_run_with_its_digest(finished: Finished, inputs: Inputs) -> None:
    for run in runs_of(finished.store):
        assert run.inputs is not None
        (dataset,) = run.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("phantom (SYNTHETIC)", inputs.dataset.digest)


def test_descriptions_of_scenarios_and_reports_say_that_the_data_are_synthetic(finished: Finished) -> None:
    for run in (*runs_of(finished.store, "study"), *runs_of(finished.store, "scenario")):
        assert "SYNTHETIC" in run.data.tags["mlflow.note.content"]


def test_the_test_run_holds_the_winner_scored_once(finished: Finished, client: MlflowClient, inputs: Inputs) -> None:
    (run,) = runs_of(finished.store, "test")
    winner = finished.run.state.stages[-1].best
    assert winner is not None
    assert run.data.tags["harness.scenario_id"] == winner.id
    frame = predictions(client, run)
    table = inputs.dataset.table
    assert list(frame["image"]) == list(table["image"][table["split"] == "test"])
    for name, value in recomputed(frame).items():
        assert run.data.metrics[f"test/{name}"] == pytest.approx(value, abs=1e-12)
        assert {m.step for m in client.get_metric_history(run.info.run_id, f"test/{name}")} == {2}
    assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2]
    assert not any(name.startswith("val/") for name in run.data.metrics)


def test_each_test_metric_is_logged_once(finished: Finished, client: MlflowClient) -> None:
    (run,) = runs_of(finished.store, "test")
    for name in (name for name in run.data.metrics if name.startswith("test/")):
        assert len(client.get_metric_history(run.info.run_id, name)) == 1


def test_the_printed_url_opens_a_shared_view_with_the_scenarios_best_first(
    finished: Finished, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    url = finished.run.url
    assert f"/#/experiments/{experiment.experiment_id}/runs?" in url
    key = url.partition("viewStateShareKey=")[2]
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{key}"])
    direction = "ASC" if view["orderByAsc"] else "DESC"
    assert view["orderByKey"] == "metrics.`val/balanced_accuracy_mean`"
    shown = client.search_runs(
        [experiment.experiment_id], view["searchFilter"], order_by=[f"{view['orderByKey']} {direction}"]
    )
    scores = [run.data.metrics["val/balanced_accuracy_mean"] for run in shown]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    for column in view["selectedColumns"]:
        kind, _, name = column.partition(".")
        have = [name.strip("`") in getattr(run.data, kind) for run in shown]
        assert sum(have) == (1 if name.startswith("`test ") else 3)
    factors = ["params.`head`", "params.`oversampling`"]
    cells = [f"tags.`{name}`" for name in ("verdict", "test accuracy", "test interval")]
    assert view["selectedColumns"][:6] == [*factors, *cells, "tags.`balanced_accuracy`"]


# One Tracker alone, without a run of the harness around it.


@pytest.fixture
def parts(store: Store, small_study: Callable[..., Study]) -> tuple[Callable[[], Tracker], Job]:
    """What opens the tracker of a study as a process does that starts, and one of its jobs."""
    study = small_study()
    workspace = prepare(study, store)
    job = workspace.reader.stage(study.stages[0], None).missing[0]
    return lambda: Tracker(workspace, "id"), job


Parts = tuple[Callable[[], Tracker], Job]


def record_of(job: Job, losses: list[float], selected: int) -> FoldRecord:
    history = [{"val/loss": loss, "val/accuracy": 1 - loss} for loss in losses]
    return FoldRecord(job.id, history, selected, history[selected - 1], {}, fit_facts())


def test_an_epoch_is_visible_while_the_fold_still_trains(store: Store, parts: Parts) -> None:
    tracker, job = parts[0](), parts[1]
    run_id = tracker.start_fold(job, ["heads"])
    tracker.metrics.log_epoch(run_id, 1, {"val/loss": 0.5})
    (run,) = runs_of(store, "fold")
    trained = {name: value for name, value in run.data.metrics.items() if not name.startswith("system/")}
    assert (run.info.status, trained) == ("RUNNING", {"val/loss": 0.5})
    assert set(run.data.metrics) - set(trained), "how busy the machine is goes with it"


@pytest.mark.parametrize("streamed", [True, False])
def test_the_last_value_is_that_of_the_selected_epoch(store: Store, parts: Parts, streamed: bool) -> None:
    tracker, job = parts[0](), parts[1]
    record = record_of(job, [0.4, 0.1, 0.6], selected=2)
    run_id = tracker.start_fold(job, ["heads"])
    if streamed:
        for epoch, metrics in enumerate(record.history, start=1):
            tracker.metrics.log_epoch(run_id, epoch, metrics)
    tracker.metrics.log_record(run_id, record, streamed)
    (run,) = runs_of(store, "fold")
    assert record.metrics.items() <= run.data.metrics.items()
    assert run.data.metrics["selected_epoch"] == 2
    history = MlflowClient(store.database_uri).get_metric_history(run_id, "val/loss")
    assert [m.value for m in history if m.step < 3] == [0.4, 0.1]


def test_a_long_fit_is_taken_over_whole(store: Store, parts: Parts) -> None:
    tracker, job = parts[0](), parts[1]
    losses = np.linspace(0.9, 0.1, 1200).tolist()
    run_id = tracker.start_fold(job, ["heads"])
    tracker.metrics.log_record(run_id, record_of(job, losses, selected=1200), streamed=False)
    history = MlflowClient(store.database_uri).get_metric_history(run_id, "val/loss")
    assert sorted((m.step, m.value) for m in history) == list(enumerate(losses, start=1))


def test_a_failed_job_keeps_its_reason_and_is_discarded_at_the_next_start(store: Store, parts: Parts) -> None:
    new, job = parts
    tracker = new()
    run_id = tracker.start_fold(job, ["heads"])
    tracker.fail(run_id, JobError(job.id, "the loss is nan in epoch 1, batch 2", "Traceback: ..."))
    (run,) = runs_of(store, "fold")
    assert (run.info.status, run.data.tags["harness.error"]) == ("FAILED", "the loss is nan in epoch 1, batch 2")
    assert "Traceback: ..." in run.data.tags["mlflow.note.content"]
    again = new()
    again.discard_leftovers()
    assert runs_of(store, "fold") == []
    assert again.start_fold(job, ["heads"]) != run_id
    assert len(runs_of(store, "scenario")) == len(runs_of(store, "study")) == 1  # these are taken up


def test_what_a_killed_process_left_running_is_discarded_only_by_the_next_holder(store: Store, parts: Parts) -> None:
    new, job = parts
    killed = new().start_fold(job, ["heads"])
    watching = new()  # such as `harness report`
    assert watching.find("fold", job.id) is None
    assert [run.info.run_id for run in runs_of(store, "fold")] == [killed]
    watching.discard_leftovers()
    assert runs_of(store, "fold") == []


def test_curves_that_were_logged_in_part_are_completed_and_not_logged_twice(store: Store, parts: Parts) -> None:
    new, job = parts
    tracker, client = new(), MlflowClient(store.database_uri)
    run_id = tracker.scenario_run(job.scenario, ["heads"])
    epochs = [{"by epoch/val/loss": 3.0}, {"by epoch/val/loss": 2.0}, {"by epoch/val/loss": 1.0}]
    for part in (epochs[:2], epochs, epochs):
        tracker.metrics.log_curves(run_id, part)
    points = [(m.step, m.value) for m in client.get_metric_history(run_id, "by epoch/val/loss")]
    assert points == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_a_description_that_a_user_wrote_stays(store: Store, parts: Parts) -> None:
    new, _ = parts
    tracker, client = new(), MlflowClient(store.database_uri)

    def note() -> str:
        return str(client.get_experiment(tracker.experiment_id).tags["mlflow.note.content"])

    for text in ("first", "second"):
        tracker.descriptions.describe_experiment(text)
        assert note() == text
    tracker.descriptions.describe_experiment("a line\n" * 1000)
    assert 4980 < len(note()) <= 5000 and note().endswith("a line")
    client.set_experiment_tag(tracker.experiment_id, "mlflow.note.content", "mine")
    tracker.descriptions.describe_experiment("third")
    assert note() == "mine"


def test_a_run_that_is_taken_up_with_the_same_weights_from_elsewhere_keeps_its_params(
    store: Store, parts: Parts
) -> None:
    new, job = parts
    first = new().scenario_run(job.scenario, ["heads"])
    moved = replace(job.scenario, settings=job.scenario.settings.model_copy(update={"weights": "moved.safetensors"}))
    assert new().scenario_run(moved, ["heads"]) == first
    (run,) = runs_of(store, "scenario")
    assert run.data.params["weights"] == job.scenario.settings.weights


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (MlflowException("API request to http://x failed with exception"), True),
        (MlflowException("not allowed", error_code=INVALID_PARAMETER_VALUE), False),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": ""}), True),  # type: ignore[no-untyped-call]
        (RestException({"error_code": "PERMISSION_DENIED", "message": ""}), False),  # type: ignore[no-untyped-call]
        (requests.ConnectionError(), True),
        (ConnectionResetError(), False),
        (BrokenPipeError(), False),
        (MlflowException("database or disk is full"), False),
        (ValueError("a mistake of ours"), False),
    ],
)
def test_a_server_that_refuses_is_not_a_lost_one(error: Exception, lost: bool) -> None:
    assert is_lost(error) is lost


def test_a_finished_job_is_known_at_the_next_start_and_has_one_run(store: Store, parts: Parts) -> None:
    new, job = parts
    first = new()
    run_id = first.start_fold(job, ["heads"])
    first.finish(run_id)
    second = new()
    second.discard_leftovers()
    assert second.is_finished("fold", job.id)
    assert second.start_fold(job, ["heads"]) == run_id
    (run,) = runs_of(store, "fold")
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_runs_that_are_not_finished_are_closed_and_finished_ones_stay(store: Store, parts: Parts, status: str) -> None:
    tracker, job = parts[0](), parts[1]
    tracker.finish(tracker.start_fold(job, ["heads"]))
    tracker.close_all(status)
    statuses = {run.data.tags["harness.level"]: run.info.status for run in runs_of(store)}
    assert statuses == {"study": status, "scenario": status, "fold": "FINISHED"}


def test_two_studies_in_one_experiment_do_not_meet(
    store: Store, parts: Parts, small_study: Callable[..., Study]
) -> None:
    new, job = parts
    new().finish(new().start_fold(job, ["heads"]))
    study = small_study("seed=1")
    other = Tracker(prepare(study, store), "another id")
    assert not other.is_finished("fold", job.id)
    other.discard_leftovers()
    assert len(runs_of(store, "fold")) == 1


def test_a_rehearsal_is_tagged(store: Store, small_study: Callable[..., Study]) -> None:
    study = small_study("data.limit=24")
    Tracker(prepare(study, store), "id").study_run()
    (run,) = runs_of(store)
    assert run.data.tags["harness.rehearsal"] == "data.limit 24"
    assert run.data.params["limit"] == "24"


def test_an_experiment_in_the_trash_is_taken_out_of_it(store: Store, parts: Parts) -> None:
    new, job = parts
    new().finish(new().start_fold(job, ["heads"]))
    client = MlflowClient(store.database_uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert new().experiment_id == experiment.experiment_id
    assert client.get_experiment(experiment.experiment_id).lifecycle_stage == "active"


def test_mlflow_logs_errors_alone_unless_it_is_asked_for_more() -> None:
    code = "import harness.tracking, mlflow, logging; print(logging.getLogger('mlflow.pyfunc').getEffectiveLevel())"
    given = {name: value for name, value in os.environ.items() if name != "MLFLOW_LOGGING_LEVEL"}
    for more, level in (({}, "40"), ({"MLFLOW_LOGGING_LEVEL": "DEBUG"}, "10")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=given | more, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == level
