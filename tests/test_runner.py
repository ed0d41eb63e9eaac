import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import constants
from mlflow import MlflowClient
from PIL import Image

from harness.data.audit import audit_study
from harness.data.manifest import read_dataset
from harness.errors import BusyError, DataError, HarnessError, LeakageError, Stopped, StudyError
from harness.prepare import prepare
from harness.reproduce import rerun
from harness.runner import run_study
from harness.stats.arrays import arrays
from harness.stats.metrics import classification_metrics
from harness.store import Ledger, Store
from harness.store.results import Metrics
from harness.study import Study, load_study
from harness.study.data_block import Data
from harness.study.plan import Job
from harness.tracking.stored_report import report_study
from harness.tracking.tracker import Tracker
from harness.training.job import run_training
from tests.conftest import MEASURED, PATIENT, Finished, Recorder, run_in, runs_of

ONE_STAGE = "stages=[{name: heads, grid: {head: [dropout-gap, batchnorm-gap]}, select: {metric: val/accuracy}}]"
TEST_OF_HEADS = "test.stages=[heads]"


OF_ONE_RUN = ("store", "first_command", "last_command", "clock_seconds")  # tags: where, when and how long


def content(store: Store) -> list[dict[str, Any]]:
    """What MLflow says of every run, but for what differs from one run of the harness to the next."""
    client = MlflowClient(store.tracking_uri)
    found = []
    for run in runs_of(store):
        tags = {
            key.removeprefix("harness."): value for key, value in run.data.tags.items() if key.startswith("harness.")
        }
        own: dict[str, object] = {f"harness.{key}": value for key, value in tags.items() if key not in OF_ONE_RUN}
        own |= {"parent": "mlflow.parentRunId" in run.data.tags, "name": run.data.tags["mlflow.runName"]}
        metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith(("seconds", "system/", *MEASURED))}
        steps = {
            name: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
            for name in metrics
        }
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        found.append({**own, "status": run.info.status, "params": run.data.params, "points": steps, "files": files})
    return sorted(found, key=lambda run: (run["harness.level"], run["harness.key"]))


def copy_of(store: Store, target: Store, *folders: str) -> Store:
    """These folders of one store in another."""
    for folder in folders:
        shutil.copytree(store.root / folder, target.root / folder, dirs_exist_ok=True)
    return target


def test_every_fit_is_done_once_and_none_fails(finished: Finished) -> None:
    assert finished.run.failed == 0
    kinds = [(job.evaluate, job.scenario.id) for job, _ in finished.reporter.outcomes]
    assert [kind for kind, _ in kinds] == ["val"] * 6 + ["test"]
    assert len({job.id for job, _ in finished.reporter.outcomes}) == 7
    assert len(list(finished.store.jobs.iterdir())) == 7


def test_the_second_stage_starts_from_the_winner_of_the_first(finished: Finished) -> None:
    heads, sampling = finished.run.state.stages
    by_head = {s.settings.head: s.summary["val/roc_auc_mean"] for s in heads.scenarios}
    assert heads.best is not None
    assert heads.best.settings.head == max(by_head, key=lambda head: by_head[head])
    assert len(set(by_head.values())) == 2
    assert {s.settings.head for s in sampling.scenarios} == {heads.best.settings.head}
    assert [s.settings.oversampling for s in sampling.scenarios] == ["none", "random"]
    assert sampling.scenarios[0].scenario.id == heads.best.id


def test_the_winner_of_the_last_stage_is_scored_on_the_test_set(finished: Finished) -> None:
    (test,) = finished.run.state.tests
    sampling = finished.run.state.stages[-1]
    best = max(sampling.scenarios, key=lambda s: s.summary["val/balanced_accuracy_mean"])
    assert sampling.best is not None
    assert test.id == best.id == sampling.best.id
    assert [(job.fold, job.evaluate) for job in test.jobs] == [(None, "test")]
    assert (Ledger(finished.store).path(test.jobs[0].id) / "model.safetensors").stat().st_size > 10_000


