"""The command line in processes of their own that are forked from one which has imported everything it needs."""

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context, set_start_method
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import _forkserver, ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRELOAD = ["tests.faults.preload"]  # which also leaves figures blank


def fork_context() -> ForkServerContext:
    """The context whose processes are forked from the one with PRELOAD, which is started if need be."""
    context = get_context("forkserver")
    if _forkserver._preload_modules == PRELOAD:  # type: ignore[attr-defined]
        ensure_running()
        return context
    _forkserver._stop()  # type: ignore[attr-defined]  # one that other tests started has not loaded what commands need
    context.set_forkserver_preload(PRELOAD)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return context


def start_harness(arguments: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]) -> BaseProcess:
    """Start `harness ARGUMENTS` in `folder`, with this environment alone; what it says is in `log`."""
    target = (tuple(arguments), folder, log, dict(environment))
    process = fork_context().Process(target=_command, args=target)
    process.start()
    return process


def _command(arguments: tuple[str, ...], folder: Path, log: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(written, descriptor)
    set_start_method(None, force=True)  # that of a command which a person starts
    gc.freeze()  # all that is imported is no garbage
    sys.argv = ["harness", *arguments]
    from harness.cli import main

    main()
