"""Worker processes that never outlive the process that started them."""

import multiprocessing
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from harness.errors import HarnessError, Stopped


def start_worker(main: Callable[..., None], *arguments: Any) -> "tuple[Any, Connection[Any, Any]]":
    """A process that runs `main` with these arguments and one end of a pipe, and the other end.

    Raises HarnessError where no process can be started.
    """
    context = _context(preload=main.__module__)
    pipe, theirs = context.Pipe()
    process = context.Process(target=main, args=(*arguments, theirs), daemon=True)
    try:
        process.start()
    except (OSError, EOFError) as error:  # also of the process that workers are forked from
        refuse_if_unable(main.__module__)
        raise _unable(str(error) or type(error).__name__) from None
    theirs.close()
    return process, pipe


def refuse_if_unable(module: str) -> None:
    """Raises HarnessError, with its last words, where a new Python fails to import this module, as a worker has to."""
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
    """How worker processes are started; `preload` is the module that all of them need.

    Where forking is safe, they are forked from a process that has imported it, but computed nothing, yet.
    """
    linux = sys.platform == "linux"
    context: Any = multiprocessing.get_context("forkserver" if linux else "spawn")
    if linux:
        context.set_forkserver_preload([preload])
    return context


def become_worker() -> None:
    """To be called first in a worker: SIGINT is left to the parent, SIGTERM cleans up, the parent's end is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


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
