"""Where and with how much jobs are fitted, as a command's options say it."""

from dataclasses import dataclass
from typing import Literal

from harness.errors import HarnessError

EXECUTORS = ("auto", "inline", "process")
Compile = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Compute:
    """The options. None decides a job's numbers but `threads` and `compile`, and these only in their last digits."""

    executor: str = "auto"  # processes, where the machine takes several fits at a time, else inline
    workers: int | None = None  # at most so many fits at a time
    jobs_per_device: int = 1  # fits that share a GPU
    threads: int = 1  # of a fit on the CPU
    compile: Compile = "auto"  # compile whole networks by torch.compile; auto: for long fits on CUDA

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise HarnessError(f"--executor {self.executor}: there is no such; allowed: {', '.join(EXECUTORS)}")
        if self.executor == "inline" and (self.workers or 1) > 1:
            raise HarnessError(f"--workers {self.workers}: inline fits one job at a time; take --executor process")
