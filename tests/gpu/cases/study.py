"""A whole study, from its images to the champion, the report and predictions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from harness.execution.compute import Compute
from harness.models.heads import initialise
from harness.runner import run_study
from harness.serving.classifier import Classifier, ClassifierMetadata, plain_network
from harness.serving.explain import grad_cam
from harness.store import Ledger, Store
from harness.store.results import FitFacts
from harness.study import Study
from harness.study.settings import ResolvedSettings
from harness.tracking.registry import champion_folder
from tests.conftest import Recorder
from tests.figures import figures
from tests.gpu.simulation.log import LOG


@pytest.fixture(scope="module")
def store(small_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of the small study after its run on the device that `auto` finds."""
    store = Store(tmp_path_factory.mktemp("store"))
    reporter = Recorder()
    LOG.clear()
    with reporter, figures(drawn=True):
        assert not run_study(small_study(), store, "auto", reporter, compute=Compute("inline")).failed
    return store


def facts(store: Store) -> list[FitFacts]:
    return [Ledger(store).record(path.name).facts for path in store.jobs.iterdir()]


def test_every_fit_says_that_it_ran_on_the_gpu_in_bf16(store: Store) -> None:
    found = facts(store)
    assert len(found) >= 7
    assert {(fact.device, fact.precision) for fact in found} == {("NVIDIA H100 80GB HBM3 (simulated)", "bf16")}


def test_no_operation_was_of_the_list_without_a_deterministic_kernel(store: Store) -> None:
    assert store and LOG.operations["aten::convolution"] > 0
    assert not LOG.alerts
    assert not LOG.races


def test_the_champion_predicts_on_the_gpu_as_on_the_cpu(store: Store) -> None:
    folder = champion_folder(store, "models:/small@champion")
    images = sorted(store.root.rglob("test/*/*.png"))
    gpu, cpu = Classifier.load(folder, "auto"), Classifier.load(folder, "cpu")
    assert gpu.device.type == "cuda"
    found, same = (each.predict(images).filter(like="prob_").to_numpy() for each in (gpu, cpu))
    assert len(found) == 24
    np.testing.assert_allclose(found, same, atol=0.05)  # bf16 there, fp32 here


def test_grad_cam_gives_the_maps_of_the_cpu(store: Store) -> None:
    assert [*store.root.glob("explanations/*.npz")] and not [*store.root.glob("explanations/*.txt")]
    settings = ResolvedSettings(backbone="test_resnet", weights="none", image_size=64, head="batchnorm-gap")
    pixels = np.random.default_rng(0).integers(0, 255, (4, 1, 64, 64), dtype=np.uint8)
    maps = []
    for device in ("cuda", "cpu"):
        backbone, head = plain_network(settings, 2, 0, "none")
        initialise(head, 0)
        about = ClassifierMetadata(settings, ("A", "B"), None, backbone.mean, backbone.std, 8, 1, "s", "j", "m", True)
        classifier = Classifier(about, backbone, head, torch.device(device))
        maps.append(grad_cam(classifier, pixels, np.array([0, 0, 1, 1])))
    assert maps[0].max() == 1
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)


def test_the_report_has_grad_cam_and_names_the_gpu(store: Store) -> None:
    (page,) = (store.root / "reports").glob("*/report.md")
    text = page.read_text(encoding="utf-8")
    assert "NVIDIA H100 80GB HBM3 (simulated)" in text
    assert "Grad-CAM" in text
