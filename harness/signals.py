"""SIGTERM and SIGINT end a command by raising Stopped, but not in the middle of what must be whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.errors import Stopped

_depth = 0
_waiting: list[int] = []  # signals that came while something had to be whole


def obey_signals() -> None:
    """From now on a signal raises Stopped."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)


@contextmanager
def unbroken() -> Iterator[None]:
    """A signal that comes within it raises Stopped at its end. For the main thread, where signals are handled."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _waiting and not _depth:
            raise Stopped(_waiting.pop())


def _stop(number: int, _frame: FrameType | None) -> None:
    if _depth:
        _waiting.append(number)
    else:
        raise Stopped(number)
