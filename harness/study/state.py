"""How far a study is: each stage's scenarios, which of their jobs are done, and who won."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from harness.errors import HarnessError, LeakageError
from harness.stats import ALPHA
from harness.stats.paired import Test, corrected_t, holm
from harness.store import Ledger
from harness.store.results import FoldRecord, Metrics
from harness.study.identity import Digests, digest
from harness.study.plan import Job, Scenario, fold_jobs, stage_scenarios, test_jobs
from harness.study.provenance import decisive_code
from harness.study.settings import CLASSIFIERS, Settings
from harness.study.study import Stage, Study

COUNTED = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "specificity", "mcc")  # of called images
ORDERED = ("roc_auc", "pr_auc")  # of the images' order


@dataclass(frozen=True)
class ScenarioState:
    """One scenario of a stage: its jobs, and the records of those that are done."""

    scenario: Scenario
    jobs: tuple[Job, ...]
    records: Mapping[str, FoldRecord]  # job id -> record

    @property
    def finished(self) -> bool:
        return len(self.records) == len(self.jobs)

    @property
    def cost(self) -> float:
        """The number of parameters that its predictions depend on, trained or not, the mean over the folds done."""
        return mean(float(record.facts.parameters) for record in self.records.values())

    @property
    def learnt(self) -> float:
        """The number of its trained parameters, the mean over the folds done."""
        return mean(float(record.facts.trained_parameters) for record in self.records.values())

    @property
    def summary(self) -> Metrics:
        """The mean and the standard deviation (n - 1) over the folds done, as `<metric>_mean` and `<metric>_std`."""
        records = list(self.records.values())
        if not records:
            return {}
        values = {name: [record.metrics[name] for record in records] for name in records[0].metrics}
        spread = {f"{name}_std": stdev(v) for name, v in values.items() if len(v) > 1}
        return {f"{name}_mean": mean(v) for name, v in values.items()} | spread


@dataclass(frozen=True)
class StageState:
    """One stage. `scenarios` is empty while an earlier stage has not named the winner that it starts from."""

    stage: Stage
    scenarios: tuple[ScenarioState, ...]
    waits_for: str | None = None

    @property
    def finished(self) -> bool:
        return bool(self.scenarios) and all(state.finished for state in self.scenarios)

    @property
    def missing(self) -> list[Job]:
        """The jobs that are not done."""
        return [job for state in self.scenarios for job in state.jobs if job.id not in state.records]

    @property
    def best(self) -> ScenarioState | None:
        """The winner by the stage's rule among its finished scenarios; None without `select`."""
        if self.stage.select is None or self.stage.select.rule == "best" or self.top is None:
            return self.top
        return min([self.top, *(c.other for c in contests(self) if not c.resolved)], key=lambda state: state.cost)

    @property
    def top(self) -> ScenarioState | None:
        """The finished scenario with the best mean of the metric, the first of equals; None without `select`.

        One that leaks takes no part: its validation images were seen in training, so its mean chooses nothing.
        """
        finished = [state for state in self.scenarios if state.finished and not state.scenario.settings.leaks]
        if self.stage.select is None or not finished:
            return None
        sign = 1 if self.stage.select.maximize else -1
        metric = f"{self.stage.select.metric}_mean"
        return max(finished, key=lambda state: sign * state.summary[metric])


@dataclass(frozen=True)
class Contest:
    """A stage's top scenario against another one on the same folds: the corrected resampled t-test of the metric."""

    top: ScenarioState
    other: ScenarioState
    test: Test  # of top minus other
    p_holm: float  # adjusted for all contests of the stage

    @property
    def resolved(self) -> bool:
        return self.p_holm < ALPHA


def contests(state: StageState) -> list[Contest]:
    """The top scenario of a stage against every other finished one that does not leak, in the order of the grid."""
    if state.stage.select is None or state.top is None:
        return []
    metric, top = state.stage.select.metric, state.top
    others = [s for s in state.scenarios if s.finished and s is not top and not s.scenario.settings.leaks]
    tests = [fold_test(top, other, metric) for other in others]
    adjusted = holm([test.p for test in tests])
    return [Contest(top, *row) for row in zip(others, tests, adjusted, strict=True)]


def fold_test(first: ScenarioState, second: ScenarioState, metric: str) -> Test:
    """The corrected resampled t-test of the first minus the second over their folds; both are finished."""
    return corrected_t(fold_differences(first, second, metric), val_to_train(first), least_step(first, metric))


def fold_differences(first: ScenarioState, second: ScenarioState, metric: str) -> list[float]:
    """The metric of the first minus that of the second, in each of their folds; both are finished."""
    pairs = zip(first.jobs, second.jobs, strict=True)  # both in the order of repeats and folds
    return [first.records[a.id].metrics[metric] - second.records[b.id].metrics[metric] for a, b in pairs]


def val_to_train(state: ScenarioState) -> float:
    """n_val / n_train of a fold: 1 / (k - 1)."""
    return 1 / (len({job.fold for job in state.jobs}) - 1)


