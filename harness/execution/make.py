"""Make the executor that the command line selects."""

from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.execution.compute import Compute
from harness.execution.executor import Executor
from harness.execution.inline import InlineExecutor
from harness.execution.schedule import CostEstimate, by_epochs

if TYPE_CHECKING:
    from harness.execution.ray import RayExecutor


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
