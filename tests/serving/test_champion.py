"""The chosen model outside of its study: the same predictions by every way to ask for them."""

import base64
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from harness import runner
from harness.cli import make_app
from harness.cli.model import _folder
from harness.errors import HarnessError
from harness.execution.executor import OnStart
from harness.execution.inline import InlineExecutor
from harness.prepare import prepare
from harness.serving.classifier import Classifier
from harness.store import Ledger, Store
from harness.store.results import OnEpoch, Outcome
from harness.study import Study
from harness.study.plan import Batch, Job
from harness.tracking.registry import champion_folder
from harness.training.context import Context
from tests.conftest import Finished, run_in, runs_of

URI = "models:/small@champion"


@pytest.fixture(scope="module")
def folder(finished: Finished) -> Path:
    return champion_folder(finished.store, URI)


@pytest.fixture(scope="module")
def scored(finished: Finished) -> pd.DataFrame:
    """The study's own predictions on the test set, `file` with the images' paths."""
    frame = Ledger(finished.store).predictions(finished.run.state.tests[-1].jobs[0].id)
    root = prepare(finished.study, finished.store).inputs.dataset.root
    return frame.assign(file=[str(root / image) for image in frame["image"]])


def same_bits(found: pd.DataFrame, scored: pd.DataFrame) -> None:
    columns = [column for column in scored if str(column).startswith("prob_")]
    pd.testing.assert_frame_equal(found[columns], scored[columns], check_exact=True)


def test_files_give_the_bits_of_the_study_and_single_images_nearly(folder: Path, scored: pd.DataFrame) -> None:
    classifier = Classifier.load(folder, "cpu")
    same_bits(classifier.predict(list(scored["file"])), scored)
    single = pd.concat([classifier.predict([file]) for file in scored["file"]], ignore_index=True)
    np.testing.assert_allclose(single["prob_NORMAL"], scored["prob_NORMAL"], rtol=0, atol=1e-6)


def test_pyfunc_gives_the_bits_of_the_study_without_pickle(
    scored: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    model = mlflow.pyfunc.load_model(str(folder.parents[1]))
    images = [Path(file).read_bytes() for file in scored["file"]]
    same_bits(model.predict(pd.DataFrame({"image": images})), scored)
    schema = model.metadata.get_input_schema()
    assert schema is not None and schema.input_names() == ["image"]
    assert not list(folder.parents[1].rglob("*.pkl"))
    with pytest.raises(HarnessError, match="base64"):  # a string is never a path
        model.predict(pd.DataFrame({"image": [scored["file"][0]]}))


def test_the_command_prints_the_bits_of_the_study(finished: Finished, scored: pd.DataFrame) -> None:
    arguments = ["predict", URI, *scored["file"], "--csv", "--device", "cpu", "--store", str(finished.store.root)]
    done = CliRunner().invoke(make_app(), arguments, catch_exceptions=False)
    found = pd.read_csv(io.StringIO(done.stdout), dtype=str)
    found = found.astype({column: float for column in found if str(column).startswith("prob_")})
    same_bits(found, scored)
    assert list(found["image"]) == list(scored["file"])
    assert done.stderr.splitlines()[-1] == "the study of this model: SYNTHETIC DATA"


@pytest.mark.slow
def test_a_real_server_answers_the_bits_of_the_study(folder: Path, scored: pd.DataFrame, tmp_path: Path) -> None:
    rows = [[base64.b64encode(Path(file).read_bytes()).decode()] for file in scored["file"]]
    content = json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode()
    with served(folder.parents[1], tmp_path / "log") as url:
        request = urllib.request.Request(f"{url}/invocations", content, {"Content-Type": "application/json"})
        answer = json.loads(urllib.request.urlopen(request, timeout=120).read())
    same_bits(pd.DataFrame(answer["predictions"]), scored)


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """`mlflow models serve` on a free port, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--env-manager", "local"],
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},  # uvicorn
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        for _ in range(360):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait()


def test_the_champion_is_the_refit_of_the_winner_once(finished: Finished) -> None:
    client = MlflowClient(finished.store.database_uri, registry_uri=finished.store.database_uri)
    (run,) = runs_of(finished.store, "test")
    champion = client.get_model_version_by_alias("small", "champion")
    assert champion.run_id == run.info.run_id
    maps = client.list_artifacts(run.info.run_id, "grad-cam")
    assert {Path(file.path).stem.rpartition("-")[2] for file in maps} <= {"rightly", "wrongly"} and maps
    assert "Where the model looked" in finished.run.report.read_text()
    run_in(finished.study, finished.store)
    assert len(client.search_model_versions("name='small'")) == 1


class OnCluster(InlineExecutor):
    """Stands for a cluster whose nodes have what this machine lacks."""

    def run(
        self, batches: Iterable[Batch], context: Context, on_start: OnStart, on_epoch: OnEpoch
    ) -> Iterator[tuple[Job, Outcome]]:
        return super().run(batches, replace(context, device="cpu"), on_start, on_epoch)


def test_a_machine_without_a_gpu_registers_the_champion_of_a_cluster_that_has_some(
    small_study: Callable[..., Study], new_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "executor_for", lambda *_: (OnCluster(), "cuda"))
    stages = "stages=[{name: heads, grid: {head: [dropout-gap]}, select: {metric: val/loss}}]"
    done = run_in(small_study(stages, "test.stages=[heads]", "base.epochs=1"), new_store())
    assert champion_folder(done.store, URI).is_dir()
    assert "Where the model looked" in done.run.report.read_text()


@pytest.mark.parametrize(
    ("model", "image", "words"),
    [
        ("models:/other@champion", "x.png", "has no model"),
        ("models:/small", "x.png", "allowed: models:/NAME@champion"),
        ("nowhere", "x.png", "no such study file, and no study of"),
        (URI, "x.png", "x.png does not exist"),
        (URI, "text.png", "cannot be read: not an image"),
        (URI, ".", "is a folder"),
    ],
)
def test_a_wrong_request_is_one_line(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, image: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("text")
    with pytest.raises(HarnessError, match=words) as caught:
        CliRunner().invoke(
            make_app(), ["predict", model, image, "--store", str(finished.store.root)], catch_exceptions=False
        )
    assert "\n" not in str(caught.value)


def test_a_study_without_a_store_has_no_model_and_leaves_nothing(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert finished.study.folder is not None
    with pytest.raises(HarnessError, match="nowhere holds no models; first run"):
        _folder(str(next(finished.study.folder.glob("*.yaml"))), Store(Path("nowhere")), None, None)
    assert list(tmp_path.iterdir()) == []
