import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.errors import DataError, StudyError
from harness.execution.progress import Reporter
from harness.reproduce import reproduce
from harness.runner import run_study
from harness.store import Ledger, Store
from tests.conftest import Finished, runs_of, small_study_beside


def runs(finished: Finished, level: str) -> list[tuple[str, dict[str, str]]]:
    client = MlflowClient(tracking_uri=finished.store.database_uri)
    experiment = client.get_experiment_by_name(finished.study.study)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`harness.level` = '{level}'")
    return [(run.info.run_id, dict(run.data.tags)) for run in found]


@pytest.mark.parametrize("level", ["fold", "test"])
def test_a_job_run_again_from_its_run_gives_the_same_metrics(finished: Finished, level: str) -> None:
    run_id, tags = runs(finished, level)[0]
    found = reproduce(run_id, finished.store, "cpu", Reporter())
    assert found.job.id == tags["harness.job_id"]
    assert found.identical
    assert found.again.history == found.stored.history


def test_a_stored_number_that_was_changed_is_found(finished: Finished) -> None:
    run_id, tags = runs(finished, "fold")[0]
    path = Ledger(finished.store).path(tags["harness.job_id"]) / "result.json"
    before = path.read_text()
    record = json.loads(before)
    record["metrics"]["val/accuracy"] += 0.01
    path.write_text(json.dumps(record))
    try:
        found = reproduce(run_id, finished.store, "cpu", Reporter())
    finally:
        path.write_text(before)
    assert not found.identical
    assert found.differences["val/accuracy"] == pytest.approx(-0.01)


def test_a_result_that_does_not_say_its_threads_is_refused_in_one_line(finished: Finished) -> None:
    run_id, tags = runs(finished, "fold")[0]
    path = Ledger(finished.store).path(tags["harness.job_id"]) / "result.json"
    before = path.read_text()
    record = json.loads(before)
    del record["facts"]["threads"]
    path.write_text(json.dumps(record))
    try:
        with pytest.raises(StudyError, match="is older than the record of a fit's threads") as refused:
            reproduce(run_id, finished.store, "cpu", Reporter())
    finally:
        path.write_text(before)
    assert "\n" not in str(refused.value)


def test_a_run_with_settings_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.root.mkdir()
    client = MlflowClient(tracking_uri=store.tracking_uri)
    experiment = client.create_experiment("older", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment, tags={"harness.level": "fold", "harness.job_id": "0"})
    client.log_text(run.info.run_id, "study: older", "study.yaml")
    for name, value in {"backbone": "test_resnet", "epochs": "many"}.items():
        client.log_param(run.info.run_id, name, value)
    with pytest.raises(StudyError, match="settings that this version does not read") as refused:
        reproduce(run.info.run_id, store, "cpu", Reporter())
    assert "\n" not in str(refused.value)


def test_only_a_fold_or_a_test_can_be_reproduced(finished: Finished) -> None:
    with pytest.raises(StudyError, match="has no run nothing"):
        reproduce("nothing", finished.store, "cpu", Reporter())
    with pytest.raises(StudyError, match="is a scenario run; name the run of a fold or of a test"):
        reproduce(runs(finished, "scenario")[0][0], finished.store, "cpu", Reporter())


def test_every_run_says_where_it_comes_from(finished: Finished) -> None:
    for level in ("study", "scenario", "fold", "test"):
        for _, tags in runs(finished, level):
            for name in ("manifest_digest", "folds_digest", "weights_digest", "git_commit", "git_dirty", "command"):
                assert tags[f"harness.{name}"]
            assert "torch " in tags["harness.versions"]
            assert tags["harness.machine"]


OWN = """\
from torch import nn


class Net(nn.Conv2d):
    def __init__(self, image_size):
        super().__init__(3, 4, 3, stride=4)


def errors(labels, probabilities):
    return (probabilities.argmax(axis=1) != labels).sum()
"""


def test_own_metrics_are_compared_and_the_source_of_an_own_backbone_is_asked_for(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "parts.py"
    own = ("metrics=['parts:errors']", "base.backbone=parts:Net", "base.epochs=1", "test=null")
    study = small_study_beside(file, OWN, *own, "stages=[{name: one, grid: {head: [linear]}}]")
    assert run_study(study, store, "cpu", Reporter()).failed == 0
    run_id = runs_of(store, "fold")[0].info.run_id
    found = reproduce(run_id, store, "cpu", Reporter())
    assert found.identical
    assert found.differences["val/errors"] == 0
    file.write_text(OWN.replace("stride=4", "stride=2"))
    with pytest.raises(StudyError, match=r"parts\.py is not what was trained, or is gone; the source that was") as told:
        reproduce(run_id, store, "cpu", Reporter())
    kept = Path(str(told.value).partition("was trained is ")[2].partition(": put it there")[0])
    assert kept.read_text() == OWN
    file.unlink()
    with pytest.raises(StudyError, match="or is gone; the source that was trained is"):
        reproduce(run_id, store, "cpu", Reporter())
    file.write_text(kept.read_text())
    assert reproduce(run_id, store, "cpu", Reporter()).identical


@pytest.fixture
def moved(finished: Finished, tmp_path: Path) -> tuple[Store, Path]:
    """A copy of the store without images, features and pixels, and a folder with the images under other names."""
    store = finished.copy_to(tmp_path / "moved")
    shutil.rmtree(store.cache)
    (old,) = store.data.iterdir()
    images = tmp_path / "images"
    for number, path in enumerate(sorted(old.rglob("*.png"))):
        target = images / str(number % 3) / f"{number}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    shutil.rmtree(store.data)
    return store, images


def test_images_that_were_moved_and_renamed_are_found_by_their_hashes(
    finished: Finished, moved: tuple[Store, Path]
) -> None:
    store, images = moved
    found = reproduce(runs(finished, "fold")[0][0], store, "cpu", Reporter(), images)
    assert found.identical
    assert not store.data.exists()


def test_images_that_are_gone_are_named_in_one_line(finished: Finished, moved: tuple[Store, Path]) -> None:
    store, images = moved
    next((images / "1").iterdir()).unlink()
    with pytest.raises(DataError, match=r"1 of the study's 72 images is not in .*, such as \w+/\w+/phantom-.*\.png: "):
        reproduce(runs(finished, "fold")[0][0], store, "cpu", Reporter(), images)
    (about,) = store.studies.glob("*/*/record.json")
    about.write_text(about.read_text().replace(str(finished.store.root), str(store.root)))
    with pytest.raises(DataError, match="name one that has them with --data DIR"):
        reproduce(runs(finished, "fold")[0][0], store, "cpu", Reporter())
