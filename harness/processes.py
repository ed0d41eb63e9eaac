"""Worker processes that never outlive the process that started them."""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait
from typing import Any


def worker_context(preload: str) -> Any:
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
