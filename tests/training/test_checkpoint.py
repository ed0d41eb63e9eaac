import hashlib
import os
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from harness.store import Store
from harness.store.results import FoldResult, Metrics
from harness.study import Study
from harness.study.allowed import CROSS_ENTROPY, LOSSES
from harness.training.checkpoint import Checkpoints, JobProgress
from harness.training.job import run_job
from harness.training.learner import Learner
from tests.conftest import context_of

ABOUT = {"torch": torch.__version__}


class Killed(BaseException):
    """The end of a fit in its middle."""


def stopped_after(epochs: int) -> Callable[[str, int, Metrics], None]:
    def on_epoch(_job: str, epoch: int, _metrics: Metrics) -> None:
        if epoch > epochs:
            raise Killed

    return on_epoch


def same(first: FoldResult, second: FoldResult) -> None:
    assert first.record.history == second.record.history
    assert first.record.metrics == second.record.metrics
    assert first.record.selected_epoch == second.record.selected_epoch
    assert first.model == second.model
    pd.testing.assert_frame_equal(first.predictions, second.predictions, check_exact=True)


@pytest.mark.parametrize(
    "overrides",
    [
        ("base.optimizer=adam",),
        ("base.optimizer=adamw", "base.select_epoch=best"),
        ("base.optimizer=sgd",),
        *[(f"base.loss={loss}",) for loss in LOSSES if loss != CROSS_ENTROPY],
        ("base.schedule=cosine", "base.warmup=1.5"),
        ("base.ema=0.8", "base.clip=0.5"),
        ("base.head_epochs=2", "base.ema=0.5"),
        ("base.stop_patience=50", "base.ema=0.5", "base.learning_rate=0.05"),
        ("base.mixup=0.4", "base.cutmix=1", "base.label_smoothing=0.1"),
        ("base.optimizer=lamb", "base.schedule=linear"),
        ("base.layer_decay=0.7", "base.schedule=cosine", "base.drop_path=0.3"),
        (  # all that can be on together
            "base.augment=flip+randaugment",
            "base.oversampling=random",
            "base.undersampling=random",
            "base.oversampling_ratio=0.9",
            "base.prior_correction=on",
            "base.mixup=0.4",
            "base.cutmix=1",
            "base.label_smoothing=0.1",
            "base.optimizer=adamw",
            "base.weight_decay=0.05",
            "base.layer_decay=0.7",
            "base.drop_path=0.3",
            "base.schedule=cosine",
            "base.warmup=1",
            "base.clip=0.5",
            "base.ema=0.8",
            "base.head_epochs=1",
            "base.tta=flip",
            "base.snapshots=2",
        ),
        ("base.trainable=lora-4", "base.backbone=test_vit", "base.layer_decay=0.7", "base.drop_path=0.3"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_a_fit_that_goes_on_from_a_checkpoint_ends_bit_for_bit_as_one_that_was_not_stopped(
    store: Store, small_study: Callable[..., Study], overrides: tuple[str, ...]
) -> None:
    plain, (job, *_) = context_of(small_study("base.epochs=4", *overrides), store)
    context = replace(plain, checkpoints=store.checkpoints, checkpoint_every=1)
    with pytest.raises(Killed):
        run_job(job, context, stopped_after(2))
    files = sorted((store.checkpoints / job.id).iterdir())
    assert [file.name[:6] for file in files] == ["000001", "000002"]
    reported: list[int] = []
    resumed = run_job(job, context, lambda _job, epoch, _metrics: reported.append(epoch))
    assert reported == [1, 2, 3, 4]
    assert len(list((store.checkpoints / job.id).iterdir())) == 2
    same(run_job(job, plain, lambda *_: None), resumed)


def test_the_seconds_before_a_checkpoint_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("harness.training.checkpoint.time.monotonic", lambda: now)
    learner = small()
    for epoch, seconds in enumerate((20.0, 30.0), start=1):  # of two processes
        checkpoints = Checkpoints(tmp_path, 1, ABOUT)
        checkpoints.load(learner, ["a"])
        now += seconds
        checkpoints.save(learner, {"a": JobProgress([{"loss": 1.0}] * epoch)})
    third = Checkpoints(tmp_path, 1, ABOUT)
    third.load(learner, ["a"])
    assert third.earlier_seconds == 50.0


def test_a_checkpoint_of_another_torch_build_or_device_is_not_used(tmp_path: Path) -> None:
    learner = small()
    Checkpoints(tmp_path, 1, ABOUT).save(learner, {"a": JobProgress([{"loss": 1.0}])})
    assert Checkpoints(tmp_path, 1, ABOUT).load(learner, ["a"]) == [JobProgress([{"loss": 1.0}])]
    assert Checkpoints(tmp_path, 1, {"torch": "0"}).load(learner, ["a"]) == [JobProgress()]


def small() -> Learner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.rand(8, 4)).sum().backward()
    optimizer.step()
    return Learner(model, optimizer)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two checkpoints, of the epochs 1 and 2."""
    learner = small()
    checkpoints = Checkpoints(tmp_path, 1, ABOUT)
    for epochs in (1, 2):
        checkpoints.save(learner, {"a": JobProgress([{"loss": 0.1}] * epochs)})
    return sorted(tmp_path.iterdir())


def epochs_in(folder: Path) -> int:
    return len(Checkpoints(folder, 1, ABOUT).load(small(), ["a"])[0].epochs)


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.5, 0.9, 0.99, 1])
def test_a_checkpoint_cut_anywhere_is_refused_and_the_one_before_is_used(two: list[Path], share: float) -> None:
    content = two[1].read_bytes()
    assert epochs_in(two[1].parent) == 2
    two[1].write_bytes(content[: min(int(len(content) * share), len(content) - 1)])
    assert epochs_in(two[1].parent) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_checkpoint_with_a_flipped_byte_is_refused_and_the_one_before_is_used(two: list[Path], seed: int) -> None:
    content = two[1].read_bytes()
    place = random.Random(seed).randrange(len(content))
    two[1].write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert epochs_in(two[1].parent) == 1
    two[0].write_bytes(b"")
    assert epochs_in(two[1].parent) == 0


@pytest.mark.parametrize(
    "content", [pickle.dumps({"x": 1}), b"", b"\x05" + bytes(7) + b"[1,2]", b"\2" + bytes(7) + b"{}"]
)
def test_what_is_no_checkpoint_is_passed_over_even_under_the_name_of_its_own_hash(
    two: list[Path], content: bytes
) -> None:
    (two[1].parent / f"000003-{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(content)
    assert epochs_in(two[1].parent) == 2


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_save_that_is_broken_off_leaves_the_checkpoints_before(
    two: list[Path], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any) -> None:
        raise Killed

    before = {file: file.read_bytes() for file in two}
    with monkeypatch.context() as patch:
        patch.setattr(os if broken == "fsync" else Path, broken, fail)
        with pytest.raises(Killed):
            Checkpoints(two[0].parent, 1, ABOUT).save(small(), {"a": JobProgress([{"loss": 0.1}] * 3)})
    assert {file: file.read_bytes() for file in two[0].parent.iterdir()} == before


def test_without_a_number_a_checkpoint_is_due_after_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path / "made", None, ABOUT)
    now = 1059.0
    checkpoints.save(small(), {"a": JobProgress([{"loss": 0.1}])})
    assert not (tmp_path / "made").exists()
    now = 1060.0
    checkpoints.save(small(), {"a": JobProgress([{"loss": 0.1}] * 2)})
    assert epochs_in(tmp_path / "made") == 2


def test_no_checkpoint_is_made_where_none_is_asked_for(tmp_path: Path) -> None:
    Checkpoints(None, 1, ABOUT).save(small(), {"a": JobProgress([{"loss": 0.1}])})
    assert list(tmp_path.iterdir()) == []