def test_a_second_run_fits_nothing_and_adds_nothing(finished: Finished) -> None:
    before, report = content(finished.store), finished.run.report.read_text()
    jobs = {path: path.stat().st_mtime_ns for path in finished.store.jobs.rglob("*")}
    again = run_in(finished.study, finished.store)
    assert again.reporter.outcomes == []
    assert again.run.failed == 0
    assert content(finished.store) == before
    assert {path: path.stat().st_mtime_ns for path in finished.store.jobs.rglob("*")} == jobs
    assert again.run.report.read_text() == report
    assert again.run.url == finished.run.url


def test_a_second_run_reads_the_record_of_each_finished_job_once(finished: Finished) -> None:
    """State is read once and handed on. What opens a file is counted by Python itself, not by who calls whom."""
    run_in(finished.study, finished.store)  # where a file was touched since, the report is compared by content once
    reads: list[Path] = []
    counting = True

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if counting and event == "open" and str(arguments[0]).endswith("result.json"):
            reads.append(Path(arguments[0]))

    sys.addaudithook(count)
    try:
        run_in(finished.study, finished.store)
    finally:
        counting = False  # a hook cannot be removed
    assert len(reads) == 7
    assert sorted(path.parent.name for path in reads) == sorted(path.name for path in finished.store.jobs.iterdir())


def test_mlflow_is_rebuilt_from_the_ledger_without_a_fit(finished: Finished, tmp_path: Path) -> None:
    bare = copy_of(finished.store, Store(tmp_path / "bare"), "jobs", "studies")
    rebuilt = run_in(finished.study, bare)
    assert rebuilt.reporter.outcomes == []
    assert content(bare) == content(finished.store)
    assert len(content(bare)) == 11
    assert rebuilt.run.report.read_text() == finished.run.report.read_text()


def test_two_runs_in_two_stores_give_equal_numbers(finished: Finished, store: Store) -> None:
    again = run_in(finished.study, store)
    assert len(again.reporter.outcomes) == 7
    assert content(store) == content(finished.store)
    ours, theirs = Ledger(store), Ledger(finished.store)
    for job, _ in again.reporter.outcomes:
        pd.testing.assert_frame_equal(ours.predictions(job.id), theirs.predictions(job.id))


def test_with_folds_as_test_model_the_mean_of_the_fold_models_is_scored(
    finished: Finished, store: Store, small_study: Callable[..., Study]
) -> None:
    copy_of(finished.store, store, "jobs")
    done = run_in(small_study("test.model=folds"), store)
    assert [(job.evaluate, job.fold) for job, _ in done.reporter.outcomes] == [("test", 0), ("test", 1)]
    (run,), (state,) = runs_of(store, "test"), done.run.state.tests
    assert run.data.tags["harness.job_id"] == ",".join(job.id for job in state.jobs)
    both = [Ledger(store).predictions(job.id) for job in state.jobs]
    assert list(both[0]["image"]) == list(both[1]["image"])
    mean = both[0].assign(prob_NORMAL=(both[0]["prob_NORMAL"] + both[1]["prob_NORMAL"]) / 2)
    mean["prob_PNEUMONIA"] = 1 - mean["prob_NORMAL"]
    classes, probabilities, labels = arrays(mean)
    for name, value in classification_metrics(probabilities, labels, classes.index("PNEUMONIA")).items():
        assert run.data.metrics[f"test/{name}"] == pytest.approx(value, abs=1e-6)
    assert "mean of the fold models" in done.run.report.read_text()


FAILING = ("stages=[{name: rates, grid: {learning_rate: [1.0e-3, 1.0e+30]}, select: {metric: val/accuracy}}]",
           "base.batch_size=4", "test.stages=[rates]")  # fmt: skip


