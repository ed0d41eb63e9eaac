"""One scenario of a study as far as it is: its jobs, the records of those that are done, and what they come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import mean, stdev

from harness.store.results import FoldRecord, Metrics
from harness.study.fit_costs import ScenarioCost, scenario_cost
from harness.study.plan import Job, Scenario
from harness.study.settings import ResolvedSettings
from harness.study.unit import UnitScores
from harness.study.worst_group import WorstGroup


@dataclass(frozen=True)
class ScenarioState:
    """One scenario of a stage: its jobs, and the records of those that are done."""

    scenario: Scenario
    jobs: tuple[Job, ...]
    records: Mapping[str, FoldRecord]  # job id -> record
    worst: Mapping[str, WorstGroup] = field(default_factory=dict)  # metric of the worst group -> that group
    scores: Mapping[str, UnitScores] = field(default_factory=dict)  # job id -> those of patients; empty of images
    refits: "ScenarioState | None" = None  # the further ones of a test, with seeds of their own; None: there is one

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

    @property
    def with_refits(self) -> "tuple[ScenarioState, ...]":
        """The state itself and, of a test, that of the further refits."""
        return (self,) if self.refits is None else (self, self.refits)

    @property
    def scored_jobs(self) -> list[Job]:
        """The jobs, and those of the further refits."""
        return [job for state in self.with_refits for job in state.jobs]

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

    @cached_property
    def summary(self) -> Metrics:
        """The mean and the standard deviation (n - 1) over the folds done, as `<metric>_mean` and `<metric>_std`."""
        done = [self.metrics(job_id) for job_id in self.records]
        if not done:
            return {}
        values = {name: [metrics[name] for metrics in done] for name in done[0]}
        spread = {f"{name}_std": stdev(v) for name, v in values.items() if len(v) > 1}
        worst = {f"{name}{end}": v for name, group in self.worst.items() for end, v in group.summary.items()}
        return {f"{name}_mean": mean(v) for name, v in values.items()} | spread | worst
