"""The MLflow runs of a search: search run -> trial runs -> fold runs, written by the parent process alone."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from optuna.trial import FrozenTrial, TrialState

from harness.data.inputs import Workspace
from harness.errors import JobError
from harness.report.numbers.marks import Marks
from harness.search.queue import Queue, has_ended
from harness.search.trials import TrialResult, trial_result, trial_results
from harness.store.clock import duration
from harness.store.results import FoldRecord, Metrics
from harness.study.history import CommandLog
from harness.study.identity import search_id
from harness.study.plan import Job, Scenario, fold_jobs
from harness.tracking.links import UI_PORT
from harness.tracking.relay import Relay
from harness.tracking.root_run import RootRun
from harness.tracking.run_words import bold_mark


class SearchPublisher(RootRun):
    """Publishes the trials of a search and their jobs to MLflow."""

    def __init__(self, workspace: Workspace, port: int = UI_PORT) -> None:
        self._search, self._search_id = workspace.study.searched, search_id(workspace.study, workspace.inputs.digests)
        super().__init__(workspace, self._search_id, port)
        self._marks = Marks(workspace.study, (), workspace.inputs.dataset.synthetic)
        self._trial_runs: dict[str, str] = {}  # job id -> the run of its trial
        self._streams: dict[str, str] = {}  # job id -> its run, while it trains
        self.whole = False

    @property
    def run_id(self) -> str:
        return self._tracker.start("search", self._search_id, f"{self._study.study} search", None, {})

    def close(self) -> None:
        if self.whole:
            for lost in self._tracker.unfinished("trial"):  # its slot was filled by another point in the end
                self._tracker.tag(lost, "harness.state", "lost")
                self._tracker.close(lost, "FAILED")
            self._tracker.finish(self.run_id)

    def trial_started(self, slot: int, number: int, scenario: Scenario) -> str:
        """Open the run of a trial and return its id: the same where a trial is put back, as it fills the same slot."""
        tags = {"harness.trial": str(number), "harness.slot": str(slot), "harness.scenario_id": scenario.id}
        key = f"{slot}:{scenario.id}"
        run_id = self._tracker.start("trial", key, f"trial {slot}: {scenario.name}", self.run_id, tags, scenario)
        for job in fold_jobs(self._study, scenario, self._inputs.digests):
            owner = self._trial_runs.setdefault(job.id, run_id)
            if owner != run_id:  # another trial tried the same point: its fold runs belong to both
                self._tracker.tag(run_id, "harness.folds_run", owner)
        return run_id

    def job_started(self, job: Job) -> None:
        """Open the run of a job that starts to train."""
        self._streams[job.id] = self._tracker.start_fold(job, [], self._trial_runs[job.id])

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """Add an epoch to the curves of a job."""
        if job_id in self._streams:
            self._tracker.metrics.log_epoch(self._streams[job_id], epoch, metrics)

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """Close the run of a job; create it, where the job was done before."""
        if isinstance(outcome, JobError):
            run_id = self._streams.pop(job.id, None) or self._tracker.start_fold(job, [], self._trial_runs[job.id])
            self._tracker.fail(run_id, outcome)
        elif not self._tracker.is_finished("fold", job.id):
            run_id = self._tracker.start_fold(job, [], self._trial_runs[job.id])
            streamed = self._streams.pop(job.id, None) is not None
            self._publish_fold(run_id, outcome, streamed)

    def job_abandoned(self, job: Job) -> None:
        """Discard the run of a job whose worker died: the job starts again, and so do its curves."""
        self._streams.pop(job.id, None)
        self._tracker.discard("fold", job.id)

    def publish(self, result: TrialResult) -> None:
        """Complete the run of an ended trial and those of its folds, unless it is complete already."""
        key = f"{result.slot}:{result.scenario.id}"
        if self._tracker.is_finished("trial", key):
            return
        run_id = self.trial_started(result.slot, result.number, result.scenario)
        for job in result.done:
            self.job_ended(job, self._workspace.ledger.record(job.id))
        metric = self._search.objective.metric
        for step, value in enumerate(result.means):
            self._tracker.metrics.log_metrics(run_id, {f"{metric}_running_mean": value}, step)
        self._tracker.metrics.log_metrics(run_id, {"folds": float(result.folds)} | self._values(result))
        self._tracker.tag(run_id, "harness.state", result.state)
        if result.reused is not None:
            self._tracker.tag(run_id, "harness.reused_from", result.reused)
        self._tracker.descriptions.describe(
            run_id, _words(result, metric, self._marks.scenario(result.scenario.settings))
        )
        self._tracker.finish(run_id)

    def _values(self, result: TrialResult) -> Metrics:
        """The metrics of a complete trial; empty for others, so that they have no place in a ranking."""
        if result.value is None:
            return {}
        costs = {} if result.cost is None else {"cost": result.cost}
        state = self._workspace.reader.scenario(result.scenario, result.jobs)
        return state.summary | {"objective": result.value} | costs | (state.cost.metrics if state.cost else {})

    def publish_report(self, folder: Path) -> None:
        """Add the report to the search's run."""
        run_id = self.run_id
        self._attempt("report", run_id, lambda: self._tracker.log_files(run_id, sorted(folder.iterdir()), "report"))
        words, _, _ = (folder / "report.md").read_text(encoding="utf-8").partition("\n## Settings")
        self._tracker.descriptions.describe(run_id, f"{words}\nThe whole report is the artifact `report/index.html`.")

    def leaderboard_url(self) -> str:
        """The URL of the trials' leaderboard in the MLflow UI."""
        return self._tracker.links.search_view(self._search)


