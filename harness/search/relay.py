"""What the workers of a search say, on its way to MLflow."""

from harness.errors import JobError
from harness.ledger import Ledger
from harness.plan import Job, Scenario, search_id
from harness.prepare import Inputs
from harness.progress import Reporter
from harness.relay import Relay
from harness.results import Metrics
from harness.search.publish import SearchPublisher
from harness.search.queue import Queue, has_ended
from harness.search.results import TrialResult, trial_result, trial_results
from harness.store import Store
from harness.study import Study


class SearchRelay(Relay[SearchPublisher]):
    """That of a search: a Boss. It tells how each trial ended, too."""

    def __init__(
        self, study: Study, inputs: Inputs, store: Store, queue: Queue, target: int, reporter: Reporter
    ) -> None:
        identity = search_id(study, inputs.digests)
        super().__init__(lambda: SearchPublisher(study, inputs, store, identity), reporter.say)
        self._study, self._digests, self._ledger = study, inputs.digests, Ledger(store)
        self._queue, self._target = queue, target
        self._trials: dict[int, tuple[int, int, Scenario]] = {}  # by number, those that run

    def trial_started(self, slot: int, number: int, scenario: Scenario) -> str | None:
        """See SearchPublisher."""
        self._trials[number] = slot, number, scenario
        return self._pass(lambda publisher: publisher.trial_started(slot, number, scenario))

    def job_started(self, job: Job) -> None:
        """See SearchPublisher."""
        self._pass(lambda publisher: publisher.job_started(job))

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """See SearchPublisher."""
        self._pass(lambda publisher: publisher.epoch(job_id, epoch, metrics))

    def job_ended(self, job: Job, error: JobError | None) -> None:
        """See SearchPublisher."""
        self._pass(lambda publisher: publisher.job_ended(job, error))

    def job_abandoned(self, job: Job) -> None:
        """See SearchPublisher."""
        self._pass(lambda publisher: publisher.job_abandoned(job))

    def trial_ended(self, number: int) -> None:
        """Makes the run of an ended trial whole, and says how it went."""
        self._trials.pop(number, None)
        trial = self._queue.trial(number)
        if not has_ended(trial):  # put back, or the second of its slot
            return
        result = trial_result(self._study, trial, self._digests, self._ledger)
        self._pass(lambda publisher: publisher.publish(result))
        ended = len([slot for slot in self._queue.ended() if slot < self._target])
        self._say(f"  [{ended}/{self._target}] {result.scenario.name}: {self._how(result)}")

    def take_stock(self) -> list[TrialResult]:
        """The results of all ended trials, MLflow brought up to date with them."""
        results = self._results()
        publisher = self.settled()
        for result in results:
            publisher.publish(result)
        return results

    def _bring_up_to_date(self, publisher: SearchPublisher) -> None:
        for result in self._results():
            publisher.publish(result)
        for trial in self._trials.values():
            publisher.trial_started(*trial)

    def _results(self) -> list[TrialResult]:
        return trial_results(self._study, self._queue, self._digests, self._ledger)

    def _how(self, result: TrialResult) -> str | None:
        if result.state == "pruned":
            return f"pruned after {result.folds} of {len(result.jobs)} folds"
        assert self._study.search is not None
        return result.error if result.value is None else f"{self._study.search.objective.metric} {result.value:.4f}"
