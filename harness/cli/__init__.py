"""The command line. Heavy modules are imported inside the commands, so that `--help` and `plan` stay quick."""

import signal
import sys
from types import FrameType

import typer

from harness.cli import look, measure, train, write
from harness.errors import HarnessError, Stopped

COMMANDS = (
    train.run,
    train.test,
    train.search,
    look.plan,
    look.audit,
    look.report,
    train.reproduce,
    look.ui,
    measure.bench,
    write.new,
    write.schema,
)


def make_app() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Benchmark studies of image classifiers: plan, run, compare, report.",
    )
    for command in COMMANDS:
        app.command()(command)
    return app


def main() -> None:
    """The console script: errors of the request end in one line on standard error and their exit code."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        make_app()()
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stop:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(stop.exit_code)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)