def _words(result: TrialResult, metric: str, mark: str | None) -> str:
    words = bold_mark(mark)
    if result.state == "pruned":
        return (
            f"{words}Pruned after {result.folds} of {len(result.jobs)} folds: its mean {metric} so far,"
            f" {result.means[-1]:.4f}, was worse than the median of the complete trials on the same folds."
        )
    if result.value is None:
        return f"{words}Failed: {result.error}"
    return f"{words}Mean {metric} over {len(result.jobs)} folds: {result.value:.4f}."


class SearchRelay(Relay[SearchPublisher]):
    """The relay of a search. It also prints how each trial ended, and records the fits in the log of commands."""

    def __init__(self, workspace: Workspace, queue: Queue, say: Callable[[str], None], log: CommandLog) -> None:
        super().__init__(lambda: SearchPublisher(workspace), say)
        self._workspace, self._queue, self._target = workspace, queue, workspace.study.searched.target()
        self._trials: dict[int, tuple[int, int, Scenario]] = {}  # the running trials, by number
        self._log, self._fits = log, Counter[str]()
        self._fitting = set[str]()  # ids of the jobs
        self._begun, self._before = monotonic(), len(queue.ended())

    def trial_started(self, slot: int, number: int, scenario: Scenario) -> str | None:
        """A trial starts. Return the id of its MLflow run; None while the tracking server is lost."""
        self._trials[number] = slot, number, scenario
        return self._pass(lambda publisher: publisher.trial_started(slot, number, scenario))

    def job_started(self, job: Job) -> None:
        """A job is fitted: it was not in the ledger."""
        self._log.begin()
        self._fitting.add(job.id)
        super().job_started(job)

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """A job has ended, or was in the ledger before."""
        if job.id in self._fitting:
            self._fitting.remove(job.id)
            self._fits["failed" if isinstance(outcome, JobError) else "fitted"] += 1
        super().job_ended(job, outcome)

    def job_abandoned(self, job: Job) -> None:
        """The worker that fitted this job died."""
        self._fitting.discard(job.id)
        self._pass(lambda publisher: publisher.job_abandoned(job))

    def trial_ended(self, number: int) -> None:
        """Complete the run of an ended trial, and print how it ended."""
        self._trials.pop(number, None)
        trial = self._queue.trial(number)
        if not has_ended(trial):  # put back, or the second of its slot
            return
        result = trial_result(self._workspace, trial)
        self._pass(lambda publisher: publisher.publish(result))
        ended = [trial for slot, trial in self._queue.ended().items() if slot < self._target]
        head = f"  [{len(ended)}/{self._target}] {self._how(result)}"
        self._say(f"{head}; {self._pace(ended)}; {result.scenario.name}")

    def take_stock(self) -> list[TrialResult]:
        """Bring MLflow and the log of commands up to date with all ended trials, and return their results."""
        self._log.end(self._fits["fitted"], self._fits["failed"])
        results = self._results()
        publisher = self.settled()
        for result in results:
            publisher.publish(result)
        return results

    def publish_report(self, folder: Path, whole: bool) -> str:
        """Add the report to the search's run, and return the URL of the leaderboard. whole: no trial is missing."""
        publisher = self.settled()
        publisher.whole = whole
        publisher.publish_report(folder)
        return publisher.leaderboard_url()

    def _bring_up_to_date(self, publisher: SearchPublisher) -> None:
        for result in self._results():
            publisher.publish(result)
        for trial in self._trials.values():
            publisher.trial_started(*trial)

    def _results(self) -> list[TrialResult]:
        return trial_results(self._workspace, self._queue)

    def _pace(self, ended: Sequence[FrozenTrial]) -> str:
        """The best value so far, and how fast the trials of this command end."""
        objective, minutes = self._workspace.study.searched.objective, (monotonic() - self._begun) / 60
        known = [trial.values[0] for trial in ended if trial.state == TrialState.COMPLETE]
        best = f"best {max(known) if objective.maximize else min(known):.4f}, " if known else ""
        rate = max(len(ended) - self._before, 1) / minutes
        return f"{best}{rate:.2g} trials a minute, about {duration(60 * (self._target - len(ended)) / rate)} left"

    def _how(self, result: TrialResult) -> str | None:
        if result.state == "pruned":
            return f"pruned after {result.folds} of {len(result.jobs)} folds"
        metric = self._workspace.study.searched.objective.metric
        return result.error if result.value is None else f"{metric} {result.value:.4f}"
