"""The executor that a command asks for."""

from harness.compute import Compute
from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from harness.executors.process import ProcessExecutor
from harness.schedule import Estimate, by_epochs
from harness.training.device import spread_devices, worker_count


def make_executor(compute: Compute, device: str, estimate: Estimate = by_epochs) -> Executor:
    """The executor for this device (`cpu`, `cuda`, `cuda:1`, ...)."""
    workers = compute.workers or worker_count(device, compute.threads, compute.jobs_per_device)
    if compute.executor == "inline" or (compute.executor == "auto" and workers == 1):
        return InlineExecutor()
    return ProcessExecutor(spread_devices(device, workers), estimate)
