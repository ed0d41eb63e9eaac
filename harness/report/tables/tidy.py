"""Tidy tables for notebooks: one row an observation, a column for each factor, metrics under their names in MLflow."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from harness.report.numbers.marks import Marks, common_mark
from harness.report.numbers.records import Comparison, Estimate
from harness.report.tables.export import rounded
from harness.store.results import FoldRecord
from harness.study import Study
from harness.study.plan import Job
from harness.study.scenario_names import ScenarioNames
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState

_Row = dict[str, Any]
KEYS = ("scenario", "scenario_id")  # before the factors


class _Keys:
    """The first columns of a row about a scenario: name, id, and the level of each factor; None where it has none."""

    def __init__(self, study: Study) -> None:
        self._names, self._factors = ScenarioNames(study), study.factors

    def of(self, state: ScenarioState) -> _Row:
        levels = self._names.levels(state.settings)
        return {"scenario": state.name, "scenario_id": state.id, **{key: levels.get(key) for key in self._factors}}


def plan_table(study: Study, state: StudyState) -> pd.DataFrame:
    """A row for each scenario of each stage that is known: its fits, how many are done, and whether it is selected."""
    keys = _Keys(study)
    rows = [
        {"stage": stage.stage.name, **keys.of(scenario), "fits": len(scenario.jobs), "done": len(scenario.records)}
        | {"selected": stage.finished and stage.best is scenario}
        for stage in state.stages
        for scenario in stage.scenarios
    ]
    return pd.DataFrame(rows, columns=["stage", *KEYS, *study.factors, "fits", "done", "selected"])


def scenario_table(study: Study, state: StudyState, marks: Marks) -> pd.DataFrame:
    """The plan's rows, each with `<metric>_mean` and `<metric>_std` over the folds done, costs, and the mark."""
    scenarios = [scenario for stage in state.stages for scenario in stage.scenarios]
    numbers: list[_Row] = [
        {**s.summary, **(s.cost.metrics if s.cost else {}), "mark": marks.scenario(s.settings)} for s in scenarios
    ]
    return pd.concat([plan_table(study, state), pd.DataFrame(numbers)], axis="columns")


def fold_table(study: Study, state: StudyState, marks: Marks) -> pd.DataFrame:
    """A row for each fit on a fold that is done, with the metrics of the epoch that counts; scenarios each once."""
    return pd.DataFrame(
        {**at, "selected_epoch": record.selected_epoch, **scenario.metrics(job.id)}
        | {"seconds": record.facts.seconds, "device": record.facts.device, "mark": marks.scenario(scenario.settings)}
        for at, scenario, job, record in _fits(study, state)
    )


def epoch_table(study: Study, state: StudyState, marks: Marks) -> pd.DataFrame:
    """A row for each epoch of each fit on a fold that is done, with its metrics, which are of images."""
    return pd.DataFrame(
        {**at, "epoch": epoch, **metrics, "mark": marks.scenario(scenario.settings)}
        for at, scenario, _, record in _fits(study, state)
        for epoch, metrics in enumerate(record.history, start=1)
    )


def _fits(study: Study, state: StudyState) -> Iterator[tuple[_Row, ScenarioState, Job, FoldRecord]]:
    """The fits on folds that are done, with their first columns."""
    keys = _Keys(study)
    for scenario in state.scenarios:
        for job in scenario.jobs:
            if job.id in scenario.records:
                at = {**keys.of(scenario), "repeat": job.repeat, "fold": job.fold, "job_id": job.id}
                yield at, scenario, job, scenario.records[job.id]


def prediction_table(
    study: Study,
    scenarios: Iterable[ScenarioState],
    frame_of: Callable[[ScenarioState], pd.DataFrame],
    mark_of: Callable[[ScenarioState], str | None],
) -> pd.DataFrame:
    """A row for each prediction of each of these scenarios: image, patient, true label, `prob_<class>`, and the mark.

    A column of the metadata that is called like a factor is `metadata/<name>` here.
    """
    keys, frames = _Keys(study), list[pd.DataFrame]()
    for scenario in scenarios:
        at, frame = keys.of(scenario), frame_of(scenario)
        frame = frame.rename(columns={name: f"metadata/{name}" for name in frame if name in at})
        first = pd.DataFrame(at, index=frame.index, columns=list(at))
        frames.append(pd.concat([first, frame.assign(mark=mark_of(scenario))], axis="columns"))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*KEYS, *study.factors])


def estimate_rows(study: Study, state: StudyState, estimates: Sequence[Estimate]) -> pd.DataFrame:
    """A row for each number of the report's tables; its interval is in low and high, or in the bootstrap's columns.

    The factors are those of the scenario that `subject` names.
    """
    keys = _Keys(study)
    known = {fit.name: {key: v for key, v in keys.of(fit).items() if key != "scenario"} for fit in state.fits}
    rows = [{"subject": e.subject, **known.get(e.subject, {})} | e.model_dump(exclude=_NOT_TIDY) for e in estimates]
    fields = [name for name in Estimate.model_fields if name not in {"subject", *_NOT_TIDY}]
    return pd.DataFrame(rows, columns=["subject", "scenario_id", *study.factors, *fields])


_NOT_TIDY = {"folds", "run_id"}  # the values of the folds have a table of their own


def comparison_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each test of a difference, first minus second, with its interval, p and verdicts."""
    return pd.DataFrame([c.model_dump() for c in comparisons], columns=list(Comparison.model_fields))


def html_table(title: str, table: pd.DataFrame) -> str:
    """The table for a notebook: rounded, with its title, and the mark that all rows share above it."""
    mark, rest = common_mark(table)
    words = pd.DataFrame({"": [title, *([mark] if mark else [])]}).to_html(index=False, header=False, border=0)
    return words + rounded(rest).fillna("").to_html(index=False, border=0)
