"""The command line. Heavy modules are imported inside the commands, so that `--help` and `plan` stay fast."""

import gc
import os
import sys
import traceback
from typing import Annotated

import typer

from harness import __version__
from harness.cli import (
    audit,
    cache,
    compare,
    doctor,
    labels,
    model,
    new,
    plan,
    publish,
    register,
    report,
    rerun,
    run,
    search,
    status,
    suite,
    ui,
    verify,
)
from harness.cli.completion import join_words
from harness.cli.streams import CLOSED_PIPE, ensure_utf8_mode, replace_unencodable, set_missing_user
from harness.errors import HarnessError, Stopped, disk_is_full, permission_problem, redact
from harness.processes import raise_on_signals

GARBAGE_THRESHOLD = (
    200_000  # objects; with Python's 700, a seventh of a short command looks for garbage while it imports
)

COMMANDS = (
    run.run,
    run.test,
    search.search,
    plan.plan,
    register.register,
    status.status,
    audit.audit,
    report.report,
    compare.compare,
    suite.suite,
    rerun.rerun,
    rerun.reproduce,
    verify.verify,
    publish.publish,
    labels.labels,
    model.predict,
    model.export,
    doctor.doctor,
    cache.cache,
    ui.ui,
    new.new,
    new.schema,
)


def make_app() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for command in COMMANDS:
        app.command()(command)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"harness {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark studies of image classifiers: plan, run, compare, report."""


def main() -> None:
    """Run the console script; HarnessError is printed as one line on standard error, and sets the exit code."""
    if "_HARNESS_COMPLETE" in os.environ:  # the shell asks for completions
        join_words(os.environ)
    gc.set_threshold(GARBAGE_THRESHOLD)
    ensure_utf8_mode()
    replace_unencodable()
    set_missing_user()
    raise_on_signals()
    try:
        make_app()()
    except SystemExit:
        if type(sys.stdout).__name__.endswith(
            "PacifyFlushWrapper"
        ):  # Typer's, where the reader closed a pipe; it exits by 1
            sys.exit(CLOSED_PIPE)
        raise
    except HarnessError as error:
        print(f"error: {redact(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stop:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(stop.exit_code)
    except Exception as error:
        if disk_is_full(error):
            print("error: the disk is full; free some space, and the same command continues", file=sys.stderr)
        elif reason := permission_problem(error):
            print(f"error: {redact(reason)}", file=sys.stderr)
            sys.exit(HarnessError.exit_code)
        else:
            print(redact(traceback.format_exc()), file=sys.stderr)
        sys.exit(1)
