"""Searches on tiny phantoms, and stores with an MLflow database that is made once."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.store import Store
from harness.study import Study, load_study
from tests.postgres import programs, server

STUDY = """\
study: tiny
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 48, test: 8}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, trainable: head, epochs: 1, batch_size: 16, learning_rate: 1.0e-3}
stages: [{name: base}]
search:
  space:
    head: {choices: [dropout-gap, batchnorm-gap]}
    dropout: {low: 0.1, high: 0.7, when: {head: [dropout-gap]}}
    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  objective: {metric: val/roc_auc}
  sampler: random
  trials: 6
"""

if TYPE_CHECKING:
    from harness.search.run import SearchRun

StudyOf = Callable[..., Study]


@pytest.fixture(scope="session")
def study_of(tmp_path_factory: pytest.TempPathFactory) -> StudyOf:
    """Gives the study of STUDY with `KEY=VALUE` overrides."""
    file = tmp_path_factory.mktemp("study") / "tiny.yaml"
    file.write_text(STUDY)
    return lambda *overrides: load_study(file, overrides)


@pytest.fixture(scope="session")
def prepared(study_of: StudyOf, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with what every test would make again: an empty MLflow database, the images, the features."""
    from mlflow import MlflowClient

    store = Store(tmp_path_factory.mktemp("prepared"))
    MlflowClient(tracking_uri=f"sqlite:///{store.root}/empty.db").search_experiments()
    searched(study_of(), store, trials=1)
    return store


def searched(study: Study, store: Store, workers: int = 1, trials: int | None = None) -> "SearchRun":
    from harness.execution.progress import Reporter
    from harness.search.run import run_search

    with Reporter() as reporter:
        return run_search(study, store, "cpu", reporter, workers, trials, None)


@pytest.fixture(scope="session")
def reference(
    study_of: StudyOf, prepared: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple["SearchRun", Store]:
    """The search of six trials, run with one worker; tests only read it."""
    store = new_store(prepared, tmp_path_factory.mktemp("reference") / "store")
    return searched(study_of(), store), store


def new_store(prepared: Store, root: Path) -> Store:
    """A store without any run, with the caches and the empty database that are slow to make."""
    root.mkdir()
    shutil.copytree(prepared.cache, root / "cache")
    shutil.copytree(prepared.data, root / "data")
    shutil.copy(prepared.root / "empty.db", root / "mlflow.db")
    return Store(root)


@pytest.fixture
def store(prepared: Store, tmp_path: Path) -> Store:
    """A store without any run."""
    return new_store(prepared, tmp_path / "store")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    with server(folder) as url:
        yield url
