"""Mistakes in the captured step of a stack: the simulated device must notice each."""

from collections.abc import Callable

import pytest
import torch

from harness.store.results import FoldResult
from harness.study.plan import Job
from harness.training.context import Context
from harness.training.fit_stack import _Stack
from harness.training.optimizers import StackedOptimizer
from harness.training.run import run_jobs
from tests.gpu.fits import StudyOf, apart, cuda_case, fitted, result, silent
from tests.gpu.simulation.log import LOG

Case = tuple[list[Job], Context, list[FoldResult]]
Patch = pytest.MonkeyPatch

STEP, CAPTURED, OPTIMIZE = _Stack._step, _Stack._captured, StackedOptimizer.step


@pytest.fixture(scope="module")
def case(small_study: StudyOf, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Four fits of unequal lengths, and what each gives alone."""
    study = small_study(
        "base.trainable=head", "base.learning_rate=0.01", "base.batch_size=10", "base.head=batchnorm-gap", "test=null",
        "stages=[{name: all, grid: {oversampling: [none, random]}}]",
    )  # fmt: skip
    context, jobs = cuda_case(study, tmp_path_factory.mktemp("store"), stack=True)
    return jobs, context, [fitted(job, context) for job in jobs]


def agrees(case: Case) -> bool:
    """Whether the fits of a stack are those alone, and the device refused nothing."""
    jobs, context, alone = case
    LOG.clear()
    try:
        together = [result(found) for found in run_jobs(jobs, context, silent)]
    except RuntimeError:
        assert LOG.errors
    if LOG.errors:
        return False
    assert all(len(found.record.facts.stack) == len(jobs) for found in together)
    return all(apart(*pair) < 1e-6 for pair in zip(together, alone, strict=True))


def test_without_a_mistake_they_agree(case: Case) -> None:
    assert agrees(case)


def before_the_step(monkeypatch: Patch, mistake: Callable[[_Stack], object]) -> None:
    def step(self: _Stack) -> None:
        mistake(self)
        STEP(self)

    monkeypatch.setattr(_Stack, "_step", step)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda stack: int(stack._at), "not permitted when stream is capturing"),
        (lambda stack: torch.tensor([1.0], device=stack._device), "not permitted when stream is capturing"),
        (lambda stack: stack._hits + torch.ones(len(stack._hits)), "on the same device"),
        (
            lambda stack: torch.empty(3, device=stack._device).bernoulli_(0.5, generator=torch.Generator("cuda")),
            "not registered",
        ),
    ],
    ids=["a host sync", "a pageable copy", "an operand on the CPU", "a generator that is not registered"],
)
def test_what_no_capture_permits_is_refused(
    case: Case, monkeypatch: Patch, mistake: Callable[[_Stack], object], words: str
) -> None:
    before_the_step(monkeypatch, mistake)
    assert not agrees(case)
    assert any(words in error for error in LOG.errors)


def test_a_step_count_in_python_is_baked_in(case: Case, monkeypatch: Patch) -> None:
    counts: dict[int, int] = {}

    def step(self: StackedOptimizer, gradients: list[torch.Tensor], rates: torch.Tensor, active: torch.Tensor) -> None:
        counts[id(self)] = counts.get(id(self), 0) + 1
        OPTIMIZE(self, gradients, rates, active)
        self._steps.fill_(counts[id(self)])

    monkeypatch.setattr(StackedOptimizer, "step", step)
    assert not agrees(case)


def test_a_step_of_the_warm_up_that_is_left_in_is_seen(case: Case, monkeypatch: Patch) -> None:
    def captured(self: _Stack) -> Callable[[], None]:
        replay = CAPTURED(self)
        STEP(self)
        for buffer in (self._at, self._losses, self._hits):
            buffer.zero_()
        return replay

    monkeypatch.setattr(_Stack, "_captured", captured)
    assert not agrees(case)


def test_a_buffer_that_is_rebound_in_the_step_is_freed_memory(case: Case, monkeypatch: Patch) -> None:
    def step(self: _Stack) -> None:
        STEP(self)
        self._hits = self._hits.clone()

    monkeypatch.setattr(_Stack, "_step", step)
    assert not agrees(case)
    assert any("uses freed memory" in error for error in LOG.errors)
