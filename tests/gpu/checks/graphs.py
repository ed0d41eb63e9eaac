"""Whole steps as CUDA graphs: of one network, and of many heads."""

from collections.abc import Iterator
from dataclasses import replace

from harness.models.names import STACKED_HEADS
from harness.store.results import FoldResult
from harness.study.plan import Job
from harness.training.context import Context
from harness.training.job import run_job
from harness.training.run import run_jobs, stacks
from tests.gpu.checks.numbers import ADAPTERS
from tests.gpu.fits import apart, far, fitted, result, silent
from tests.gpu.lab import Lab, must

OPTIMIZERS = ("adam", "adamw", "sgd")
CAPTURED = (
    "base.precision=bf16", "base.precision=fp32", "base.optimizer=adamw", "base.optimizer=sgd", "base.dropout=0.9",
    "base.head=batchnorm-flatten", "base.augment=flip+affine", "base.trainable=last-1", "base.trainable=head",
    "base.batch_size=7", "base.clip=0.5", "base.ema=0.9", "base.mixup=0.4", "base.drop_path=0.3",
    "base.cutmix=1 base.label_smoothing=0.1", "base.augment=flip+randaugment", "base.head_epochs=1",
    "base.layer_decay=0.7 base.schedule=cosine base.warmup=1", "base.tta=flip+crops base.snapshots=2",
    "base.loss=class-weighted", "base.loss=focal", "base.loss=logit-adjusted", "base.recipe=modern", ADAPTERS,
)  # fmt: skip
AS_ALONE = 1e-4  # of a probability or a loss


def captured_step(lab: Lab) -> str:
    """Fits with a graph of the step, and the same kernel by kernel: the last batch of an epoch is always that."""
    differences = {}
    for setting in lab.some(CAPTURED):
        context, job, graph = lab.first(*setting.split())
        eager = run_job(job, replace(context, capture=False), silent)
        facts = graph.record.facts
        must(facts.capture == "on", f"{setting}: no step was captured: {'; '.join(facts.fallbacks) or 'no reason'}")
        must(eager.record.facts.capture is None, f"{setting}: a step was captured that should not be")
        differences[setting] = apart(graph, eager)
    return must(not any(differences.values()), f"apart by {differences}")


def stacked_heads(lab: Lab) -> str:
    """Every kind of head with every optimizer: fits in one loop, and each alone."""
    worst: dict[str, float] = {}
    for optimizer in lab.some(OPTIMIZERS):
        context, jobs = _frozen(lab, f"base.optimizer={optimizer}")
        for stack, together in _stacked(context, jobs):
            for job, ours in zip(stack, together, strict=True):
                kind = f"{optimizer} {job.scenario.settings.head}"
                worst[kind] = max(worst.get(kind, 0.0), far(ours, fitted(job, context)))
    most = max(worst, key=lambda kind: worst[kind])
    return must(worst[most] <= AS_ALONE, f"{len(worst)} kinds, at most {worst[most]:.1e} ({most}; <= {AS_ALONE:g})")


def stacks_again(lab: Lab) -> str:
    """A stack again, and half of it: what a study that is resumed would fit."""
    context, jobs = _frozen(lab)
    again, others = 0.0, 0.0
    for stack, first in _stacked(context, jobs):
        half = len(stack) // 2
        again = max(again, *map(apart, first, _results(stack, context)))
        others = max(others, *map(far, first[half:], _results(stack[half:], context)))
    words = f"again {again:.1e} (0); half of the stack gone {others:.1e} (<= {AS_ALONE:g})"
    return must(again == 0 and others <= AS_ALONE, words)


def _frozen(lab: Lab, *overrides: str) -> tuple[Context, list[Job]]:
    grid = f"head: [{', '.join(STACKED_HEADS)}], oversampling: [none, random], learning_rate: [0.01, 0.03]"
    return lab.case(
        "base.trainable=head", "base.epochs=3", f"stages=[{{name: heads, grid: {{{grid}}}}}]", *overrides, stack=True
    )


def _stacked(context: Context, jobs: list[Job]) -> Iterator[tuple[tuple[Job, ...], list[FoldResult]]]:
    """Each stack, and its fits in one loop."""
    for stack in stacks(jobs, context):
        yield stack, _results(stack, context)


def _results(stack: tuple[Job, ...], context: Context) -> list[FoldResult]:
    """The fits of a stack. Raises AssertionError where they were not fitted in one loop."""
    found = [result(each) for each in run_jobs(stack, context, silent)]
    for fit in found:
        facts = fit.record.facts
        must(len(facts.stack) == len(stack), f"not in one loop: {'; '.join(facts.fallbacks) or facts.stack}")
    return found
