"""Worker processes that never outlive their parent, and signals."""

import multiprocessing
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from harness.errors import HarnessError, Stopped


def start_worker(main: Callable[..., None], *arguments: Any) -> "tuple[Any, Connection[Any, Any]]":
    """Start a process that runs `main(*arguments, pipe)`; return it and the other end of the pipe.

    Raises HarnessError where no process can be started.
    """
    context = _context(preload=main.__module__)
    pipe, theirs = context.Pipe()
    process = context.Process(target=main, args=(*arguments, theirs), daemon=True)
    try:
        process.start()
    except (OSError, EOFError) as error:  # also from the fork server
        require_importable(main.__module__)
        raise _unable(str(error) or type(error).__name__) from None
    theirs.close()
    return process, pipe


def require_importable(module: str) -> None:
    """Raise HarnessError, with the last line of the traceback, where a new Python process cannot import this module."""
    python = os.fsdecode(multiprocessing.spawn.get_executable())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, env=environment)
    except OSError as error:
        raise _unable(f"{python}: {error.strerror}") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _unable(last or f"{python} ends with {done.returncode}")


def _unable(reason: str) -> HarnessError:
    return HarnessError(f"no worker process can be started: {reason}; with --workers 1 none is needed")


def _context(preload: str) -> Any:
    """The multiprocessing context of workers. On Linux they are forked from a server that has imported `preload`."""
    linux = sys.platform == "linux"
    context: Any = multiprocessing.get_context("forkserver" if linux else "spawn")
    if linux:
        context.set_forkserver_preload([preload])
    return context


def become_worker() -> None:
    """Ignore SIGINT, exit cleanly on SIGTERM, and die with the parent. Call it first in every worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which stops its workers
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


_depth = 0  # of nested `delay_signals`
_waiting: list[int] = []  # signals that arrived within `delay_signals`


def raise_on_signals(numbers: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
    """Raise Stopped on these signals from now on."""
    for number in numbers:
        signal.signal(number, _stop)


@contextmanager
def delay_signals() -> Iterator[None]:
    """Delay signals that arrive within this block to its end. For the main thread, where Python handles signals."""
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