@pytest.fixture(scope="module")
def failing(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> Finished:
    """A study of two scenarios, the second of which cannot be trained."""
    return run_in(small_study(*FAILING), new_store())


def test_a_failing_scenario_leaves_the_others_done_and_is_counted(failing: Finished) -> None:
    assert failing.run.failed == 2
    assert {job.scenario.settings.learning_rate for job in failing.reporter.failed} == {1e30}
    (state,) = failing.run.state.stages
    assert [s.finished for s in state.scenarios] == [True, False]
    assert not state.finished
    assert len(list(failing.store.jobs.iterdir())) == 2


def test_failed_runs_say_why_and_the_whole_ones_are_finished(failing: Finished) -> None:
    for run in runs_of(failing.store, "fold"):
        failed = run.data.params["learning_rate"] == "1e+30"
        assert run.info.status == ("FAILED" if failed else "FINISHED")
        assert ("harness.error" in run.data.tags) == failed
        if failed:
            assert "the loss is" in run.data.tags["harness.error"]
            assert "epoch 1, batch" in run.data.tags["mlflow.note.content"]
    statuses = {run.data.params["learning_rate"]: run.info.status for run in runs_of(failing.store, "scenario")}
    assert statuses == {"0.001": "FINISHED", "1e+30": "FAILED"}
    (study,) = runs_of(failing.store, "study")
    assert study.info.status == "FAILED"


def test_after_a_failure_the_test_set_stays_closed_and_the_report_names_the_holes(failing: Finished) -> None:
    assert failing.run.state.tests == ()
    assert runs_of(failing.store, "test") == []
    text = failing.run.report.read_text()
    assert "**Missing:** 2 of the stage's fits are not done" in text
    assert "1e+30" in text
    assert "Winner" not in text


def test_the_next_run_tries_only_the_failed_jobs_again(failing: Finished) -> None:
    before = {run.info.run_id: run.info.status for run in runs_of(failing.store)}
    again = run_in(failing.study, failing.store)
    assert again.run.failed == 2
    assert {job.id for job, _ in again.reporter.outcomes} == {job.id for job in failing.reporter.failed}
    runs = runs_of(failing.store)
    assert len(runs) == len(before) == 7
    kept = {run.info.run_id for run in runs if run.info.status == "FINISHED"}
    assert kept == {run_id for run_id, status in before.items() if status == "FINISHED"}


def test_a_failure_that_is_mended_ends_in_a_finished_study(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    small_study: Callable[..., Study],
) -> None:
    study, fit = small_study(ONE_STAGE, TEST_OF_HEADS), run_training

    def out_of_memory(jobs: Sequence[Job], *rest: Any) -> Any:
        if jobs[0].fold == 1 and jobs[0].scenario.settings.head == "batchnorm-gap":
            raise MemoryError
        return fit(jobs, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("harness.training.run.run_training", out_of_memory)
        first = run_in(study, store)
    assert first.run.failed == 1
    second = run_in(study, store)
    assert second.run.failed == 0
    assert [job.evaluate for job, _ in second.reporter.outcomes] == ["val", "test"]
    assert {run.info.status for run in runs_of(store)} == {"FINISHED"}
    assert len(runs_of(store)) == 1 + 2 + 4 + 1
    assert not any("harness.error" in run.data.tags for run in runs_of(store))


class Interrupted(Recorder):
    """Presses Ctrl-C after the second job's first epoch."""

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        super().epoch(job_id, epoch, metrics)
        if len(self.outcomes) == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_leaves_nothing_running_and_goes_on_where_it_was(
    store: Store, small_study: Callable[..., Study]
) -> None:
    study = small_study(ONE_STAGE, "test=null")
    with pytest.raises(KeyboardInterrupt), Interrupted() as reporter:
        run_study(study, store, "cpu", reporter)
    levels = [(run.data.tags["harness.level"], run.info.status) for run in runs_of(store)]
    assert sorted(levels) == [("fold", "FINISHED"), ("fold", "KILLED"), ("scenario", "KILLED"), ("study", "KILLED")]
    done = run_in(study, store)
    assert len(done.reporter.outcomes) == 3
    assert {run.info.status for run in runs_of(store)} == {"FINISHED"}
    assert len(runs_of(store)) == 1 + 2 + 4
    for run in runs_of(store, "fold"):
        history = MlflowClient(store.database_uri).get_metric_history(run.info.run_id, "val/loss")
        assert [m.step for m in history] == [1, 2]


@pytest.fixture
def folder_study(image_folder: Path, tmp_path: Path) -> Study:
    """A study of one scenario over image_folder."""
    (tmp_path / "own.yaml").write_text(
        f"study: own\ndata: {{source: folder, image_size: 32, patient: '{PATIENT}'}}\nfolds: {{k: 2}}\n"
        "base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 8}\n"
        "stages: [{name: one, select: {metric: val/loss}}]\ntest: {stages: [one]}\n"
    )
    return load_study(tmp_path / "own.yaml", data_path=str(image_folder))


def test_a_folder_without_test_images_has_no_test_evaluation(
    folder_study: Study, image_folder: Path, store: Store
) -> None:
    shutil.rmtree(image_folder / "test")
    done = run_in(folder_study, store)
    assert [job.evaluate for job, _ in done.reporter.outcomes] == ["val", "val"]
    assert done.run.state.tests == ()
    assert runs_of(store, "test") == []
    assert {run.info.status for run in runs_of(store)} == {"FINISHED"}
    assert run_in(folder_study, store).reporter.outcomes == []


def test_without_test_images_the_report_has_no_test_set(folder_study: Study, image_folder: Path, store: Store) -> None:
    shutil.rmtree(image_folder / "test")
    assert "Test set" not in run_in(folder_study, store).run.report.read_text()


def test_a_study_without_a_test_block_leaves_the_test_images_closed(folder_study: Study, store: Store) -> None:
    done = run_in(folder_study.model_copy(update={"test": None}), store)
    assert {job.evaluate for job, _ in done.reporter.outcomes} == {"val"}
    assert done.run.state.tests == ()
    assert "SYNTHETIC" not in done.run.report.read_text()
    assert not any("harness.data" in run.data.tags for run in runs_of(store))


@pytest.mark.long
def test_what_a_study_gives_does_not_depend_on_where_its_images_are(
    folder_study: Study, image_folder: Path, tmp_path: Path, store: Store
) -> None:
    first = run_in(folder_study, store)
    moved = shutil.copytree(image_folder, tmp_path / "moved")
    elsewhere = folder_study.model_copy(update={"data": folder_study.data.model_copy(update={"path": str(moved)})})
    assert run_in(elsewhere, store).reporter.outcomes == []
    assert len(first.reporter.outcomes) == 3


@pytest.mark.long
def test_tests_alone_need_finished_stages_and_then_score_the_test_set(
    finished: Finished, store: Store, small_study: Callable[..., Study]
) -> None:
    study = small_study("test.model=folds")
    reporter = Recorder()
    with reporter:
        with pytest.raises(StudyError, match="stage heads is not finished; first run"):
            run_study(study, store, "cpu", reporter, tests_only=True)
        assert reporter.outcomes == []
        copy_of(finished.store, store, "jobs")
        run_study(study, store, "cpu", reporter, tests_only=True)
        assert {job.evaluate for job, _ in reporter.outcomes} == {"test"}
        with pytest.raises(StudyError, match="the study has no test: block"):
            run_study(small_study("test=null"), store, "cpu", reporter, tests_only=True)


def test_a_study_is_run_by_one_process_at_a_time(store: Store, folder_study: Study) -> None:
    with store.locked("own"), pytest.raises(BusyError, match="own is running already"):
        run_in(folder_study, store)
    assert runs_of(store) == []


def spoil_image(folder: Path) -> None:
    (folder / "train/A/trA0-9.png").write_text("no image")


def plant_near_copy(folder: Path) -> None:
    """A recompressed copy of a training image in test, which only the pixels give away."""
    smooth = np.kron(np.random.default_rng(7).integers(0, 255, (8, 8)), np.ones((16, 16))).astype(np.uint8)
    Image.fromarray(smooth).save(folder / "train/A/trX1-0.png")
    Image.fromarray(smooth).save(folder / "test/A/teX2-0.jpg", quality=80)


@pytest.mark.parametrize(
    ("override", "device", "spoil", "error", "message"),
    [
        ("base.weights=imagenet", "cpu", None, HarnessError, "base.weights: .* the hub cannot be reached"),
        ("base.weights=WRONG", "cpu", None, HarnessError, r"base\.weights: .* cannot be loaded into test_resnet"),
        ("base.epochs=1", "quantum", None, HarnessError, "--device quantum: not on this machine; allowed here: auto"),
        ("base.head=no-such", "cpu", None, StudyError, "unknown head 'no-such'"),
        ("folds.k=7", "cpu", None, DataError, "7 folds need at least 7 patients"),
        ("base.epochs=1", "cpu", spoil_image, DataError, r"data\.path: 1 of 29 images cannot .*trA0-9\.png"),
        (
            "base.epochs=1",
            "cpu",
            plant_near_copy,
            LeakageError,
            r"data\.path: near-duplicate-across-splits: .*accept it",
        ),
    ],
    ids=["hub", "weights", "device", "head", "folds", "image", "audit"],
)
def test_a_wrong_request_is_refused_and_nothing_is_written(
    folder_study: Study, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    override: str, device: str, spoil: Callable[[Path], None] | None, error: type[HarnessError], message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_text("no weights")
    study = load_study(tmp_path / "own.yaml", [override.replace("WRONG", str(wrong))], str(image_folder))
    if spoil:
        spoil(image_folder)
    store = Store(tmp_path / "new")
    with pytest.raises(error, match=message), Recorder() as reporter:
        run_study(study, store, device, reporter)
    assert folder_study.study == "own"
    assert not store.root.exists()


def tree(root: Path) -> dict[str, int]:
    """Every file and folder below `root`, with the time of its last change."""
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.positive=ILL", "the positive class ILL is not in the data"),
        ("folds.k=20", "20 folds need at least 20 patients"),
        ("base.weights=imagenet", "the hub cannot be reached"),
    ],
)
def test_a_refused_study_of_phantoms_leaves_no_image_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_study: Callable[..., Study], override: str, message: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "store" / "cache").mkdir(parents=True)
    before = tree(tmp_path / "store" / "cache")
    with pytest.raises(HarnessError, match=message), Recorder() as reporter:
        run_study(small_study("data.phantom.seed=9", override), Store(tmp_path / "store"), "cpu", reporter)
    assert tree(tmp_path / "store" / "cache") == before
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["cache"]


