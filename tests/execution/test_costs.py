"""The cost of a plan: the arithmetic by hand, and a real probe."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.execution.costs import Probe, load_probes, save_probes, study_costs, take_probes
from harness.execution.probe import PROBED_VECTORS, _reset_peak, probe
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.study.settings import ResolvedSettings
from tests.conftest import Finished

PROBE = Probe("net", train=1.0, score=0.1, extract=0.0, memory=1, feature_bytes=0, images=16, machine="m", device="cpu",
              day="2020-01-01")  # fmt: skip


def test_the_cost_is_epochs_times_images_after_oversampling(small_study: Callable[..., Study], store: Store) -> None:
    stages = "stages=[{name: all, grid: {oversampling: [none, random], epochs: [1, 3]}}]"
    study = small_study(stages, "test=null")
    workspace = prepare(study, store)
    state = workspace.reader.read()
    assert study_costs(workspace, state) is None
    take_probes(workspace, state, lambda _: PROBE)
    costs = study_costs(workspace, state)
    assert costs is not None and len(costs.networks) == 1
    expected = 0.0
    for fold in workspace.inputs.folds:
        counts = workspace.inputs.dataset.counts(fold.train)
        assert len(set(counts.values())) == 2, "oversampling adds images"
        for trained in (sum(counts.values()), 2 * max(counts.values())):
            expected += (1 + 3) * (trained * 1.0 + len(fold.validation) * 0.1)
    assert costs.seconds == pytest.approx(expected)
    assert (costs.networks[0].fits, costs.networks[0].epochs, costs.unknown) == (8, 2 * 2 * (1 + 3), 0)
    assert costs.disk == 72 * 32 * 32


def test_a_frozen_backbone_reads_each_image_once(small_study: Callable[..., Study], store: Store) -> None:
    study = small_study("base.trainable=head", "test=null")
    workspace = prepare(study, store)
    state = workspace.reader.read()
    take_probes(workspace, state, lambda _: replace(PROBE, extract=2.0, feature_bytes=10))
    costs = study_costs(workspace, state)
    assert costs is not None
    assert costs.networks[0].extraction == 72 * 2.0, "four fits, one extraction"
    assert costs.disk == 72 * 32 * 32 + 72 * 10


def test_heads_on_one_frozen_backbone_are_probed_apart_and_share_its_features(
    small_study: Callable[..., Study], store: Store
) -> None:
    heads = "stages=[{name: all, grid: {head: [dropout-gap, dropout-flatten], oversampling: [none, random]}}]"
    study = small_study("base.trainable=head", "base.epochs=1", "test=null", heads)
    workspace = prepare(study, store)
    state = workspace.reader.read()
    dear = {"dropout-gap": 1.0, "dropout-flatten": 5.0}
    take_probes(
        workspace, state, lambda s: replace(PROBE, train=dear[s.head], score=0.0, extract=2.0, feature_bytes=10)
    )
    costs = study_costs(workspace, state)
    assert costs is not None and len(costs.networks) == 2
    assert sum(cost.extraction for cost in costs.networks) == 72 * 2.0
    assert costs.disk == 72 * 32 * 32 + 72 * 10
    one, five = sorted(cost.seconds for cost in costs.networks)
    assert five == pytest.approx(5 * one)


def test_scenarios_that_only_ask_otherwise_cost_their_views_and_no_training(
    small_study: Callable[..., Study], store: Store
) -> None:
    study = small_study("stages=[{name: all, grid: {tta: [none, flip], snapshots: [1, 2]}}]", "test=null")
    workspace = prepare(study, store)
    state = workspace.reader.read()
    take_probes(workspace, state, lambda _: PROBE)
    costs = study_costs(workspace, state)
    assert costs is not None
    assert costs.networks[0].fits == 4 * 2
    assert costs.seconds == pytest.approx(
        sum(2 * (len(f.train) + 2 * len(f.validation) * 0.1) for f in workspace.inputs.folds)
    )


def test_what_is_done_costs_nothing(finished: Finished) -> None:
    workspace = prepare(finished.study, finished.store)
    assert study_costs(workspace, workspace.reader.read()) is None


def test_stages_that_wait_cost_what_their_most_expensive_winner_makes_them(
    small_study: Callable[..., Study], store: Store
) -> None:
    """A stage that waits starts from 1 or 3 epochs; the test set is scored once, by a fit on all training images."""
    stages = (
        "stages=[{name: first, grid: {epochs: [1, 3]}, select: {metric: val/accuracy}},"
        " {name: then, grid: {head: [dropout-gap, batchnorm-gap]}, select: {metric: val/accuracy}}]"
    )
    study = small_study(stages, "test={stages: [then]}")
    workspace = prepare(study, store)
    state = workspace.reader.read()
    take_probes(workspace, state, lambda _: PROBE)
    costs = study_costs(workspace, state)
    assert costs is not None and costs.unknown == 0
    a_fit = sum(len(f.train) + 0.1 * len(f.validation) for f in workspace.inputs.folds)
    assert costs.seconds == pytest.approx((1 + 3) * a_fit)
    then, test = costs.ahead
    assert (then.name, then.choices, then.fits) == ("then", 2, 2)
    assert then.seconds == pytest.approx(3 * a_fit), "the other head after the winner of 3 epochs"
    dataset = workspace.inputs.dataset
    assert (test.name, test.choices, test.fits) == ("test set, then", 4, 1)
    assert test.seconds == pytest.approx(3 * len(dataset.rows("train")) + 0.1 * len(dataset.rows("test")))
    assert costs.most_seconds == pytest.approx(costs.seconds + then.seconds + test.seconds)


def test_several_refits_cost_several_fits(small_study: Callable[..., Study], store: Store) -> None:
    costs = []
    for refits in (1, 3):
        study = small_study(
            "stages=[{name: all, select: {metric: val/accuracy}}]", f"test={{stages: [all], refits: {refits}}}"
        )
        workspace = prepare(study, store)
        state = workspace.reader.read()
        take_probes(workspace, state, lambda _: PROBE)
        found = study_costs(workspace, state)
        assert found is not None
        costs += found.ahead
    one, three = costs
    assert (one.fits, three.fits) == (1, 3)
    assert three.seconds == pytest.approx(3 * one.seconds)


def test_networks_of_stages_that_wait_are_probed_too(small_study: Callable[..., Study], store: Store) -> None:
    stages = (
        "stages=[{name: first, select: {metric: val/accuracy}},"
        " {name: then, grid: {backbone: [test_resnet, test_efficientnet]}}]"
    )
    workspace = prepare(small_study(stages, "test=null"), store)
    probed: list[str] = []

    def probe_of(settings: ResolvedSettings) -> Probe:
        probed.append(settings.backbone)
        return PROBE

    take_probes(workspace, workspace.reader.read(), probe_of)
    assert probed == ["test_resnet", "test_efficientnet"]


@pytest.mark.parametrize("trainable", ["all", "last-1", "head"])
def test_a_probe_measures_the_real_loop(trainable: str, tmp_path: Path) -> None:
    settings = ResolvedSettings(backbone="test_resnet", weights="pretrained", trainable=trainable, image_size=32)
    found = probe(settings, 2, torch.device("cpu"), "a machine")
    assert found.train > 0 and found.score > 0
    assert (found.extract > 0) == (found.feature_bytes > 0) == (trainable == "head")
    assert 2**26 < found.memory < 2**35, "bytes of a process with torch"
    store = Store(tmp_path / "store")
    study_probe = {"key": found}
    save_probes(store, study_probe)
    assert load_probes(store) == study_probe


@pytest.mark.parametrize("head", ["logistic", "knn"])
def test_a_head_that_learns_in_one_go_is_timed_in_a_fit(head: str) -> None:
    settings = ResolvedSettings(backbone="test_resnet", weights="none", trainable="head", head=head, image_size=32)
    found = probe(settings, 2, torch.device("cpu"), "a machine")
    assert min(found.train, found.score, found.extract) > 0
    assert (found.images, found.network) == (PROBED_VECTORS, f"test_resnet, {head} trained, 32 px")


def test_a_gpu_is_initialised_before_its_memory_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before that, CUDA refuses the number of a device: "Invalid device argument"."""
    called: list[str] = []
    for name in ("init", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: called.append(name))
    _reset_peak(torch.device("cuda:0"))
    assert called == ["init", "reset_peak_memory_stats"]
