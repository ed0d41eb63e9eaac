"""Shared parts: small images, stores with an MLflow database that is made once, one small study that has been run."""

import os

from harness.store.results import FoldRecord

# Small nets gain nothing from more threads, and lose much where other work wants the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if not os.path.exists("/proc/driver/nvidia"):  # noqa: PTH110  Triton reads it when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from harness.data.phantom import phantom_folder
from harness.errors import JobError
from harness.execution.progress import Reporter
from harness.store import Store
from harness.study import Study, load_study
from tests.figures import figures

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

    from harness.runner import Run
    from harness.store.results import FitFacts
    from harness.study.plan import Job
    from harness.training.context import Context
    from tests.ray_cluster import RayCluster

settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

CHAOS = bool(os.environ.get("HARNESS_CHAOS"))  # every fault, not a share of them
ROOT = Path(__file__).parents[1]
TEST_DATA = Path(os.environ.get("HARNESS_TEST_DATA", ROOT.parent / "shared"))


SERVICES = ("ray", "ui", "services")  # marks of what a test needs and this machine may lack
SLOW = (*SERVICES, "long")  # marks of what `make test` leaves to `make test-all`


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and give each worker of xdist whole files, which share their fixtures.

    Tests with Ray go to one worker, since `ray stop`, a command of README's, ends every cluster of the machine.
    README's tests come first: they take longest, and no cluster of another test is up then.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))
        elif "test_readme" not in item.nodeid and not item.get_closest_marker("xdist_group"):
            file = item.path.relative_to(ROOT)
            shared = file.parent if file.parent.name == "faults" else file  # its files share one finished study
            item.add_marker(pytest.mark.xdist_group(shared.as_posix()))
    items.sort(key=lambda item: ("test_readme" not in item.nodeid, len(item.path.parts)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """End a worker of xdist that knows no groups: its files would share no fixture, and Ray's clusters would meet.

    With pytest 9.2, xdist 3.8 loses them in silence (pytest-xdist issue 1386).
    """
    if getattr(session.config.option, "loadgroup", False):
        assert all("@" in item.nodeid for item in session.items if item.get_closest_marker("xdist_group"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Leave figures blank, except in tests that check figures."""
    with figures(drawn=item.get_closest_marker("figures") is not None):
        return (yield)


@pytest.fixture
def machine_ledger(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for a ledger of looks of this machine: the test's own, so that no other test's looks count."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def xrays() -> Path:
    """The real dataset, train/ and test/ below it."""
    return _optional(TEST_DATA / "chest_xray_224")


@pytest.fixture(scope="session")
def lite0_weights() -> Path:
    """The weights of tf_efficientnet_lite0."""
    return _optional(TEST_DATA / "weights" / "tf_efficientnet_lite0.safetensors")


def _optional(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not in {path.parent}; set HARNESS_TEST_DATA")
    return path


def draw_image(path: Path, seed: int, size: int = 32) -> None:
    """Gray noise with a bright square where the image's class folder is called B; every seed another file."""
    pixels = np.random.default_rng(seed).integers(0, 128, (size, size), dtype=np.uint8)
    if path.parent.name == "B":
        pixels[size // 4 : size // 2, size // 4 : size // 2] += 127
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def draw_images(root: Path, seeds: Mapping[str, int]) -> Path:
    """The image folder `root` with an image at each of these paths."""
    for path, seed in seeds.items():
        draw_image(root / path, seed)
    return root


MEASURED = ("cost/fit_seconds", "cost/extraction_seconds", "cost/images_per_second")  # metrics that no two runs share
PATIENT = r"(?P<patient>\w+)-\d+\.\w+$"  # the patients of draw_patients


def draw_patients(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """Draw so many images in each folder, two of each patient, each from a seed of its own from `first` on."""
    paths = [f"{folder}/{folder[:2]}{folder[-1]}{n // 2}-{n % 2}.png" for folder, c in counts.items() for n in range(c)]
    return draw_images(root, {path: first + seed for seed, path in enumerate(paths)})


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Images of 32 px: in train/ 12 of class A and 8 of class B, in test/ 4 and 4, two of each patient."""
    return draw_patients(tmp_path / "images", {"train/A": 12, "train/B": 8, "test/A": 4, "test/B": 4})


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory, small_study: Callable[..., Study]) -> Callable[[], Store]:
    """Gives stores with what takes seconds to make: a new MLflow database and the images of the small study."""
    from mlflow import MlflowClient

    template = Store(tmp_path_factory.mktemp("template"))
    MlflowClient(tracking_uri=f"sqlite:///{template.database}").search_experiments()
    phantom_folder(small_study().data.phantom, template)

    def make() -> Store:
        return Store(shutil.copytree(template.root, tmp_path_factory.mktemp("store"), dirs_exist_ok=True))

    return make


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    """A store with a prepared MLflow database."""
    return new_store()


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[RayCluster]":
    """A Ray cluster of two nodes with one CPU each."""
    pytest.importorskip("ray")
    from tests.ray_cluster import cluster

    with cluster(tmp_path_factory.mktemp("nodes")) as found:
        yield found


def fit_facts(**known: Any) -> "FitFacts":
    """The facts of a fit that matters little to a test: those that are given, or of no cost on a CPU."""
    from harness.store.results import FitFacts

    always: dict[str, Any] = {"device": "cpu", "precision": "fp32", "torch": "2", "seconds": 1.0}
    return FitFacts(**always | {"parameters": 1, "trained_parameters": 1} | known)


SMALL_STUDY = """\
study: small
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 48, test: 24}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 2, batch_size: 16, learning_rate: 1.0e-3}
stages:
  - name: heads
    grid: {head: [dropout-gap, batchnorm-gap]}
    select: {metric: val/roc_auc}
  - name: sampling
    grid: {oversampling: [none, random]}
    select: {metric: val/balanced_accuracy}
test: {stages: [sampling], model: refit}
"""


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Study]:
    """Gives the study of SMALL_STUDY (six folds and a refit, seconds), with `KEY=VALUE` overrides."""
    file = tmp_path_factory.mktemp("study") / "small.yaml"
    file.write_text(SMALL_STUDY)
    return lambda *overrides: load_study(file, overrides)


def small_study_beside(part: Path, source: str, *overrides: str) -> Study:
    """The study of SMALL_STUDY in the folder of a Python file with this source, with `KEY=VALUE` overrides."""
    part.write_text(source)
    file = part.parent / "own.yaml"
    file.write_text(SMALL_STUDY)
    return load_study(file, overrides)


@pytest.fixture
def study_of(tmp_path: Path) -> Callable[..., Study]:
    """Gives the study of a YAML text, with `KEY=VALUE` overrides."""

    def load(text: str, *overrides: str) -> Study:
        file = tmp_path / "study.yaml"
        file.write_text(text)
        return load_study(file, overrides)

    return load


class Recorder(Reporter):
    """Keeps what it is told about jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[tuple[Job, FoldRecord | JobError]] = []

    def job_ended(self, job: "Job", outcome: "FoldRecord | JobError") -> None:
        self.outcomes.append((job, outcome))
        super().job_ended(job, outcome)

    @property
    def failed(self) -> "list[Job]":
        return [job for job, outcome in self.outcomes if isinstance(outcome, JobError)]


@dataclass(frozen=True)
class Finished:
    """A study that was run, and what happened in the run."""

    study: Study
    store: Store
    run: "Run"
    reporter: Recorder

    def copy_to(self, folder: Path) -> Store:
        """A copy of the store, made by another process.

        To read the database's file here would let go of this process's locks on it (POSIX), and the next process that
        closes the database would take its write-ahead log away under the connections that are open here.
        """
        subprocess.run(["cp", "--archive", self.store.root, folder], check=True)
        return Store(folder)


def run_in(study: Study, store: Store) -> Finished:
    """Runs a study on the CPU."""
    from harness.runner import run_study

    reporter = Recorder()
    with reporter:
        return Finished(study, store, run_study(study, store, "cpu", reporter), reporter)


@pytest.fixture(scope="session")
def finished(small_study: Callable[..., Study], new_store: Callable[[], Store]) -> Finished:
    """The small study with real figures, run once for all tests; they only read it, or run it again."""
    with figures(drawn=True):
        return run_in(small_study(), new_store())


def context_of(study: Study, store: Store) -> "tuple[Context, list[Job]]":
    """What the jobs of a study need, and those of its first stage."""
    from harness.data.pixels import pixel_cache
    from harness.prepare import prepare
    from harness.study.preprocessing import Framing
    from harness.training.context import Context

    workspace = prepare(study, store)
    inputs = workspace.inputs
    size = study.data.image_size
    pixels, features = {Framing(size): pixel_cache(inputs.dataset, size, store)}, store.cache / "features"
    folds = {(fold.repeat, fold.fold): fold for fold in inputs.folds}
    context = Context(inputs.dataset, folds, inputs.digests, study.seed, pixels, features, "cpu")
    return context, workspace.reader.stage(study.stages[0], None).missing


def runs_of(store: Store, level: str | None = None) -> "list[MlflowRun]":
    """All runs in MLflow, or those of one level, in the order in which they were begun."""
    from mlflow import MlflowClient

    client = MlflowClient(store.tracking_uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids, order_by=["attributes.start_time ASC"], max_results=1000)
    return [run for run in runs if level in (None, run.data.tags["harness.level"])]