def test_an_audit_that_stops_a_run_leaves_a_used_store_as_it_was(
    folder_study: Study, image_folder: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "used")
    prepare(folder_study, store)
    study = load_study(tmp_path / "own.yaml", ["base.epochs=1"], str(image_folder))
    audit_study(study, prepare(study, store).inputs.dataset, prepare(study, store).inputs.folds, store)
    before = {path: time for path, time in tree(store.root).items() if path != "."}
    assert any(path.startswith("cache/pixels/") for path in before)
    plant_near_copy(image_folder)
    with pytest.raises(LeakageError, match="near-duplicate"), Recorder() as reporter:
        run_study(study, store, "cpu", reporter)
    assert {path: time for path, time in tree(store.root).items() if path != "."} == before


def test_a_stored_fit_of_another_fold_assignment_is_never_shown_beside_this_one(
    finished: Finished, store: Store
) -> None:
    copy_of(finished.store, store, "jobs", "data", "cache")
    job = finished.run.state.stages[0].scenarios[1].jobs[0]
    path = store.jobs / job.id / "result.json"
    record = json.loads(path.read_text())
    assert record["facts"]["fold_digest"] == job.rows
    path.write_text(json.dumps({**record, "facts": {**record["facts"], "fold_digest": "another"}}))
    for command in (lambda study, at: report_study(prepare(study, at)), run_in):
        with pytest.raises(LeakageError, match=rf"{job.id} was fitted on the fold another.*never mixes fold assign"):
            command(finished.study, store)
    assert not store.reports.exists()


