"""Progress of a run on standard error: a live bar in a terminal, plain lines elsewhere."""

import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType

from rich.cells import cell_len
from rich.console import OverflowMethod
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from harness.errors import LOG, JobError
from harness.execution.lasting_console import LastingConsole
from harness.store.clock import duration
from harness.store.results import FoldRecord, Metrics
from harness.study.number_words import number_of
from harness.study.plan import Job


class _LogLines(logging.Handler):
    """Passes the harness's log on to a reporter."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


class Reporter:
    """Reports a run in the terminal. Use it as a context manager."""

    def __init__(self) -> None:
        self.console = LastingConsole()
        self._live = self.console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16, table_column=Column(no_wrap=True)),
            TaskProgressColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=self.console,
            disable=not self._live,
            expand=True,
        )
        self._total = self._done = 0
        self._started = 0.0
        self._jobs: dict[str, Job] = {}
        self._log_lines = _LogLines(self.say)
        self._fallbacks: set[str] = set()

    def __enter__(self) -> "Reporter":
        self._progress.start()
        LOG.addHandler(self._log_lines)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        LOG.removeHandler(self._log_lines)
        self._progress.stop()

    def log_to(self, path: Path) -> None:
        """Write on to this file where the reader of the output closes it."""
        self.console.log_to(path)

    def say(self, text: str) -> None:
        """Print one line."""
        self._progress.console.print(text, markup=False)

    def _say_of_fit(self, text: str) -> None:
        """Print one line of a fit, which names its scenario last: a terminal cuts the name where it has no room."""
        overflow: OverflowMethod = "ellipsis" if self._live else "ignore"
        self._progress.console.print(text, markup=False, no_wrap=True, overflow=overflow, soft_wrap=not self._live)

    def _of_fit(self, result: str, times: list[str], name: str) -> str:
        """The line of a fit: in a terminal with as many of its times as leave room for the name."""
        lines = [f"{', '.join([result, *times[:count]])}; {name}" for count in range(len(times), -1, -1)]
        return next((line for line in lines if not self._live or cell_len(line) <= self.console.width), lines[-1])

    def counting(self, what: str, done: int, total: int) -> None:
        """Report counted work, such as decoding: a bar, or a line at its end."""
        if self._live:
            task = next((t.id for t in self._progress.tasks if t.description == what), None)
            task = self._progress.add_task(what, total=total, note="") if task is None else task
            self._progress.update(task, completed=done, visible=done < total)
        if done == total:
            self.say(f"{what}: {total:,}")

    def begin(self, name: str, jobs: list[Job]) -> None:
        """Announce a group of jobs, such as a stage."""
        self._total, self._done, self._started = len(jobs), 0, time.monotonic()
        self._epochs = sum(job.scenario.settings.epochs for job in jobs)
        self._task = self._progress.add_task(name, total=self._epochs, note="")
        self.say(f"{name}: {number_of(len(jobs), 'fit')}")

    def job_started(self, job: Job) -> None:
        """Note that a job starts."""
        self._jobs[job.id] = job

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """Move the bar by an epoch."""
        job = self._jobs[job_id]
        shown = next((f"{name} {metrics[name]:.3f}" for name in ("val/accuracy", "train/loss") if name in metrics), "")
        where = "refit" if job.fold is None else f"fold {job.fold}"
        note = f"{where}, epoch {epoch}/{job.scenario.settings.epochs}, {shown}, {job.scenario.name}"
        self._progress.update(self._task, advance=1, note=note)

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """Print how a job ended."""
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        head = f"  [{self._done}/{self._total}] {job.name}: "
        if isinstance(outcome, JobError):
            self.say(f"{head}FAILED, {outcome.reason}; {job.scenario.name}")
        else:
            accuracy = next(v for k, v in outcome.metrics.items() if k in ("val/accuracy", "test/accuracy"))
            result = f"accuracy {accuracy:.3f}" if job.evaluate == "val" else "done"
            times = [duration(outcome.facts.seconds), f"about {duration(left)} left"]
            self._say_of_fit(self._of_fit(f"{head}{result}", times, job.scenario.name))
            self._say_once(outcome.facts.fallbacks)
        if self._done == self._total:
            self._progress.remove_task(self._task)

    def _say_once(self, fallbacks: Collection[str]) -> None:
        """Print what fits did otherwise than by the options; the same reason once, however many fits it concerns."""
        for fallback in dict.fromkeys(fallbacks):
            if fallback not in self._fallbacks:
                self._fallbacks.add(fallback)
                self.say(f"  {fallback}; the fit was made without, and its facts say so")
