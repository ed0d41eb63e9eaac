"""How far a study is: each stage's scenarios, which of their jobs are done, and who won."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import mean, stdev

from harness.stats import ALPHA
from harness.stats.paired import Test, corrected_t, holm
from harness.stats.practical import Chances, Practical, chances
from harness.store.results import FoldRecord, Metrics
from harness.study.fit_costs import ScenarioCost, mean_cost, scenario_cost
from harness.study.identity import Digests, digest, study_id
from harness.study.metric_steps import metric_step
from harness.study.plan import Job, Scenario
from harness.study.settings import CLASSIFIERS, ResolvedSettings
from harness.study.stage import Stage
from harness.study.study import Study
from harness.study.types import is_worst_group
from harness.study.unit import UnitScores
from harness.study.worst_group import WorstGroup, worst_group_test


@dataclass(frozen=True)
class ScenarioState:
    """One scenario of a stage: its jobs, and the records of those that are done."""

    scenario: Scenario
    jobs: tuple[Job, ...]
    records: Mapping[str, FoldRecord]  # job id -> record
    worst: Mapping[str, WorstGroup] = field(default_factory=dict)  # metric of the worst group -> that group
    scores: Mapping[str, UnitScores] = field(default_factory=dict)  # job id -> those of patients; empty of images

    @property
    def id(self) -> str:
        """The id of the scenario."""
        return self.scenario.id

    @property
    def name(self) -> str:
        """The name of the scenario."""
        return self.scenario.name

    @property
    def settings(self) -> ResolvedSettings:
        """The settings of the scenario, all resolved."""
        return self.scenario.settings

    @property
    def finished(self) -> bool:
        return len(self.records) == len(self.jobs)

    @property
    def missing(self) -> list[Job]:
        """The jobs that are not done."""
        return [job for job in self.jobs if job.id not in self.records]

    def with_record(self, record: FoldRecord) -> "ScenarioState":
        """The state after another job is done."""
        return replace(self, records={**self.records, record.job_id: record})

    def metrics(self, job_id: str) -> Metrics:
        """The metrics of a job that is done: of its validation patients where they are the unit, else of its images."""
        return self.scores[job_id].metrics if job_id in self.scores else self.records[job_id].metrics

    @property
    def cost(self) -> ScenarioCost | None:
        """What it costs, by the fits done; None before the first."""
        return scenario_cost(self.records.values()) if self.records else None

    @property
    def summary(self) -> Metrics:
        """The mean and the standard deviation (n - 1) over the folds done, as `<metric>_mean` and `<metric>_std`."""
        done = [self.metrics(job_id) for job_id in self.records]
        if not done:
            return {}
        values = {name: [metrics[name] for metrics in done] for name in done[0]}
        spread = {f"{name}_std": stdev(v) for name, v in values.items() if len(v) > 1}
        worst = {f"{name}{end}": v for name, group in self.worst.items() for end, v in group.summary.items()}
        return {f"{name}_mean": mean(v) for name, v in values.items()} | spread | worst


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

    @property
    def competing(self) -> list[ScenarioState]:
        """The scenarios that may be selected.

        One that leaks takes no part: its validation images were seen in training, so its mean chooses nothing. One
        whose epoch was chosen on them takes no part beside others, whose numbers are not as optimistic.
        """
        clean = [state for state in self.scenarios if not state.settings.leaks]
        return [state for state in clean if state.settings.select_epoch == "last"] or clean

    @property
    def best(self) -> ScenarioState | None:
        """The winner by the stage's rule among its finished scenarios; None without `select`."""
        if self.chosen is not None:
            return next(state for state in self.scenarios if state.id == self.chosen)
        if self.stage.select is None or self.stage.select.rule == "best" or self.top is None:
            return self.top
        equal = [self.top, *(c.other for c in contests(self) if c.practical == "equivalent")]
        cost = self.stage.select.cost
        return min(
            equal, key=lambda state: mean_cost(cost, state.records.values(), f"select.cost {cost}, {state.name}")
        )

    @property
    def top(self) -> ScenarioState | None:
        """The finished scenario with the best mean of the metric, the first of equals; None without `select`."""
        finished = [state for state in self.competing if state.finished]
        if self.stage.select is None or not finished:
            return None
        sign = 1 if self.stage.select.maximize else -1
        means = {state.id: state.summary.get(f"{self.stage.select.metric}_mean") for state in finished}
        ranked = [(sign * mean, state) for state in finished if (mean := means[state.id]) is not None]
        return max(ranked, key=lambda pair: pair[0])[1] if ranked else None  # no group may be large enough


