"""The trials of a search in Optuna's storage: numbered slots, each of which ends exactly once.

All trials are enqueued up front, and workers only take from that queue. So the total is exact, however many workers
on however many machines take part, and the trial of a killed worker can be put back. `Study.optimize` and `Study.ask`
create a new trial where none is waiting; so trials are taken here by the storage's `set_trial_state_values`, which
reports which process was first.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from harness.search.samplers import FoldMedian, slot_sampler
from harness.search.storage import exclusive, open_storage, readable
from harness.store import Store
from harness.store.store import sqlite_uri
from harness.study.search_block import Point, Search

HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60  # without a heartbeat, until a worker counts as dead
MAX_RETRIES = 2  # of a trial whose worker died
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
REUSED = "reused"  # user attribute of a trial that was reused: "SEARCH_ID:NUMBER", where it was a trial before
JOINED = "harness.joined"  # user attribute of a search: whether it has the trials that it reuses

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)
_retry = RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES)


def _put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue the trial of a dead worker again, unless that has happened too often or the trial had failed already."""
    if "error" not in trial.user_attrs:
        _retry(study, trial)


class Queue:
    """The slots of one search. is_local: its database is in the store, so only processes on this store take part."""

    def __init__(self, search: Search, name: str, store: Store, url: str | None) -> None:
        self._search, self.name, self.is_local = search, name, url is None
        self._url = url or sqlite_uri(store.root / "optuna.db")
        objective = search.objective
        directions: list[Literal["maximize", "minimize"]] = ["maximize" if objective.maximize else "minimize"]
        if objective.cost:
            directions.append("minimize")
        with readable(self._url), exclusive(self._url):
            self._storage = open_storage(
                self._url,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=_put_back,
            )
            self.optuna_study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                directions=directions,
                load_if_exists=True,
                pruner=FoldMedian(objective.maximize),
            )
        self._id = self._storage.get_study_id_from_name(name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in these states (all, if none is given), by number."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def trial(self, number: int) -> FrozenTrial:
        """The trial with this number."""
        return self.trials()[number]

    def ended(self) -> dict[int, FrozenTrial]:
        """The trials that have ended, by slot: complete, pruned, or failed by an error of their own."""
        return {slot_of(t): t for t in reversed(self.trials()) if has_ended(t)}

    @property
    def is_new(self) -> bool:
        """Whether no trial of its own has been enqueued: it can still reuse those of earlier searches."""
        return JOINED not in self.optuna_study.user_attrs and all(REUSED in t.user_attrs for t in self.trials())

    def others(self, study: str) -> list[optuna.Study]:
        """The other searches of a study of this name in the database, the oldest first."""
        name = re.compile(re.escape(study) + "-[0-9a-f]{16}")
        names = [each for each in optuna.get_all_study_names(self._storage) if name.fullmatch(each)]
        return [optuna.load_study(study_name=n, storage=self._storage) for n in names if n != self.name]

    def describe(self, key: str, value: object) -> None:
        """Set a user attribute of the search that it does not have yet."""
        with exclusive(self._url):
            if key not in self.optuna_study.user_attrs:
                self.optuna_study.set_user_attr(key, value)

    def reuse(self, trials: Sequence[FrozenTrial]) -> None:
        """Add trials of earlier searches to this new one: each in its slot, and only once, whoever else tries."""
        with exclusive(self._url):
            if self.is_new:
                taken = {slot_of(trial) for trial in self.trials()}
                for trial in trials:
                    if slot_of(trial) not in taken:
                        self.optuna_study.add_trial(trial)
                self.optuna_study.set_user_attr(JOINED, True)

    @property
    def waiting(self) -> int:
        """The number of trials that no worker has taken yet."""
        return len(self.trials(TrialState.WAITING))

    @property
    def running(self) -> int:
        """The number of trials that a worker has taken and not ended."""
        return len(self.trials(TrialState.RUNNING))

    def fill(self, target: int, points: Sequence[Point]) -> int:
        """Enqueue the missing slots of 0 ... target - 1, and return how many of these slots have not ended yet.

        points: what the first slots try; the sampler chooses for the others. Waiting slots beyond the target are
        withdrawn.
        """
        with exclusive(self._url):
            for trial in self.trials(TrialState.WAITING):
                if slot_of(trial) >= target:
                    self._change(trial, TrialState.FAIL)
            taken = {slot_of(t) for t in self.trials() if has_ended(t) or not t.state.is_finished()}
            for slot in sorted(set(range(target)) - taken):
                point = points[slot] if slot < len(points) else {}
                self.optuna_study.enqueue_trial(point, user_attrs={"slot": slot})
        return target - len([slot for slot in self.ended() if slot < target])

    def take(self, workers: int) -> Trial | None:
        """Take a waiting trial for this process, and set its sampler; None where none is waiting.

        workers: how many take part in the search.
        """
        if not self.is_local:
            self._put_back_stale()
        for waiting in self.trials(TrialState.WAITING):
            trial_id = self._trial_id(waiting)
            with exclusive(self._url):
                self._storage.record_heartbeat(trial_id)  # first: a running trial without one never becomes stale
                taken = self._change(waiting, TrialState.RUNNING)
            if taken:
                self.optuna_study.sampler = slot_sampler(self._search, slot_of(waiting), workers)
                return Trial(self.optuna_study, trial_id)
        return None

    @contextmanager
    def heartbeats(self, trial: Trial) -> Iterator[None]:
        """Send the storage heartbeats of the trial until the block ends."""
        ended = Event()
        trial_id = self._trial_id(trial)

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                with suppress(Exception):  # the database may be unreachable for a moment: the next one may reach it
                    self._storage.record_heartbeat(trial_id)

        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def tell(self, trial: Trial, state: TrialState, values: Sequence[float] | None = None) -> None:
        """End a trial, unless another process has ended it because it took this one for dead."""
        with exclusive(self._url), suppress(UpdateFinishedTrialError):
            self.optuna_study.tell(trial, values, state, skip_if_finished=True)

    def is_second(self, trial: Trial) -> bool:
        """Whether another trial holds this one's slot: two processes may have put the same trial back."""
        slot = trial.user_attrs["slot"]
        earlier = (t for t in self.trials() if t.number < trial.number and slot_of(t) == slot)
        return any(has_ended(t) or not t.state.is_finished() for t in earlier)

    def put_back(self, trial: FrozenTrial) -> None:
        """End the trial of a dead worker, and enqueue it again unless that has happened too often."""
        with exclusive(self._url):
            if self._change(trial, TrialState.FAIL):
                _put_back(self.optuna_study, self.trial(trial.number))

    def sweep(self) -> None:
        """Put back every trial whose worker is gone. For a process that has no worker itself.

        In a local search these are all running trials, in a shared one those without a heartbeat for GRACE_SECONDS.
        """
        if not self.is_local:
            self._put_back_stale()
            return
        for trial in self.trials(TrialState.RUNNING):
            self.put_back(trial)

    def _put_back_stale(self) -> None:
        with exclusive(self._url):
            fail_stale_trials(self.optuna_study)

    def _change(self, trial: FrozenTrial, state: TrialState) -> bool:
        """Set the state of the trial, and return whether this process was the first to do so."""
        try:
            return self._storage.set_trial_state_values(self._trial_id(trial), state)
        except UpdateFinishedTrialError:
            return False

    def _trial_id(self, trial: FrozenTrial | Trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)


def slot_of(trial: FrozenTrial) -> int:
    """The slot that a trial fills."""
    return int(trial.user_attrs["slot"])


def has_ended(trial: FrozenTrial) -> bool:
    """Whether a trial has ended: complete, pruned, or failed by an error of its own, not by the loss of its worker."""
    return trial.state in ENDED or (trial.state == TrialState.FAIL and "error" in trial.user_attrs)
