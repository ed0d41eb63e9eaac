"""The options of a command that decide where and with which resources jobs are fitted."""

from dataclasses import dataclass

from harness.errors import HarnessError
from harness.study.types import Switch

EXECUTORS = ("auto", "inline", "process", "ray")


@dataclass(frozen=True)
class Compute:
    """The options. Only `threads`, `compile`, `stack` and `fuse` change the last digits of a job's numbers."""

    executor: str = "auto"  # process, where the machine can run several fits at a time, else inline
    workers: int | None = None  # the maximum number of parallel fits
    jobs_per_device: int = 1  # fits that share a GPU
    threads: int = 1  # of a fit on the CPU
    compile: Switch = "auto"  # compile whole networks by torch.compile; auto: for very long fits on CUDA
    stack: Switch = "auto"  # fit heads on one frozen backbone in one loop; auto: on CUDA
    address: str | None = None  # of a Ray cluster; None: a local one is started
    shared_store: bool = False  # the cluster's nodes see the store under the same path
    capture: bool = True  # whole steps as CUDA graphs, on CUDA
    fuse: bool = True  # batch norms by the kernels of the harness, on CUDA in bf16

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise HarnessError(f"unknown executor {self.executor!r}; allowed: {', '.join(EXECUTORS)}")
        if self.executor == "inline" and (self.workers or 1) > 1:
            raise HarnessError(f"--workers {self.workers}: inline fits one job at a time; use --executor process")
        if self.executor != "ray" and (self.address or self.shared_store):
            raise HarnessError("--address and --shared-store are for --executor ray")


AUTO = Compute()