def least_step(state: ScenarioState, metric: str) -> float:
    """By how much the least change of one fold's predictions moves a metric; 0 for losses, which have no steps.

    One image that is called otherwise moves accuracy by 1 / n_val, and the other counted metrics by that on average.
    One pair of images that is ordered otherwise moves the area under a ROC curve by one of its positive x negative
    pairs. The validation images are those of a stratified fold: the training images, before oversampling, x n_val /
    n_train.
    """
    name, ratio = metric.removeprefix("val/"), val_to_train(state)
    counts = [r.class_counts["before"].values() for r in state.records.values() if "before" in r.class_counts]
    if not counts or name not in COUNTED + ORDERED:
        return 0.0
    classes = [ratio * mean(map(float, of_class)) for of_class in zip(*counts, strict=True)]
    images = sum(classes)
    return 1 / (images if name in COUNTED else max(n * (images - n) for n in classes))


def stage_state(study: Study, stage: Stage, start: Settings | None, digests: Digests, ledger: Ledger) -> StageState:
    """The state of one stage as the ledger has it; `start` are the settings of the last winner."""
    scenarios = stage_scenarios(study, stage, start, digests)
    states = tuple(scenario_state(s, fold_jobs(study, s, digests), ledger) for s in scenarios)
    require_one_code(states)
    return StageState(stage, states)


def study_state(study: Study, digests: Digests, ledger: Ledger, provisional: bool = False) -> list[StageState]:
    """The state of every stage.

    A stage that selects hands its winner on once all its jobs are done; with `provisional` its best finished
    scenario stands in, as in a run that had to go on past failures.
    """
    states: list[StageState] = []
    start: Settings | None = None
    waits_for: str | None = None
    for stage in study.stages:
        state = StageState(stage, (), waits_for) if waits_for else stage_state(study, stage, start, digests, ledger)
        states.append(state)
        if stage.select and not waits_for:
            best = state.best if state.finished or provisional else None
            start, waits_for = (best.scenario.settings, None) if best else (start, stage.name)
    return states


def test_states(study: Study, states: list[StageState], digests: Digests, ledger: Ledger) -> list[ScenarioState]:
    """The scenarios to be scored on the test set, each once: the winners of finished stages, or all where so declared.

    None from behind a selecting stage that is not finished: what it lacks may yet change who went on from it.
    """
    wanted = study.test.stages if study.test else []
    chosen: dict[str, Scenario] = {}
    for state in states:
        if state.stage.select and not state.finished:
            break
        if study.test and state.stage.name in wanted:
            winner = [state.best] if state.best else []
            everyone = list(state.scenarios) if state.finished else []
            found = everyone if study.test.scenarios == "all" else winner
            chosen.update({s.scenario.id: s.scenario for s in found})
    return [scenario_state(s, test_jobs(study, s, digests), ledger) for s in chosen.values()]


def require_one_code(states: Iterable[ScenarioState], coming: str | None = None) -> None:
    """Raises HarnessError where fits that stand in one table were made by different code: a table never mixes it.

    coming: the code of the fits that are still to be made.
    """
    codes = Counter(r.facts.code for state in states for r in state.records.values() if r.facts.code is not None)
    if len({*codes, *([coming] if coming else [])}) > 1:
        found = ", ".join(f"{count} by {code}" for code, count in codes.items())
        raise HarnessError(
            f"code that decides numbers has changed since fits of this study were made"
            f" ({found}{f'; now it is {coming}' if coming else ''}), and one table never mixes code: continue with the"
            f" code that made them, or start again in another --store. The code is {decisive_code()}"
        )


def look_key(test: ScenarioState) -> str:
    """What makes two looks at the test set the same one: the very jobs that are scored."""
    return digest([job.id for job in test.jobs])


def all_scenarios(states: list[StageState]) -> Iterator[tuple[ScenarioState, list[str]]]:
    """Every scenario once, with the names of the stages that it stands in."""
    seen: dict[str, tuple[ScenarioState, list[str]]] = {}
    for state in states:
        for scenario in state.scenarios:
            seen.setdefault(scenario.scenario.id, (scenario, []))[1].append(state.stage.name)
    yield from seen.values()


def scenario_state(scenario: Scenario, jobs: Sequence[Job], ledger: Ledger) -> ScenarioState:
    """The state of one scenario as the ledger has it.

    Every table starts here. Raises LeakageError for a stored fit of another fold: tables never mix fold assignments.
    """
    records = {job.id: ledger.record(job.id) for job in jobs if ledger.done(job.id)}
    for job in jobs:
        found = (records[job.id].facts.fold_digest or job.rows) if job.id in records else job.rows
        if found != job.rows:
            raise LeakageError(
                f"{scenario.name}, {job.name}: {ledger.path(job.id)} was fitted on the fold {found}, and this study's"
                f" is {job.rows}; one table never mixes fold assignments: remove that folder, and run the study again"
            )
    return ScenarioState(scenario, tuple(jobs), records)


def final_test(
    study: Study, states: Sequence[StageState], tests: Sequence[ScenarioState]
) -> ScenarioState | str | None:
    """The test whose one network is the study's champion: of the last stage that is scored on the test set.

    Or in words why the study ends without one; None where it asks for no test, or the test is not done.
    """
    if study.test is None or not tests or not all(test.finished for test in tests):
        return None
    if study.test.model != "refit":
        return "the test set is scored by the mean of the fold models, no single network; `model: refit` gives one"
    wanted = [state.best.scenario.id for state in states if state.stage.name in study.test.stages and state.best]
    test = next((test for test in tests if wanted and test.scenario.id == wanted[-1]), None)
    if test is None:
        return "no stage that is scored on the test set selects a winner"
    if test.scenario.settings.backbone in CLASSIFIERS:
        return f"{test.scenario.settings.backbone} is a baseline and not a network that can be packaged"
    return test
