"""The rows of a figure, from a process of its own: its libraries and settings would change the next figure."""

import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from harness.processes import become_worker
from tests.bench.figure import Bench, Row

CLEAN_UP_SECONDS = 15.0  # that a figure has when it is ended


def rows_alone(name: str, module: str, bench: Bench, until: float | None = None) -> Iterator[Row]:
    """Yield each row of a figure as it is measured. Where the figure breaks down or takes too long, a row says so.

    until: when it has to be done, on the monotonic clock.
    """
    context = get_context("spawn")
    pipe, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, module, bench, theirs))
    process.start()
    theirs.close()
    try:
        while True:
            if not pipe.poll(None if until is None else max(0.0, until - time.monotonic())):
                yield Row(name, None, "ended before it was done: the time given to the bench is over")
                return
            row: Row | None = pipe.recv()
            if row is None:
                process.join(CLEAN_UP_SECONDS)  # it has its own end: a signal there is a traceback on the terminal
                return
            yield row
    except EOFError:
        process.join()
        yield Row(name, None, f"its process ended with {process.exitcode}", error="no traceback")
    finally:
        process.terminate()
        process.join(CLEAN_UP_SECONDS)
        process.kill()
        process.join()


def _measure(name: str, module: str, bench: Bench, pipe: "Connection[Any, Any]") -> None:
    """Send the rows of a figure, and None at its end."""
    become_worker()
    try:
        for row in import_module(module).measure(bench):
            pipe.send(row)
    except Exception as error:  # the other figures are worth having
        pipe.send(Row(name, None, f"{type(error).__name__}: {error}", error=traceback.format_exc()))
    pipe.send(None)
