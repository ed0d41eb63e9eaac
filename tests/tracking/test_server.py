"""A team's tracking server: a real one, with PostgreSQL, that any client can use."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from harness.cli import make_app
from harness.compute import Compute
from harness.errors import HarnessError
from harness.ledger import Ledger
from harness.prepare import prepare
from harness.runner import run_study
from harness.store import Store
from harness.study import Study
from tests.conftest import Recorder
from tests.postgres import programs
from tests.postgres import server as database_server
from tests.services import MlflowServer

services = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = programs()
    if folder is None:
        pytest.skip("there is no PostgreSQL")
    with database_server(folder) as database:
        found = MlflowServer(database, tmp_path_factory.mktemp("server"))
        found.start()
        found.wait()
        yield found
        found.kill()


@pytest.fixture
def clean(server: MlflowServer) -> Iterator[None]:
    """Afterwards the server has no experiments."""
    yield
    client = MlflowClient(server.url)
    for experiment in client.search_experiments():
        if experiment.name != "Default":
            client.rename_experiment(experiment.experiment_id, f"{experiment.name}-{time.time()}")
            client.delete_experiment(experiment.experiment_id)


@services
@pytest.mark.usefixtures("clean")
def test_any_client_can_use_the_experiment(
    server: MlflowServer, small_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = small_study("study=shared", "base.epochs=1", "test=null", "stages=[{name: one}]")
    with Recorder() as reporter:
        run_study(study, Store(tmp_path / "store", server.url), "cpu", reporter, compute=Compute("inline"))
    client = MlflowClient(server.url)
    experiment = client.get_experiment_by_name("shared")
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = client.search_runs([experiment.experiment_id], "tags.`harness.level` = 'fold'")
    assert len(runs) == 2
    client.log_text(runs[0].info.run_id, "seen", "review.txt")
    assert {"predictions.parquet", "review.txt"} <= {f.path for f in client.list_artifacts(runs[0].info.run_id)}


@services
@pytest.mark.usefixtures("clean")
def test_the_chosen_model_is_used_from_elsewhere(
    server: MlflowServer, small_study: Callable[..., Study], tmp_path: Path
) -> None:
    stages = "stages=[{name: one, grid: {head: [batchnorm-gap]}, select: {}}]"
    study = small_study("study=shared", "base.epochs=1", "test={stages: [one]}", stages)
    store = Store(tmp_path / "store", server.url)
    with Recorder() as reporter:
        run = run_study(study, store, "cpu", reporter, compute=Compute("inline"))
    scored = Ledger(store).predictions(run.tests[0].jobs[0].id)
    root = prepare(study, store).dataset.root
    arguments = ["predict", "models:/shared@champion", *(str(root / image) for image in scored["image"]), "--csv"]
    arguments += ["--device", "cpu", "--store", str(tmp_path / "another"), "--tracking-uri", server.url]
    told = CliRunner().invoke(make_app(), arguments, catch_exceptions=False).stdout
    found = [float(line.split(",")[-1]) for line in told.splitlines()[1:]]
    assert found == scored["prob_PNEUMONIA"].tolist()
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://user:secret@host:5000", "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("postgresql://user:secret@host/name", "expected http://HOST:PORT"),
        ("http://", "expected http://HOST:PORT"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_a_password(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message) as refused:
        Store(tmp_path, address)
    assert "secret" not in str(refused.value)


def test_a_server_that_does_not_answer_at_the_start_is_an_error_of_the_request(
    small_study: Callable[..., Study], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store", "http://127.0.0.1:9")
    reporter = Recorder()
    with pytest.raises(HarnessError, match="--tracking-uri: no MLflow server answers: "), reporter:
        run_study(small_study(), store, "cpu", reporter)
    assert reporter.outcomes == []