@pytest.mark.figures  # other tests check those of this report
def test_the_report_is_written_again_from_stored_results(finished: Finished) -> None:
    text = finished.run.report.read_text()
    shutil.rmtree(finished.run.report.parent)
    path = report_study(prepare(finished.study, finished.store))
    assert path == finished.run.report
    assert path.read_text() == text
    assert {run.info.status for run in runs_of(finished.store)} == {"FINISHED"}


def test_there_is_no_report_of_a_study_that_was_not_run(store: Store, small_study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match=r"no job of this study is done .* first run: harness run"):
        report_study(prepare(small_study(), store))
    assert not store.reports.exists()


def test_over_the_folds_every_real_training_image_is_validated_exactly_once(
    xrays: Path, lite0_weights: Path, tmp_path: Path, store: Store
) -> None:
    (tmp_path / "real.yaml").write_text(
        "study: real\ndata: {source: folder, image_size: 64, positive: PNEUMONIA, patient: kermany, limit: 60}\n"
        "folds: {k: 3, repeats: 2}\nstages: [{name: one, grid: {oversampling: [random]}}]\n"
        "base: {backbone: tf_efficientnet_lite0, trainable: head, epochs: 2, batch_size: 16}\n"
    )
    study = load_study(tmp_path / "real.yaml", [f"base.weights={lite0_weights}"], str(xrays))
    done = run_in(study, store)
    dataset = read_dataset(xrays, Data(source="folder", patient="kermany", limit=60))
    images = sorted(dataset.table["image"][dataset.rows("train")])
    for state in done.run.state.stages[0].scenarios:
        frames = [Ledger(store).predictions(job.id) for job in state.jobs]
        for repeat in (0, 1):
            assert sorted(pd.concat([f for f in frames if f["repeat"][0] == repeat])["image"]) == images
        accuracies = [((f["prob_PNEUMONIA"] > 0.5) == (f["label"] == "PNEUMONIA")).mean() for f in frames]
        assert state.summary["val/accuracy_mean"] == pytest.approx(sum(accuracies) / 6)
    assert len(list((store.cache / "features").glob("*/maps.npy"))) == 1


