"""How far a study is: each stage's scenarios, which of their jobs are done, and who won."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.errors import StudyError
from harness.store.results import FoldRecord
from harness.study.allowed import CLASSIFIERS
from harness.study.contests import Contest, contests_of
from harness.study.fit_costs import mean_cost
from harness.study.identity import Digests, digest, study_id
from harness.study.messages import unknown
from harness.study.nested import NestedState
from harness.study.plan import Job
from harness.study.scenario_state import ScenarioState
from harness.study.stage import Stage
from harness.study.study import Study


@dataclass(frozen=True)
class StageState:
    """One stage. `scenarios` is empty while an earlier stage has not named the winner that it starts from.

    chosen: the id of the scenario that was selected, where it was by numbers of another unit than those here.
    """

    stage: Stage
    scenarios: tuple[ScenarioState, ...]
    waits_for: str | None = None
    chosen: str | None = None

    @property
    def finished(self) -> bool:
        return bool(self.scenarios) and all(state.finished for state in self.scenarios)

    @property
    def missing(self) -> list[Job]:
        """The jobs that are not done."""
        return [job for state in self.scenarios for job in state.missing]

    @cached_property
    def competing(self) -> list[ScenarioState]:
        """The scenarios that may be selected.

        One that leaks takes no part: its validation images were seen in training, so its mean chooses nothing. One
        whose epoch was chosen on them takes no part beside others, whose numbers are not as optimistic.
        """
        clean = [state for state in self.scenarios if not state.settings.leaks]
        return [state for state in clean if state.settings.select_epoch == "last"] or clean

    @cached_property
    def best(self) -> ScenarioState | None:
        """The winner by the stage's rule among its finished scenarios; None without `select`."""
        if self.chosen is not None:
            return next(state for state in self.scenarios if state.id == self.chosen)
        if self.stage.select is None or self.stage.select.rule == "best" or self.top is None:
            return self.top
        equal = [self.top, *(c.other for c in self.contests if c.practical == "equivalent")]
        cost = self.stage.select.cost
        return min(
            equal, key=lambda state: mean_cost(cost, state.records.values(), f"select.cost {cost}, {state.name}")
        )

    @cached_property
    def top(self) -> ScenarioState | None:
        """The finished scenario with the best mean of the metric, the first of equals; None without `select`."""
        finished = [state for state in self.competing if state.finished]
        if self.stage.select is None or not finished:
            return None
        sign = 1 if self.stage.select.maximize else -1
        means = {state.id: state.summary.get(f"{self.stage.select.metric}_mean") for state in finished}
        ranked = [(sign * mean, state) for state in finished if (mean := means[state.id]) is not None]
        return max(ranked, key=lambda pair: pair[0])[1] if ranked else None  # no group may be large enough

    @cached_property
    def contests(self) -> list[Contest]:
        """The top scenario against every other finished one that may be selected, in the order of the grid."""
        select, top = self.stage.select, self.top
        if select is None or top is None:
            return []
        others = [s for s in self.competing if s.finished and s is not top]
        return contests_of(top, [s for s in others if f"{select.metric}_mean" in s.summary], select)


@dataclass(frozen=True)
class StudyState:
    """How far a study is: its stages, the scenarios that are scored on the test set, and nested selections.

    A test is finished when its first refit is done, which is the one that is shown, packaged and registered.
    """

    stages: tuple[StageState, ...]
    tests: tuple[ScenarioState, ...] = ()
    nested: tuple[NestedState, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to fit."""
        tests = [state for test in self.tests for state in test.with_refits]
        stages = all(stage.finished for stage in self.stages) and all(nested.finished for nested in self.nested)
        return stages and all(test.finished for test in tests)

    @property
    def empty(self) -> bool:
        """Whether none of its fits is done."""
        return not any(fit.records for fit in self.fits)

    @property
    def scenarios(self) -> list[ScenarioState]:
        """The scenarios of all stages, each once."""
        return [scenario for scenario, _ in all_scenarios(self.stages)]

    @property
    def fits(self) -> list[ScenarioState]:
        """Everything that is fitted: the scenarios of all stages, each once, those scored on the test set, and those of
        nested selections."""
        tests = [state for test in self.tests for state in test.with_refits]
        return [*self.scenarios, *tests, *(fit for each in self.nested for fold in each.outer for fit in fold.fits)]

    @property
    def records(self) -> dict[str, FoldRecord]:
        """The records of all fits that are done, by job id: each once, though several stages may share it."""
        return {job_id: record for fit in self.fits for job_id, record in fit.records.items()}


def look_key(test: ScenarioState) -> str:
    """The key of a look at the test set: two looks are the same if the same jobs are scored."""
    return digest([job.id for job in test.scored_jobs])


def study_version(study: Study, digests: Digests) -> str:
    """The id of a study without its name and its seed: what other seeds, and a renamed file, have in common."""
    return study_id(study.model_copy(update={"study": "", "seed": 0}), digests)


def all_scenarios(stages: Iterable[StageState]) -> Iterator[tuple[ScenarioState, list[str]]]:
    """Every scenario once, with the names of its stages."""
    seen: dict[str, tuple[ScenarioState, list[str]]] = {}
    for state in stages:
        for scenario in state.scenarios:
            seen.setdefault(scenario.id, (scenario, []))[1].append(state.stage.name)
    yield from seen.values()


def find_scenario(state: StudyState, name: str) -> ScenarioState:
    """The scenario of this name or id. Raises StudyError, saying what there is."""
    known = state.scenarios
    found = next((each for each in known if name in (each.id, each.name)), None)
    if found is None:
        raise StudyError(f"--scenario: {unknown('scenario', name, [each.name for each in known])}")
    return found


def final_test(study: Study, state: StudyState) -> ScenarioState | str | None:
    """The test whose one network is the study's champion: of the last stage that is scored on the test set.

    Or the reason why the study ends without one; None if it asks for no test, or the test is not done.
    """
    if study.test is None or not state.tests or not all(test.finished for test in state.tests):
        return None
    if study.test.model != "refit":
        return "the test set is scored by the mean of the fold models, no single network; `model: refit` gives one"
    wanted = [stage.best.id for stage in state.stages if stage.stage.name in study.test.stages and stage.best]
    test = next((test for test in state.tests if wanted and test.id == wanted[-1]), None)
    if test is None:
        return "no stage that is scored on the test set selects a winner"
    if test.settings.snapshots > 1:
        return (
            f"the test set is scored by the mean of the networks after the last {test.settings.snapshots} epochs, no"
            " single network; `snapshots: 1` gives one"
        )
    if test.settings.backbone in CLASSIFIERS:
        return f"{test.settings.backbone} is a baseline and not a network that can be packaged"
    return test
