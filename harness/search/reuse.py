"""The trials of earlier searches that a new search of the same study reuses: those that are trials of its own."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import isfinite
from operator import itemgetter

from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.data.inputs import Workspace
from harness.errors import HarnessError
from harness.search.earlier import EarlierSearch, describe, earlier_searches
from harness.search.objective import value_of, values_of
from harness.search.queue import REUSED, Queue, slot_of
from harness.search.samplers import distributed
from harness.store.reports import ID_DIGITS
from harness.store.results import FoldRecord
from harness.study.mixed import mixed_versions
from harness.study.number_words import number_of
from harness.study.plan import Scenario, fold_jobs, point_scenario
from harness.study.provenance import code_digest, versions
from harness.study.search_block import Point
from harness.study.settings import Settings

UNWANTED = "because search.reuse is false"
OTHER_SEED = "of another search.seed"  # which asks for other draws
ELSEWHERE = "of other settings than this space has"
UNFITTED = "whose fits on these images and folds are not in this store"
OTHER_CODE = "fitted by other code or versions"
NO_VALUE = "without a value of this objective"
REPEATED = "of a point that another one has"


@dataclass(frozen=True)
class Reusable:
    """A complete trial of an earlier search that is one of this search, too."""

    search_id: str
    trial: FrozenTrial
    point: Point
    scenario: Scenario
    values: Sequence[float]
    means: Sequence[float]  # of the metric over the first fold, the first two, ...; empty with two objectives


class Reuse:
    """Decides which trials of earlier searches are trials of this one. first: the points of its first slots."""

    def __init__(self, workspace: Workspace, first: Sequence[Point], is_local: bool) -> None:
        self._workspace, self._study, self._digests = workspace, workspace.study, workspace.inputs.digests
        self._search, self._is_local = workspace.study.searched, is_local
        scenarios = [point_scenario(self._study, point, self._digests).id for point in first]
        self._first = {scenario: slot for slot, scenario in reversed([*enumerate(scenarios)])}
        self._reserved, self._versions = len(first), versions()
        self.found: dict[str, Reusable] = {}  # by scenario id: a point is reused once

    def read(self, earlier: EarlierSearch) -> Counter[str]:
        """Find the reusable trials of a search, and return how many are not, by the reason."""
        reasons = Counter[str]()
        for trial in earlier.trials:
            found = self._judge(earlier, trial)
            if isinstance(found, str):
                reasons[found] += 1
            else:
                self.found[found.scenario.id] = found
        return reasons

    def trials(self) -> list[FrozenTrial]:
        """The reusable trials as trials of this search, each in a slot: if it can, in the one that it had.

        So the sampler, which is seeded by the slot, does not choose a point again that is reused.
        """
        found = {self._first[id]: each for id, each in self.found.items() if id in self._first}
        moved, target = list[Reusable](), self._search.target()
        for each in (each for id, each in self.found.items() if id not in self._first):
            slot = slot_of(each.trial)
            if self._reserved <= slot < target and slot not in found:
                found[slot] = each
            else:
                moved.append(each)
        free = (slot for slot in count(self._reserved) if slot not in found)
        slots = found | dict(zip(free, moved, strict=False))
        return [self._frozen(each, slot) for slot, each in sorted(slots.items(), key=itemgetter(0))]

    def _judge(self, earlier: EarlierSearch, trial: FrozenTrial) -> Reusable | str:
        """The trial as one of this search, or why it is none."""
        if not self._search.reuse:
            return UNWANTED
        if earlier.asked is not None and earlier.asked.searched.seed != self._search.seed:
            return OTHER_SEED
        if trial.state != TrialState.COMPLETE:
            return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
        point = self._point(earlier, trial)
        if point is None:
            return ELSEWHERE
        scenario = point_scenario(self._study, point, self._digests)
        if scenario.id != trial.user_attrs.get("scenario_id") or not self._visits(scenario):
            return ELSEWHERE
        if scenario.id in self.found:
            return REPEATED
        scores = self._scores(earlier, trial, scenario)
        return scores if isinstance(scores, str) else Reusable(earlier.id, trial, point, scenario, *scores)

    def _point(self, earlier: EarlierSearch, trial: FrozenTrial) -> Point | None:
        """The point of this space that has the settings of a trial, as far as they can be in it; None outside."""
        asked, here = earlier.asked or self._study, self._study.base.weights
        try:
            settings = Settings.model_validate({**asked.base.model_dump(), "weights": here, **trial.params})
        except ValueError:  # of pydantic
            return None
        resolved = asked.resolved(settings).model_dump()
        point = self._search.complete({**resolved, **trial.params}, {})
        return point if all(self._search.space[key].holds(value) for key, value in point.items()) else None

    def _visits(self, scenario: Scenario) -> bool:
        return self._search.sampler != "grid" or scenario.id in self._first

    def _scores(
        self, earlier: EarlierSearch, trial: FrozenTrial, scenario: Scenario
    ) -> tuple[Sequence[float], Sequence[float]] | str:
        """The values and the running means of a trial by the objective of this search, or why there are none.

        They are computed from the fits in this store. Those of another machine are as it computed them, which holds
        where images, folds, seed and objective are the same.
        """
        objective, ledger = self._search.objective, self._workspace.ledger
        jobs = fold_jobs(self._study, scenario, self._digests)
        if not all(ledger.done(job.id) for job in jobs):
            there = earlier.asked and earlier.asked.searched.objective
            same = there and (there.metric, there.cost) == (objective.metric, objective.cost)
            if self._is_local or not same or not earlier.shares_inputs(self._workspace):
                return UNFITTED
            return trial.values, [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        records = [ledger.record(job.id) for job in jobs]
        if not self._comparable(records):
            return OTHER_CODE
        if any(not isfinite(record.metrics.get(objective.metric, float("nan"))) for record in records):
            return NO_VALUE
        means = [value_of(objective, records[: n + 1]) for n in range(len(records))]
        try:
            return values_of(objective, records), [] if objective.cost else means
        except HarnessError:  # without the cost of this objective
            return NO_VALUE

    def _comparable(self, records: Sequence[FoldRecord]) -> bool:
        """Whether these fits may stand in one table with those that this process would make."""
        codes = {record.facts.code for record in records} <= {None, code_digest()}
        return codes and (self._workspace.store.mixed_versions or not mixed_versions(records, self._versions))

    def _frozen(self, found: Reusable, slot: int) -> FrozenTrial:
        return create_trial(
            values=found.values,
            params=found.point,
            distributions=distributed(self._search, found.point),
            intermediate_values=dict(enumerate(found.means)),
            user_attrs={
                "slot": slot, "scenario_id": found.scenario.id, REUSED: f"{found.search_id}:{found.trial.number}",
            },
        )  # fmt: skip


def reuse_earlier(workspace: Workspace, queue: Queue, first: Sequence[Point], say: Callable[[str], None]) -> None:
    """Let a new search reuse the trials of earlier ones of this study that are in its space, and say which.

    A search that has trials of its own is not changed. first: the points of its first slots.
    """
    describe(workspace, queue)
    if not queue.is_new:
        return
    trials = list[FrozenTrial]()
    if earlier := earlier_searches(workspace.study.study, queue):
        reuse = Reuse(workspace, first, queue.is_local)
        for search in earlier:
            before = len(reuse.found)
            reasons = reuse.read(search)
            say(_words(search, search.differences(workspace), len(reuse.found) - before, reasons))
        trials = reuse.trials()
    queue.reuse(trials)


def _words(search: EarlierSearch, differences: str, reused: int, reasons: Mapping[str, int]) -> str:
    """The line that says what an earlier search has, what it searched otherwise, and what is reused."""
    count = len(search.trials)
    rest = f"; not reused: {', '.join(f'{n} {reason}' for reason, n in reasons.items())}" if reasons else ""
    trials = f"{number_of(count, 'trial')}"
    return f"earlier search {search.id[:ID_DIGITS]} of this study: {trials} ({differences}): {reused} reused{rest}"
