"""Fits whose first way breaks down are made in a plainer one, and say so."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from harness.execution.progress import Reporter
from harness.store import Store
from harness.study import Study
from harness.study.plan import Job
from harness.training import network
from harness.training import run as run_module
from harness.training.context import Context
from harness.training.device import deterministic, is_out_of_memory, within_memory
from harness.training.job import run_job
from harness.training.run import run_jobs, stacks
from harness.training.ways import Way, first_that_works
from tests.conftest import context_of

CUDNN = "GET was unable to find an engine to execute this computation"


def silent(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def case(new_store: Callable[[], Store], small_study: Callable[..., Study]) -> tuple[Context, list[Job]]:
    return context_of(small_study("base.epochs=1"), new_store())


def no_compiler(*_: object) -> None:
    raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable")


def test_without_a_compiler_a_fit_is_made_eagerly_and_says_so(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, (job, *_) = case
    expected = run_job(job, context, silent)
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **given: compile_(f, backend=no_compiler, **given))
    monkeypatch.setattr("harness.training.job.compiles", lambda *_: True)  # as auto does for a long fit on CUDA
    network._start.cache_clear()
    result = run_job(job, context, silent)
    network._start.cache_clear()
    facts = result.record.facts
    assert facts.compile == "off"
    (reason,) = facts.fallbacks
    assert reason.startswith("not compiled: ")
    assert "C compiler" in reason
    assert result.record.history == expected.record.history


def test_where_compiling_was_asked_for_the_fit_fails(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, (job, *_) = case
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **given: compile_(f, backend=no_compiler, **given))
    network._start.cache_clear()
    with pytest.raises(BackendCompilerFailed, match="C compiler"):
        run_job(job, replace(context, compile="on"), silent)
    network._start.cache_clear()


def test_a_graph_that_takes_too_much_memory_is_left_out_before_the_batch_is_made_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    tried: list[tuple[int, bool]] = []

    def attempt(size: int, way: Way) -> int:
        tried.append((size, way.capture))
        if size * (1 + way.capture) > 40:
            raise RuntimeError(CUDNN)
        return size

    found, size = within_memory(
        lambda size: first_that_works(lambda way: attempt(size, way), Way(True, False), must_compile=False), 32
    )
    assert tried == [(32, True), (32, False)]
    assert (found[0], size) == (32, 32)
    assert found[1].fallbacks == ("not captured: too little memory for a graph",)


def test_memory_errors_of_cudnn_and_cublas_count_as_such() -> None:
    for words in (CUDNN, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED when calling"):
        assert is_out_of_memory(RuntimeError(words))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(lambda _: torch.zeros(2, 3) @ torch.zeros(2, 3), 64)


def test_a_stack_that_breaks_down_loses_no_fit(
    small_study: Callable[..., Study], store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = small_study("base.trainable=head", "base.epochs=1", "test=null")
    context, jobs = context_of(study, store)
    (stack, *_) = stacks(jobs, replace(context, stack=True))
    assert len(stack) > 1

    def refused(*_: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore words; and more")

    monkeypatch.setattr(run_module, "fit_stack", refused)
    reporter = Reporter()
    reporter.begin("stage", list(stack))
    for job, result in zip(stack, run_jobs(stack, replace(context, stack=True), silent), strict=True):
        assert not isinstance(result, Exception)
        assert result.record.history == run_job(job, context, silent).record.history
        (reason,) = result.record.facts.fallbacks
        assert reason == "not stacked: RuntimeError: CUDA error: operation not permitted when stream is capturing"
        assert type(result.record).from_json(result.record.to_json()) == result.record
        reporter.job_started(job)
        reporter.job_ended(job, result.record)
    assert capsys.readouterr().err.count("not stacked: RuntimeError: CUDA error") == 1, "said once"


def test_a_job_that_fails_alone_too_is_the_only_one(
    small_study: Callable[..., Study], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, jobs = context_of(small_study("base.trainable=head", "base.epochs=1", "test=null"), store)
    (stack, *_) = stacks(jobs, replace(context, stack=True))
    alone = run_job

    def one_fails(job: Job, *rest: object) -> object:
        if job is stack[0]:
            raise ValueError("this one")
        return alone(job, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "fit_stack", lambda *_: [][0])
    monkeypatch.setattr(run_module, "run_job", one_fails)
    first, *others = run_jobs(stack, replace(context, stack=True), silent)
    assert str(first) == "this one"
    assert not any(isinstance(other, Exception) for other in others)


@pytest.mark.slow
def test_every_backbone_of_a_process_is_compiled(
    case: tuple[Context, list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch counts the compilations of one function, `Backbone.forward`, and stops after some, here two."""
    from torch._dynamo.testing import CompileCounter

    context, (job, *_) = case
    counter, compile_ = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **given: compile_(f, backend=counter, **given))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)  # other packages raise it
    for seed in range(4):
        run_job(job, replace(context, compile="on", seed=seed), silent)
    network._start.cache_clear()
    assert counter.frame_count == 4


SETTINGS = ((torch.backends.cudnn, "allow_tf32"), (torch.utils.deterministic, "fill_uninitialized_memory"))


@pytest.mark.parametrize(("module", "name"), SETTINGS)
def test_settings_of_torch_come_back(module: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, True)
    with deterministic(1):
        assert getattr(module, name) is False
    assert getattr(module, name) is True