@dataclass(frozen=True)
class StudyState:
    """How far a study is: its stages, and the scenarios that are scored on the test set."""

    stages: tuple[StageState, ...]
    tests: tuple[ScenarioState, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to fit."""
        return all(stage.finished for stage in self.stages) and all(test.finished for test in self.tests)

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
        """Everything that is fitted: the scenarios of all stages, each once, and those scored on the test set."""
        return [*self.scenarios, *self.tests]


@dataclass(frozen=True)
class Contest:
    """A stage's top scenario against another one on the same folds: the corrected resampled t-test of the metric."""

    top: ScenarioState
    other: ScenarioState
    test: Test  # of top minus other
    chances: Chances | None  # of the top one, within the stage's margin; None where the folds do not show their spread
    p_holm: float  # adjusted for all pairs of the stage

    @property
    def resolved(self) -> bool:
        return self.p_holm < ALPHA

    @property
    def practical(self) -> Practical:
        """The practical verdict on the top one."""
        return self.chances.verdict(self.resolved) if self.chances else "not known"


def contests(state: StageState) -> list[Contest]:
    """The top scenario of a stage against every other finished one that may be selected, in the order of the grid.

    The folds chose which scenario is the top one, so its p values are adjusted for all pairs that they chose from.
    """
    if state.stage.select is None or state.top is None:
        return []
    metric, top = state.stage.select.metric, state.top
    others = [s for s in state.competing if s.finished and s is not top]
    others = [s for s in others if f"{metric}_mean" in s.summary]
    tests = [fold_test(top, other, metric) for other in others]
    found = [chances(test, state.stage.select.margin) for test in tests]
    found = found if state.stage.select.maximize else [of and of.reversed for of in found]
    adjusted = holm([test.p for test in tests], pairs(len(others) + 1))
    return [Contest(top, *row) for row in zip(others, tests, found, adjusted, strict=True)]


def pairs(scenarios: int) -> int:
    """The number of pairs of so many scenarios."""
    return scenarios * (scenarios - 1) // 2


def fold_test(first: ScenarioState, second: ScenarioState, metric: str) -> Test:
    """The corrected resampled t-test of the first minus the second over their folds; both are finished."""
    ratio = max(map(val_to_train, (first, second)))
    if is_worst_group(metric):
        return worst_group_test(first.worst[metric], second.worst[metric], ratio)
    return corrected_t(fold_differences(first, second, metric), ratio, least_step(first, metric))


def fold_differences(first: ScenarioState, second: ScenarioState, metric: str) -> list[float]:
    """The metric of the first minus that of the second, in each of their folds; both are finished."""
    pairs = zip(first.jobs, second.jobs, strict=True)  # both in the order of repeats and folds
    return [first.metrics(a.id)[metric] - second.metrics(b.id)[metric] for a, b in pairs]


def val_to_train(state: ScenarioState) -> float:
    """n_val / n_train of a fold: 1 / (k - 1); more where a share of the training images is used."""
    return 1 / ((len({job.fold for job in state.jobs}) - 1) * state.settings.train_share)


def least_step(state: ScenarioState, metric: str) -> float:
    """By how much the least change of one fold's predictions moves a metric; 0 for losses, which have no steps.

    The validation images are those of a stratified fold: the training images, before oversampling, x n_val / n_train.
    Patients are counted.
    """
    if state.scores:
        of_class = zip(*(scores.counts for scores in state.scores.values()), strict=True)
        return metric_step(metric.removeprefix("val/"), [mean(map(float, counts)) for counts in of_class])
    ratio = val_to_train(state)
    counts = [r.class_counts["before"].values() for r in state.records.values() if "before" in r.class_counts]
    images = [ratio * mean(map(float, of_class)) for of_class in zip(*counts, strict=True)]
    return metric_step(metric.removeprefix("val/"), images)


def look_key(test: ScenarioState) -> str:
    """The key of a look at the test set: two looks are the same if the same jobs are scored."""
    return digest([job.id for job in test.jobs])


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