def test_each_image_goes_through_a_frozen_backbone_once_and_never_again(
    new_store: Callable[[], Store], small_study: Callable[..., Study]
) -> None:
    frozen = ("base.trainable=head", "stages=[{name: heads, select: {metric: val/accuracy}}]", TEST_OF_HEADS)
    cold = run_in(small_study(*frozen, "base.epochs=1"), store := new_store())
    assert cold.run.passes == {"test_resnet": 48 + 24}  # training and test images; two folds and a refit
    warm = run_in(small_study(*frozen, "base.epochs=2"), store)
    assert warm.run.passes == {"test_resnet": 0}
    assert [len(cold.reporter.outcomes), len(warm.reporter.outcomes)] == [3, 3]


def test_a_signal_upon_the_last_words_of_a_study_leaves_nothing_running(
    store: Store, small_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Tracker.finish

    def stopped_at_the_study(tracker: Tracker, run_id: str) -> None:
        if run_id == tracker.study_run():
            raise Stopped(15)
        finish(tracker, run_id)

    study = small_study("stages=[{name: one}]", "test=null", "base.epochs=1")
    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "finish", stopped_at_the_study)
        with Recorder() as reporter, pytest.raises(Stopped):
            run_study(study, store, "cpu", reporter)
    assert {run.info.status for run in runs_of(store, "study")} == {"KILLED"}
    run_in(study, store)
    assert {run.info.status for run in runs_of(store)} == {"FINISHED"}


