"""Parts of the check and of the cases: fits of a study on the device, and how far apart two are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.execution.compute import Compute
from harness.execution.fitter import make_context
from harness.prepare import prepare
from harness.store import Store
from harness.store.results import FoldResult
from harness.study import Study
from harness.study.plan import Job
from harness.training.context import Context
from harness.training.run import run_jobs

StudyOf = Callable[..., Study]


def silent(_job: str, _epoch: int, _metrics: dict[str, float]) -> None:
    pass


class Killed(BaseException):
    """The end of a fit in its middle."""


def stopped_after(epochs: int) -> Callable[[str, int, dict[str, float]], None]:
    """A callback that ends a fit in a later epoch."""

    def on_epoch(_job: str, epoch: int, _metrics: dict[str, float]) -> None:
        if epoch > epochs:
            raise Killed

    return on_epoch


def cuda_case(study: Study, folder: Path, **changes: Any) -> tuple[Context, list[Job]]:
    """The context of a study on the GPU, and the jobs of its first stage, which are not stacked."""
    workspace = prepare(study, Store(folder))
    context = make_context(workspace, "cuda", lambda *_: None, Compute(stack="off"))
    return replace(context, **changes), workspace.reader.stage(study.stages[0], None).missing


def fitted(job: Job, context: Context) -> FoldResult:
    """The result of a fit alone."""
    return result(run_jobs([job], context, silent)[0])


def result(found: FoldResult | Exception) -> FoldResult:
    """A result that is there."""
    assert isinstance(found, FoldResult), found
    return found


def probabilities(found: FoldResult) -> np.ndarray:
    """The probabilities [n, classes] of a fit."""
    values: np.ndarray = found.predictions.filter(like="prob_").to_numpy()
    return values


def apart(one: FoldResult, other: FoldResult) -> float:
    """The largest difference of the probabilities and training metrics of two fits."""
    metrics = [
        abs(epoch[name] - same[name])
        for epoch, same in zip(one.record.history, other.record.history, strict=True)
        for name in ("train/loss", "train/accuracy")
    ]
    return max(float(np.abs(probabilities(one) - probabilities(other)).max()), *metrics)


def far(one: FoldResult, other: FoldResult) -> float:
    """The largest difference of the probabilities and losses: where rounding differs, an accuracy may jump."""
    losses = [
        abs(epoch["train/loss"] - same["train/loss"])
        for epoch, same in zip(one.record.history, other.record.history, strict=True)
    ]
    return max(float(np.abs(probabilities(one) - probabilities(other)).max()), *losses)
