"""Losses and optimizers of the user's own: fitted, in the ids, and refused before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from harness.data.inputs import Workspace
from harness.errors import HarnessError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.study.settings import Settings
from harness.training.losses import make_loss
from harness.training.optimizers import make_optimizer
from harness.training.preflight import check_networks, check_own_parts
from harness.training.task import FitJob, Task
from tests.conftest import run_in, small_study_beside

PARTS = """\
import torch
from torch import nn
from torch.nn.functional import cross_entropy


class Same(nn.Module):
    def forward(self, logits, labels):
        return cross_entropy(logits, labels, reduction="none")


class Focal(nn.Module):
    def forward(self, logits, labels):
        each = cross_entropy(logits, labels, reduction="none")
        return ((1 - torch.exp(-each)) ** 2 * each).mean()


class SlowAdam(torch.optim.Adam):
    def __init__(self, parameters, lr, weight_decay):
        super().__init__(parameters, lr=lr / 100, weight_decay=weight_decay)
"""
StudyWith = Callable[..., Study]


@pytest.fixture
def study_with(tmp_path: Path) -> StudyWith:
    """Gives a small study of a frozen backbone next to my_parts.py, with `KEY=VALUE` overrides."""
    overrides = ("test=null", "base.trainable=head", "base.epochs=1")
    return lambda source, *more: small_study_beside(tmp_path / "my_parts.py", source, *overrides, *more)


def stage(factor: str, *levels: str) -> str:
    return f"stages=[{{name: parts, grid: {{{factor}: [{', '.join(levels)}]}}}}]"


@pytest.mark.slow
def test_a_loss_and_an_optimizer_are_fitted_and_their_source_is_part_of_the_ids(
    study_with: StudyWith, store: Store
) -> None:
    levels = ("cross-entropy", "my_parts:Focal", "{name: cross-entropy, optimizer: my_parts:SlowAdam}")
    study = study_with(PARTS, stage("loss", *levels))
    run = run_in(study, store).run
    assert run.failed == 0
    plain, focal, slow = run.state.stages[0].scenarios
    assert slow.name == "cross-entropy (optimizer=my_parts:SlowAdam)"
    losses = [s.summary["train/loss_mean"] for s in (plain, focal)]
    assert losses[1] < losses[0] / 2, "a focal loss of two classes is about a quarter of the cross-entropy at first"
    assert prepare(study, store).reader.read().finished
    changed = prepare(study_with(PARTS + "# changed\n", stage("loss", *levels)), store).reader.read()
    assert [s.finished for s in changed.scenarios] == [True, False, False]


def test_they_compute_what_their_classes_say() -> None:
    settings = Settings(backbone="b", loss="my_parts:Same", optimizer="my_parts:SlowAdam", learning_rate=0.5)
    sources = dict.fromkeys((settings.loss, settings.optimizer), PARTS)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    rows = np.arange(len(labels))
    job = FitJob(Task(labels, rows, rows, None, True), settings, 0, lambda *_: None, sources)
    assert make_loss(job)(logits, labels) == pytest.approx(float(cross_entropy(logits, labels)))
    optimizer = make_optimizer(nn.Linear(2, 2), settings, PARTS)
    assert type(optimizer).__name__ == "SlowAdam" and optimizer.param_groups[0]["lr"] == 0.005


COMPUTED = 'return cross_entropy(logits, labels, reduction="none")'
REFUSED = [
    ("loss", "def forward(self, logits, labels)", "def forward(self, logits)", "Same", "TypeError: .* torch.nn.Module"),
    ("loss", COMPUTED, "return 1.0", "Same", "returns a float"),
    ("loss", COMPUTED, "return logits", "Same", r"shape \[4, 2\]"),
    ("loss", COMPUTED, "return logits.mean() / 0", "Same", "not finite"),
    ("loss", "forward(self, logits, labels):", "__init__(self, logits, labels):", "Same", "TypeError"),
    ("optimizer", "lr, weight_decay):", "lr):", "SlowAdam", "TypeError: .* a torch.optim.Optimizer made by SlowAdam"),
    ("optimizer", "class SlowAdam(torch.optim.Adam):", "class SlowAdam(dict):", "SlowAdam", "TypeError|no torch.optim"),
    ("optimizer", "lr=lr / 100", "lr=0.0", "SlowAdam", "its step changes nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "old", "new", "name", "message"), REFUSED)
def test_what_does_not_fit_is_refused_at_the_plan_in_one_line(
    study_with: StudyWith, store: Store, part: str, old: str, new: str, name: str, message: str
) -> None:
    assert old in PARTS
    study = study_with(PARTS.replace(old, new), stage(part, f"my_parts:{name}"))
    workspace: Workspace = prepare(study, store)
    networks = check_networks(study, workspace.inputs.digests, store)
    with pytest.raises(
        HarnessError, match=rf"stages\[0\]\.grid\.{part}\[0\]: my_parts\.py cannot be used: .*{message}"
    ) as e:
        check_own_parts(workspace, networks, "cpu")
    assert "\n" not in str(e.value)


def test_a_class_that_is_not_there_is_refused_with_those_that_are(study_with: StudyWith, store: Store) -> None:
    with pytest.raises(StudyError, match="no class Foccal; it has: Same, Focal, SlowAdam"):
        prepare(study_with(PARTS, "base.loss=my_parts:Foccal"), store)
    with pytest.raises(StudyError, match=r"base\.optimizer: no parts\.py in .* a custom optimizer is module:Class"):
        prepare(study_with(PARTS, "base.optimizer=parts:SlowAdam"), store)
