"""A team's tracking server: a real one, with PostgreSQL and users; any client can use it, and it may be restarted."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from harness.cli import make_app
from harness.cli.ui import study_views
from harness.errors import HarnessError
from harness.execution.compute import Compute
from harness.prepare import prepare
from harness.reproduce import reproduce
from harness.runner import run_study
from harness.search.run import run_search
from harness.store import Ledger, Store
from harness.study import Study, load_study
from tests.conftest import Finished, Recorder, runs_of
from tests.postgres import create_database, programs
from tests.postgres import server as database_server
from tests.search.conftest import STUDY as SEARCH
from tests.search.test_run import check_exact
from tests.services import LOGIN, MlflowServer
from tests.test_runner import content

services = pytest.mark.services


@dataclass(frozen=True)
class Team:
    """What a team shares: a tracking server and, on the PostgreSQL server behind it, a database for Optuna."""

    server: MlflowServer
    database: str  # MLflow's
    optuna: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = programs()
    if folder is None:
        pytest.skip("there is no PostgreSQL")
    with database_server(folder) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in LOGIN.items():
            patch.setenv(name, value)
        database = create_database(url, "mlflow")
        server = MlflowServer(database, tmp_path_factory.mktemp("server"))
        server.start()
        server.wait()
        yield Team(server, database, create_database(url, "optuna"))
        server.stop()


@pytest.fixture
def team(running: Team) -> Iterator[Team]:
    """The services; afterwards they have no experiments."""
    yield running
    client = MlflowClient(running.server.url)
    for experiment in client.search_experiments():
        if experiment.name != "Default":
            client.rename_experiment(experiment.experiment_id, f"{experiment.name}-{time.time()}")
            client.delete_experiment(experiment.experiment_id)


class Outage(Recorder):
    """Stops the server when two fits or trials have ended, and starts it when two more have."""

    def __init__(self, server: MlflowServer, number: signal.Signals) -> None:
        super().__init__()
        self._server, self._number, self._ended = server, number, 0
        self.said: list[str] = []

    def say(self, text: str) -> None:
        super().say(text)
        self.said.append(text.partition(" (")[0])
        if text.startswith("  ["):
            self._ended += 1
            if self._ended == 2:
                self._server.stop(self._number)
            elif self._ended == 4:
                self._server.start()

    def _say_of_fit(self, text: str) -> None:  # the line of a fit is printed in its own way
        self.say(text)

    @property
    def about_the_server(self) -> list[str]:
        return [line for line in self.said if "tracking server" in line]


TOLD = ["the tracking server is lost", "the tracking server is back, and up to date"]


def every_row_is_there_once(team: Team, store: Store) -> None:
    """No value of a run stands twice in the server's database, and every fold's files are those of the ledger."""
    twice = """
        SELECT run_uuid, key, step, count(*) FROM metrics JOIN runs USING (run_uuid)
        WHERE lifecycle_stage = 'active' GROUP BY 1, 2, 3 HAVING count(*) > 1
    """
    with psycopg.connect(team.database) as connection:
        assert connection.execute(twice).fetchall() == []
    client, folds = MlflowClient(store.tracking_uri), runs_of(store, "fold")
    assert len({run.data.tags["harness.job_id"] for run in folds}) == len(folds)
    for run in folds:
        there = Path(client.download_artifacts(run.info.run_id, "predictions.parquet"))
        assert there.read_bytes() == (Ledger(store).path(run.data.tags["harness.job_id"]) / there.name).read_bytes()


@pytest.mark.long
@services
def test_a_study_s_server_is_restarted_and_has_every_row_once(
    team: Team,
    finished: Finished,
    small_study: Callable[..., Study],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    store = Store(tmp_path / "store", team.server.url)
    reporter = Outage(team.server, signal.SIGKILL)
    with reporter:
        done = run_study(small_study(), store, "cpu", reporter, compute=Compute("process", workers=4))
    assert (done.failed, len(reporter.outcomes)) == (0, 7)
    assert reporter.about_the_server == TOLD
    assert content(store) == content(finished.store)
    every_row_is_there_once(team, store)
    told = "".join(capfd.readouterr())
    assert LOGIN["MLFLOW_TRACKING_PASSWORD"] not in told
    for path in (path for path in store.root.rglob("*") if path.is_file()):
        assert LOGIN["MLFLOW_TRACKING_PASSWORD"].encode() not in path.read_bytes(), f"{path} holds the password"


@services
@pytest.mark.long
def test_a_search_s_server_is_restarted_and_has_every_row_once(team: Team, tmp_path: Path) -> None:
    file, target = tmp_path / "tiny.yaml", 12
    file.write_text(SEARCH)
    study, store = load_study(file), Store(tmp_path / "store", team.server.url)
    reporter = Outage(team.server, signal.SIGTERM)
    with reporter:
        done = run_search(study, store, "cpu", reporter, 4, target, team.optuna)
    assert reporter.about_the_server == TOLD
    check_exact(study, store, done, target, team.optuna)
    every_row_is_there_once(team, store)


@services
def test_any_client_can_use_the_experiment(team: Team, small_study: Callable[..., Study], tmp_path: Path) -> None:
    study, store = (
        small_study("study=shared", "base.epochs=1", "test=null", "stages=[{name: one}]"),
        Store(tmp_path / "store", team.server.url),
    )
    with Recorder() as reporter:
        run_study(study, store, "cpu", reporter, compute=Compute("inline"))
    client = MlflowClient(team.server.url)
    experiment = client.get_experiment_by_name("shared")
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = client.search_runs([experiment.experiment_id], "tags.`harness.level` = 'fold'")
    assert len(runs) == 2
    client.log_text(runs[0].info.run_id, "seen", "review.txt")
    assert {"predictions.parquet", "review.txt"} <= {f.path for f in client.list_artifacts(runs[0].info.run_id)}
    assert reproduce(runs[0].info.run_id, store, "cpu", reporter).identical
    assert study_views(prepare(study, store), 5000)["leaderboard"].startswith(f"{team.server.url}/#/experiments/")


@services
def test_a_wrong_password_is_refused_before_anything_is_trained(
    team: Team, small_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-word")
    reporter = Recorder()
    with pytest.raises(HarnessError, match=r"the server refuses the user; .* MLFLOW_TRACKING_PASSWORD") as refused:
        run_study(small_study(), Store(tmp_path / "store", team.server.url), "cpu", reporter)
    assert "not-the-word" not in str(refused.value)
    assert reporter.outcomes == []


@pytest.mark.long
@services
def test_the_chosen_model_is_used_from_elsewhere(team: Team, small_study: Callable[..., Study], tmp_path: Path) -> None:
    stages = "stages=[{name: one, grid: {head: [batchnorm-gap]}, select: {}}]"
    study = small_study("study=shared", "base.epochs=1", "test={stages: [one]}", stages)
    store = Store(tmp_path / "store", team.server.url)
    with Recorder() as reporter:
        run = run_study(study, store, "cpu", reporter, compute=Compute("inline"))
    scored = Ledger(store).predictions(run.state.tests[0].jobs[0].id)
    root = prepare(study, store).inputs.dataset.root
    arguments = ["predict", "models:/shared@champion", *(str(root / image) for image in scored["image"]), "--csv"]
    arguments += ["--device", "cpu", "--store", str(tmp_path / "another"), "--tracking-uri", team.server.url]
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


def test_the_views_of_a_server_that_does_not_answer_are_refused_in_one_line(
    small_study: Callable[..., Study], tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match=r"--tracking-uri http://127\.0\.0\.1:9: no MLflow") as refused:
        study_views(prepare(small_study(), Store(tmp_path / "store", "http://127.0.0.1:9")), 5000)
    assert "\n" not in str(refused.value)
