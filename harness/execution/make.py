"""Make the executor that the command line selects."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.data.inputs import Workspace
from harness.errors import HarnessError
from harness.execution.compute import Compute
from harness.execution.durations import durations
from harness.execution.executor import Executor
from harness.execution.inline import InlineExecutor
from harness.execution.schedule import CostEstimate, by_epochs
from harness.study.state import StudyState
from harness.training.preflight import require_usable

if TYPE_CHECKING:
    from harness.execution.ray import RayExecutor

DEVICE = "auto|cpu|mps|cuda(:[0-9]+)?"


def executor_for(
    workspace: Workspace, state: StudyState, compute: Compute, device: str, say: Callable[[str], None]
) -> tuple[Executor, str]:
    """Return the executor for what a study lacks, and the device of its fits. A finished one loads no torch for it.

    Raises HarnessError where the device is not there, or a network or a head cannot be used.
    """
    if state.finished:
        if not re.fullmatch(DEVICE, device):
            raise HarnessError(f"--device {device}: allowed: auto, cpu, cuda, cuda:N, mps")
        return InlineExecutor(), device
    if compute.executor != "ray":  # the devices of a cluster are not this machine's
        from harness.training.device import choose_device

        device = str(choose_device(device))
    require_usable(workspace, "cpu" if compute.executor == "ray" else device, say)
    return make_executor(compute, device, durations(state.stages))


def make_executor(compute: Compute, device: str, estimate: CostEstimate = by_epochs) -> tuple[Executor, str]:
    """Make the executor; also return the device of its fits, which for `auto` depends on the cluster."""
    if compute.executor == "ray":
        ray = _ray_executor(compute, device, estimate)
        return ray, ray.device
    from harness.training.device import spread_devices, worker_count

    workers = compute.workers or worker_count(device, compute.threads, compute.jobs_per_device)
    if compute.executor == "inline" or (compute.executor == "auto" and workers == 1):
        return InlineExecutor(), device
    from harness.execution.process import ProcessExecutor

    return ProcessExecutor(spread_devices(device, workers), estimate), device


def _ray_executor(compute: Compute, device: str, estimate: CostEstimate) -> "RayExecutor":
    try:
        from harness.execution.ray import RayExecutor
    except ModuleNotFoundError:
        raise HarnessError("--executor ray: Ray is not installed; pip install '.[ray]'") from None
    return RayExecutor(compute, device, estimate)