def test_missing_fits_are_not_made_by_other_code_than_those_that_are_there(
    store: Store, small_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study("stages=[{name: one}]", "test=null", "base.epochs=1")
    run_in(study, store)
    monkeypatch.setattr("harness.runner.code_digest", lambda: "other")
    run_in(study, store)  # nothing is missing
    job = next(store.jobs.iterdir())
    aside = job.rename(store.root / "aside")
    before = sorted(store.root.rglob("*"))
    with pytest.raises(HarnessError, match="one table never mixes code"), Recorder() as reporter:
        run_study(study, store, "cpu", reporter)
    assert sorted(store.root.rglob("*")) == before
    aside.rename(job)
    with pytest.raises(HarnessError, match="one table never mixes code"), Recorder() as reporter:
        rerun(study, store, "cpu", reporter, "small", 0, 0)
    assert job.exists()


COUPLED = (
    "base.epochs=1", "base.batch_size=8", "data.phantom.train=24", "data.phantom.test=8", "test=null",
    "stages.0.grid={backbone: [{name: test_vit, image_size: 160, trainable: head}, test_resnet],"
    " head: [dropout-gap, batchnorm-gap]}",
    "stages.0.zip={learning_rate: [1.0e-3, 1.0e-2], dropout: [0.2, 0.4]}",
    "stages.0.when={dropout: {head: [dropout-gap]}}",
    "stages.0.exclude=[{backbone: test_vit, head: batchnorm-gap}, {backbone: test_resnet, learning_rate: 1.0e-3}]",
    "stages.0.select={metric: val/loss}",
)  # fmt: skip


@pytest.mark.slow
def test_a_coupled_grid_is_run_and_its_winner_goes_on_with_what_its_level_brought(
    small_study: Callable[..., Study], store: Store
) -> None:
    study = small_study(*COUPLED)
    first = run_in(study, store)
    stage, last = first.run.state.stages
    assert [s.name for s in stage.scenarios] == [
        "test_vit + dropout-gap + learning_rate=0.001 + dropout=0.2 + none",
        "test_vit + dropout-gap + learning_rate=0.01 + dropout=0.4 + none",
        "test_resnet + dropout-gap + learning_rate=0.01 + dropout=0.4 + none",
        "test_resnet + batchnorm-gap + learning_rate=0.01 + none",
    ]
    assert {(s.settings.backbone, s.settings.trainable, s.settings.image_size) for s in stage.scenarios} == {
        ("test_vit", "head", 160), ("test_resnet", "all", 32)
    }  # fmt: skip
    assert first.run.state.finished and stage.best is not None
    kept = {"backbone", "trainable", "image_size", "head"}
    assert [s.settings.model_dump(include=kept) for s in last.scenarios] == [
        stage.best.settings.model_dump(include=kept)
    ] * 2
    params = [run.data.params for run in runs_of(store) if run.data.tags["harness.level"] == "scenario"]
    assert {(p["backbone"], p["image_size"]) for p in params} == {("test_vit", "160"), ("test_resnet", "32")}
    board = pd.read_csv(store.reports / "small" / "leaderboard-heads.csv").set_index("head")
    assert board["backbone"].tolist().count("test_vit") == 2
    assert pd.isna(board["dropout"]["batchnorm-gap"]), "it has no such factor"
    again = prepare(study, store).reader.read()
    assert again.finished and [s.id for s in again.scenarios] == [s.id for s in first.run.state.scenarios]
