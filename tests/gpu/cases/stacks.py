"""Heads in one captured step."""

from pathlib import Path

import pytest

from harness.models.names import STACKED_HEADS
from harness.training.run import run_jobs, stacks
from tests.gpu.fits import StudyOf, apart, cuda_case, fitted, result, silent
from tests.gpu.simulation.log import LOG

FROZEN = ("base.trainable=head", "base.epochs=3", "base.learning_rate=0.01", "base.batch_size=10", "test=null")


def grid(*heads: str) -> str:
    return (
        f"stages=[{{name: all, grid: {{head: [{', '.join(heads)}], oversampling: [none, random],"
        " weight_decay: [0.0, 0.1]}}]"
    )


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_fit_of_a_captured_stack_agrees_with_the_fit_alone(
    small_study: StudyOf, tmp_path: Path, optimizer: str
) -> None:
    study = small_study(*FROZEN, grid(*STACKED_HEADS), f"base.optimizer={optimizer}")
    context, jobs = cuda_case(study, tmp_path, stack=True)
    LOG.clear()
    for stack in stacks(jobs, context):
        for job, ours in zip(stack, run_jobs(stack, context, silent), strict=True):
            ours = result(ours)
            assert ours.record.facts.stack == tuple(other.id for other in stack)
            assert apart(ours, fitted(job, context)) < 1e-6
    assert len(LOG.captures) == len(STACKED_HEADS) and min(LOG.captures) > 20
    assert not LOG.races
