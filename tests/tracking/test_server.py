"""A team's tracking server: a real one, with PostgreSQL, that is stopped and started while a study runs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.compute import Compute
from harness.errors import HarnessError
from harness.plan import Job
from harness.results import Metrics, Outcome
from harness.runner import run_study
from harness.store import Store
from harness.study import Study
from tests.conftest import CHAOS, Finished, Recorder
from tests.postgres import programs
from tests.postgres import server as database_server
from tests.services import MlflowServer
from tests.test_runner import content

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


class Outage(Recorder):
    """Kills the server after so many epochs, and starts it again when one more job has ended."""

    def __init__(self, server: MlflowServer, moment: int) -> None:
        super().__init__()
        self._server, self._moment = server, moment
        self._epochs = 0
        self._down = False
        self.said: list[str] = []

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        super().epoch(job_id, epoch, metrics)
        self._epochs += 1
        if self._epochs == self._moment:
            self._server.kill()
            self._down = True

    def finished(self, job: Job, outcome: Outcome) -> None:
        super().finished(job, outcome)
        if self._down:
            self._server.start()
            self._down = False

    def say(self, text: str) -> None:
        super().say(text)
        self.said.append(text)


@pytest.fixture
def clean(server: MlflowServer) -> Iterator[None]:
    """Afterwards the server has no experiments."""
    yield
    client = MlflowClient(server.url)
    for experiment in client.search_experiments():
        if experiment.name != "Default":
            client.rename_experiment(experiment.experiment_id, f"{experiment.name}-{time.time()}")
            client.delete_experiment(experiment.experiment_id)


MOMENTS = (1, 3, 4, 7, 10) if CHAOS else (3,)


@services
@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_that_is_lost_while_folds_train_has_every_row_once_in_the_end(
    server: MlflowServer, finished: Finished, small_study: Callable[..., Study], tmp_path: Path, moment: int
) -> None:
    store = Store(tmp_path / "store", server.url)
    reporter = Outage(server, moment)
    with reporter:
        done = run_study(small_study(), store, "cpu", reporter, compute=Compute("process", workers=4))
    assert done.failed == 0
    assert len(reporter.outcomes) == 7
    told = [line.partition(" (")[0] for line in reporter.said if "tracking server" in line]
    assert told == ["the tracking server is lost", "the tracking server is back, and up to date"]
    assert content(store) == content(finished.store)


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
