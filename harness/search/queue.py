"""The trials of a search in Optuna's storage: numbered slots, each of which ends exactly once.

All trials that there are to be are enqueued up front, and workers only take from that queue. So the total is exact
however many workers on however many machines take part, and what a killed worker leaves can be put back.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from harness.errors import HarnessError
from harness.search_block import Point, Search
from harness.store import Store

HEARTBEAT, GRACE = 10, 60  # seconds
RETRIES = 2  # of a trial whose worker died
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)
_retry = RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)


def _put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueues a trial whose worker died again, unless that has happened too often or it was failing anyway."""
    if "error" not in trial.user_attrs:
        _retry(study, trial)


class QueueEmptyError(Exception):
    """No trial is waiting."""


class _Storage(RDBStorage):
    """Optuna's storage, where a trial is taken by one worker only and none comes into being but by enqueuing."""

    def __init__(self, url: str, lock: FileLock | None) -> None:
        self._lock = lock  # SQLite has no row locks: two workers could take the same trial
        options: dict[str, Any] = {"connect_args": {"timeout": 100}} if lock else {"pool_pre_ping": True}
        super().__init__(
            url,
            engine_kwargs=options,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=_put_back,
        )

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        if template_trial is None:
            raise QueueEmptyError
        return super()._create_new_trial(study_id, template_trial)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with self._lock or nullcontext():
            done = super().set_trial_state_values(trial_id, state, values)
        if done and state == TrialState.RUNNING:  # Optuna's own first heartbeat comes only after the sampler's work
            self.record_heartbeat(trial_id)
        return done


class Queue:
    """The slots of one search. `own`: no other process than this store's takes part."""

    def __init__(self, search: Search, name: str, store: Store, url: str | None) -> None:
        self._search, self.own = search, url is None
        url = url or f"sqlite:///{store.root / 'optuna.db'}"
        lock = FileLock(f"{url.partition(':///')[2]}.lock") if url.startswith("sqlite:///") else None
        objective = search.objective
        directions: list[Literal["maximize", "minimize"]] = ["maximize" if objective.maximize else "minimize"]
        if objective.cost:
            directions.append("minimize")
        with lock or nullcontext(), _readable(url):  # the first use of a database races
            self._storage = _Storage(url, lock)
            self.optuna_study = optuna.create_study(
                storage=self._storage, study_name=name, directions=directions, load_if_exists=True
            )
        self._id = self._storage.get_study_id_from_name(name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in these states, all without any, by number."""
        return self.optuna_study.get_trials(deepcopy=False, states=states or None)

    def trial(self, number: int) -> FrozenTrial:
        """The trial with this number."""
        return self.trials()[number]

    def ended(self) -> dict[int, FrozenTrial]:
        """The trials that have come to an end, by slot: complete, pruned, or failed for a reason of their own."""
        return {slot_of(t): t for t in reversed(self.trials()) if has_ended(t)}

    @property
    def waiting(self) -> int:
        """How many trials nobody has taken yet."""
        return len(self.trials(TrialState.WAITING))

    @property
    def running(self) -> int:
        """How many trials somebody has taken."""
        return len(self.trials(TrialState.RUNNING))

    def fill(self, target: int, points: Sequence[Point]) -> int:
        """How many of the slots 0 ... target - 1 are still to be worked on, now that those missing are enqueued.

        points: what the first slots are to try; the sampler chooses for the others. Slots beyond the target that
        nobody has taken are withdrawn.
        """
        for trial in self.trials(TrialState.WAITING):
            if slot_of(trial) >= target:
                with suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self._storage.set_trial_state_values(self._trial_id(trial), TrialState.FAIL)
        taken = {slot_of(t) for t in self.trials() if has_ended(t) or not t.state.is_finished()}
        for slot in sorted(set(range(target)) - taken):
            point = points[slot] if slot < len(points) else {}
            self.optuna_study.enqueue_trial(point, user_attrs={"slot": slot})
        return target - len([slot for slot in self.ended() if slot < target])

    def is_second(self, trial: optuna.Trial) -> bool:
        """Whether another trial holds this one's slot: two processes may have put the same trial back at once."""
        slot = trial.user_attrs["slot"]
        earlier = (t for t in self.trials() if t.number < trial.number and slot_of(t) == slot)
        return any(has_ended(t) or not t.state.is_finished() for t in earlier)

    def put_back(self, trial: FrozenTrial) -> None:
        """Ends a trial whose worker is gone, and enqueues it again unless that has happened too often."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            if self._storage.set_trial_state_values(self._trial_id(trial), TrialState.FAIL):
                _put_back(self.optuna_study, trial)

    def sweep(self) -> None:
        """Puts back every trial that is RUNNING, for one who knows that no worker is left."""
        for trial in self.trials(TrialState.RUNNING):
            self.put_back(trial)

    def _trial_id(self, trial: FrozenTrial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)


def check_storage(url: str) -> None:
    """Raises HarnessError where this is no database that can be reached. Writes nothing."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url

    with _readable(url):
        if make_url(url).get_backend_name() != "sqlite":  # which would make the file
            create_engine(url).connect().close()


def slot_of(trial: FrozenTrial) -> int:
    """The slot that a trial fills."""
    return int(trial.user_attrs["slot"])


def has_ended(trial: FrozenTrial) -> bool:
    """Whether a trial came to an end of its own, rather than losing its worker."""
    return trial.state in ENDED or (trial.state == TrialState.FAIL and "error" in trial.user_attrs)


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Turns what a wrong --storage raises into one line."""
    try:
        yield
    except (ImportError, ValueError, OSError) as error:
        raise HarnessError(f"--storage {_without_password(url)}: {_first_line(error)}") from None
    except Exception as error:
        if not type(error).__module__.startswith("sqlalchemy"):
            raise
        raise HarnessError(
            f"--storage {_without_password(url)}: cannot be opened: {_first_line(error)};"
            " a database URL looks like postgresql://user@host/name"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    with suppress(Exception):
        return make_url(url).render_as_string(hide_password=True)
    return "URL"
