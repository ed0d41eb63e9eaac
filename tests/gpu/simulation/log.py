"""What happened on the simulated device, by the place in harness/ that asked for it."""

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

PACKAGE = f"{Path(__file__).parents[3] / 'harness'}/"


@dataclass
class Log:
    """Counts by place or by kind."""

    syncs: Counter[str] = field(default_factory=Counter)  # place -> how often the host waited for the device
    copies: Counter[str] = field(default_factory=Counter)  # place -> copies between host and device
    operations: Counter[str] = field(default_factory=Counter)  # name -> how often it was launched
    alerts: Counter[str] = field(default_factory=Counter)  # operations of torch's non-deterministic list
    fills: Counter[str] = field(default_factory=Counter)  # new memory that deterministic mode filled with NaN
    convolutions: Counter[str] = field(default_factory=Counter)  # memory format and precision
    casts: Counter[str] = field(default_factory=Counter)  # of autocast: parameter or value, and to what
    races: Counter[str] = field(default_factory=Counter)  # memory freed while another stream may use it
    captures: list[int] = field(default_factory=list)  # the operations of each captured graph
    replays: int = 0
    errors: list[str] = field(default_factory=list)  # what was refused, also where the error was caught

    def clear(self) -> None:
        """Forget everything."""
        self.__dict__.update(Log().__dict__)


LOG = Log()


class DeviceError(RuntimeError):
    """What CUDA does not do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        LOG.errors.append(message)


class CaptureError(DeviceError):
    """What CUDA does not permit while a graph is captured."""


@dataclass
class Host:
    """What the host knows of the device. debug: torch.cuda.set_sync_debug_mode."""

    capturing: bool = False
    debug: int = 0
    backward: bool = False  # gradients are being computed
    error: Exception | None = None  # to be raised at the end of that


HOST = Host()


def refuse(error: Exception) -> None:
    """Raise an error; after the gradients where they are being computed, as torch does not survive an error there."""
    if not HOST.backward:
        raise error
    HOST.error = HOST.error or error


@contextmanager
def gradients() -> Iterator[None]:
    """The time in which gradients are computed."""
    HOST.backward = True
    try:
        yield
    finally:
        HOST.backward, error, HOST.error = False, HOST.error, None
    if error is not None:
        raise error


def place() -> str:
    """The line of harness/ that is at work."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            return f"{code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno} {code.co_name}"
        frame = frame.f_back
    return "elsewhere"


def wait(kind: str) -> None:
    """Note that the host waits for the device. Raises CaptureError while a graph is captured."""
    LOG.syncs[f"{place()}: {kind}"] += 1
    if HOST.capturing:
        refuse(CaptureError(f"CUDA error: operation not permitted when stream is capturing: {kind} at {place()}"))
    if HOST.debug == 2:
        refuse(RuntimeError("called a synchronizing CUDA operation"))
    if HOST.debug == 1:
        warnings.warn("called a synchronizing CUDA operation", stacklevel=2)
