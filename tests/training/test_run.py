"""Heads fitted in one loop, compared with the same fits one after the other."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.errors import JobError
from harness.execution.compute import Compute
from harness.execution.inline import InlineExecutor
from harness.execution.progress import Reporter
from harness.models.names import STACKED_HEADS
from harness.reproduce import reproduce
from harness.runner import run_study
from harness.store import Store
from harness.store.results import FoldResult, Metrics
from harness.study import Study
from harness.study.allowed import LOSSES
from harness.study.plan import Job, pools_of
from harness.training import run as run_module
from harness.training.context import Context
from harness.training.fit_stack import fit_stack
from harness.training.run import run_jobs, stacks
from tests.conftest import context_of, runs_of
from tests.execution.conftest import run

FROZEN = ("base.trainable=head", "base.epochs=3", "base.learning_rate=0.01", "base.batch_size=10", "test=null")
GRID = f"{{head: [{', '.join(STACKED_HEADS)}], oversampling: [none, random], learning_rate: [0.01, 0.03]}}"
CLOSE = 1e-4

StudyOf = Callable[..., Study]
Case = tuple[Context, list[Job]]


def silent(_job: str, _epoch: int, _metrics: Metrics) -> None:
    pass


def frozen(small_study: StudyOf, *overrides: str, grid: str = GRID) -> Study:
    return small_study(*FROZEN, f"stages=[{{name: all, grid: {grid}}}]", *overrides)


@pytest.fixture
def case(small_study: StudyOf, store: Store) -> Case:
    """All heads, with and without oversampling, at two learning rates, on two folds: 8 unequal fits each."""
    context, jobs = context_of(frozen(small_study), store)
    return replace(context, stack=True, pools=pools_of(jobs)), jobs


def agree(stacked: FoldResult | Exception, alone: FoldResult | Exception) -> None:
    assert isinstance(stacked, FoldResult) and isinstance(alone, FoldResult)
    assert len(stacked.record.history) == len(alone.record.history)
    for epoch, same in zip(stacked.record.history, alone.record.history, strict=True):
        assert epoch == pytest.approx(same, abs=CLOSE)
    assert stacked.record.metrics == pytest.approx(alone.record.metrics, abs=CLOSE)
    assert stacked.record.class_counts == alone.record.class_counts
    ours, theirs = (frame.filter(like="prob_").to_numpy() for frame in (stacked.predictions, alone.predictions))
    np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_every_fit_of_a_stack_agrees_with_the_fit_alone(case: Case) -> None:
    context, jobs = case
    steps = defaultdict(set)
    for stack in stacks(jobs, context):
        for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
            agree(ours, run_jobs([job], context, silent)[0])
            assert isinstance(ours, FoldResult)
            assert ours.record.facts.stack == tuple(other.id for other in stack)
            steps[stack].add(sum(ours.record.class_counts["after"].values()) // 10)
    assert [len(stack) for stack in stacks(jobs, context)] == [8] * len(STACKED_HEADS)
    assert all(len(lengths) > 1 for lengths in steps.values()), "all fits have as many batches: a part is not tested"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("select_epoch", ["last", "best"])
def test_every_optimizer_and_selection_agrees_too(
    small_study: StudyOf, store: Store, optimizer: str, select_epoch: str
) -> None:
    grid = "{head: [dropout-flatten, batchnorm-gap], weight_decay: [0.0, 0.1]}"
    overrides = (f"base.optimizer={optimizer}", f"base.select_epoch={select_epoch}")
    context, jobs = context_of(frozen(small_study, *overrides, grid=grid), store)
    for stack in stacks(jobs, replace(context, stack=True)):
        assert len(stack) == 4
        for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
            agree(ours, run_jobs([job], context, silent)[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_agrees_too_each_fit_with_the_class_counts_of_its_own(
    small_study: StudyOf, store: Store, loss: str
) -> None:
    grid = "{head: [batchnorm-gap], oversampling: [none, random]}"
    context, jobs = context_of(frozen(small_study, f"base.loss={loss}", grid=grid), store)
    (stack,) = stacks(jobs, replace(context, stack=True))
    for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
        agree(ours, run_jobs([job], context, silent)[0])


def test_every_fit_of_a_stack_has_the_rates_of_its_own_schedule(small_study: StudyOf, store: Store) -> None:
    grid = "{head: [batchnorm-gap], oversampling: [none, random], schedule: [constant, cosine, step], warmup: [0, 1.5]}"
    context, jobs = context_of(frozen(small_study, grid=grid), store)
    (stack,) = stacks(jobs, replace(context, stack=True))
    for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
        agree(ours, run_jobs([job], context, silent)[0])


def test_a_last_image_alone_joins_the_batch_before_in_a_stack_too(small_study: StudyOf, store: Store) -> None:
    context, _ = context_of(frozen(small_study), store)
    batch = len(context.folds[0, 0].train) - 1
    context, jobs = context_of(
        frozen(small_study, f"base.batch_size={batch}", grid="{head: [batchnorm-gap, dropout-gap]}"), store
    )
    for stack in stacks(jobs, replace(context, stack=True)):
        for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
            agree(ours, run_jobs([job], context, silent)[0])


def test_the_epochs_of_every_fit_are_reported_in_order(case: Case) -> None:
    context, jobs = case
    reported: dict[str, list[tuple[int, Metrics]]] = defaultdict(list)
    stack = stacks(jobs, context)[0]
    results = run_jobs(stack, context, lambda job, epoch, metrics: reported[job].append((epoch, metrics)))
    for result in results:
        assert isinstance(result, FoldResult)
        assert reported[result.record.job_id] == [*enumerate(result.record.history, start=1)]


def test_the_features_are_made_once_and_counted_once(case: Case) -> None:
    context, jobs = case
    passes = [
        result.record.facts.backbone_passes
        for stack in stacks(jobs, context)
        for result in run_jobs(stack, context, silent)
        if isinstance(result, FoldResult)
    ]
    assert len(passes) == 8 * len(STACKED_HEADS)
    assert sum(count or 0 for count in passes) == len(context.dataset.rows("train"))


def test_a_loss_that_is_not_finite_is_the_failure_of_one_fit(small_study: StudyOf, store: Store) -> None:
    grid = "{head: [batchnorm-flatten], learning_rate: [0.01, 1.0e+30]}"
    context, jobs = context_of(frozen(small_study, grid=grid), store)
    ran = run(InlineExecutor(), jobs, replace(context, stack=True))
    for job in jobs:
        outcome = ran.outcomes[job.id]
        if job.scenario.settings.learning_rate > 1:
            assert isinstance(outcome, JobError)
            assert "the loss is " in outcome.reason or "not finite" in outcome.reason
            assert "Traceback" in outcome.details
        else:
            agree(ran.result(job), run_jobs([job], context, silent)[0])


def test_a_stack_too_large_for_the_memory_goes_in_halves(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    context, jobs = case
    sizes: list[int] = []
    whole = fit_stack

    def small_device(heads: list[object], *arguments: object) -> object:
        sizes.append(len(heads))
        if len(heads) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(heads, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "fit_stack", small_device)
    stack = stacks(jobs, context)[0]
    results = run_jobs(stack, context, silent)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    for job, ours in zip(stack, results, strict=True):
        agree(ours, run_jobs([job], context, silent)[0])


def test_what_is_stacked(case: Case) -> None:
    context, jobs = case
    assert sorted(job.id for stack in stacks(jobs, context) for job in stack) == sorted(job.id for job in jobs)
    assert stacks(jobs, replace(context, stack=False)) == [(job,) for job in jobs]
    for changes in ({"trainable": "all"}, {"head": "my_head.Own"}):
        settings = jobs[0].scenario.settings.model_copy(update=changes)
        others = [replace(job, scenario=replace(job.scenario, settings=settings)) for job in jobs[:4]]
        assert stacks(others, context) == [(job,) for job in others]
    tests = [replace(job, evaluate="test") for job in jobs]
    assert stacks(tests, context) == [(job,) for job in tests], "a test job's model must give the same bits anywhere"
    assert [len(stack) for stack in stacks(jobs[:2] * 100, context)] == [128, 72]


def test_a_stacked_study_is_reproduced_bit_for_bit(small_study: StudyOf, store: Store) -> None:
    study = frozen(small_study, grid="{head: [dropout-gap], oversampling: [none, random]}")
    with Reporter() as reporter:
        assert not run_study(study, store, "cpu", reporter, compute=Compute(stack="on")).failed
    folds = runs_of(store, "fold")
    assert len({tuple(sorted(fold.data.tags["harness.stack"].split())) for fold in folds}) == 1
    for fold in folds[:2]:
        assert reproduce(fold.info.run_id, store, "cpu", Reporter()).identical


@pytest.mark.gpu
def test_captured_steps_agree_with_the_fits_alone_on_a_gpu(case: Case) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    context, jobs = case
    context = replace(context, device="cuda")
    for stack in stacks(jobs, context):
        for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
            agree(ours, run_jobs([job], context, silent)[0])
