"""Every number of a study's report."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.data.dataset import Dataset, set_split
from harness.data.inputs import Workspace
from harness.data.subgroups import image_groups
from harness.data.units import unit_dataset
from harness.report.numbers.chosen import OnResamples, chosen
from harness.report.numbers.comparisons import (
    OUT_OF_FOLD,
    TEST,
    RunOf,
    stage_comparisons,
    test_comparisons,
)
from harness.report.numbers.estimates import over_patients, patients_of, rate
from harness.report.numbers.fold_numbers import scenario_estimates
from harness.report.numbers.inflation import inflation_findings, leak_comparisons
from harness.report.numbers.look_history import LookHistory
from harness.report.numbers.marks import LEAKS, Marks, marks_of, together
from harness.report.numbers.nested_numbers import nested_estimates, nested_findings
from harness.report.numbers.predictions import Predictions
from harness.report.numbers.records import Comparison, Estimate, Finding, PatientStatistics, Statistics
from harness.report.numbers.refit_numbers import all_refits
from harness.report.numbers.set_numbers import (
    TEST_SETS,
    further_set_estimates,
    on_set,
    set_look_findings,
    set_marks,
)
from harness.report.numbers.site_numbers import site_estimates
from harness.report.numbers.study_subgroups import study_subgroups
from harness.report.numbers.tested import ON_TEST, tested_estimates
from harness.report.numbers.treatment_tests import treatment_comparisons, treatment_findings
from harness.report.numbers.treatments import treated_scenarios
from harness.report.registered import registration_findings
from harness.study.scenario_state import ScenarioState
from harness.study.state import StudyState
from harness.study.types import is_worst_group
from harness.study.unit import Unit

MAJORITY = "majority class"


def study_statistics(workspace: Workspace, state: StudyState, unit: Unit, run_of: RunOf) -> Statistics:
    """The contents of the study's `statistics.json`, from stored results.

    unit: of the numbers, as the state has them. run_of: returns the MLflow run of a level and a key; its id is stored
    with the numbers.
    """
    dataset = workspace.inputs.dataset
    predictions = Predictions(workspace.ledger, dataset.positive, unit)
    stages = _chosen(workspace, state, predictions, run_of)
    estimates = _estimates(workspace, state, predictions, run_of)
    estimates += [e for each in stages for e in each.estimates] + nested_estimates(state.nested, predictions)
    inflation = leak_comparisons(state.scenarios)
    treated = treated_scenarios(state.scenarios, predictions)
    estimates += [e for t in treated for e in t.estimates(run_of("scenario", t.state.id))]
    treatments = treatment_comparisons(treated)
    marks = marks_of(workspace.study, state, dataset.synthetic)
    marked = _Marked(workspace, state, marks)
    groups = study_subgroups(workspace, state, predictions, run_of)
    by_group = [found.marked(marked.mark(found.state.name, found.on)) for found in groups]
    found = Statistics(
        kind="study",
        name=workspace.study.study,
        study_id=workspace.identity,
        manifest_digest=dataset.digest,
        folds_digest=workspace.inputs.digests.all_folds,
        marks=list(marks.of_study),
        estimates=[
            *(marked.estimate(_worded(e, unit)) for e in estimates),
            *(e for found in by_group for e in found.estimates),
        ],
        comparisons=[
            *(marked.comparison(c) for c in [*_comparisons(state, predictions, stages), *inflation, *treatments]),
            *(c for found in by_group for c in found.comparisons),
        ],
        findings=[
            *(marked.finding(f, LEAKS) for f in inflation_findings(inflation)),
            *(marked.finding(f) for f in treatment_findings(treatments, estimates, unit)),
            *(marked.finding(f) for f in _known_before(workspace, state)),
            *(marked.finding(f) for f in nested_findings(state.nested, state.stages, estimates)),
            *(found.finding for found in by_group),
        ],
    )
    if unit.patients:
        return PatientStatistics(**dict(found), combine=unit.combine, left_out=len(unit.left_out))
    return found


def _estimates(workspace: Workspace, state: StudyState, predictions: Predictions, run_of: RunOf) -> list[Estimate]:
    """All estimates but those of subgroups."""
    dataset = workspace.inputs.dataset
    found = _validation_estimates(state, predictions, run_of)
    found += tested_estimates(workspace.study, state, predictions, run_of)
    further = dataset.further_sets
    found += further_set_estimates(further, state, predictions, run_of, found) if further else []
    found += site_estimates(workspace, state, predictions, run_of)
    return found + majority_estimates(unit_dataset(dataset, predictions.unit)) if found else []


def _known_before(workspace: Workspace, state: StudyState) -> list[Finding]:
    """What is known of the study besides its numbers: its registration, other seeds, and looks at its test sets."""
    history = LookHistory(workspace, state.scenarios, state.tests).findings
    tried = [Finding(kind="seeds tried", text=text) for text in workspace.study.tried.words]
    return [*registration_findings(workspace, state), *tried, *history, *set_look_findings(workspace, state)]


def _worded(estimate: Estimate, unit: Unit) -> Estimate:
    """The estimate, whose method counts what the unit is."""
    method = estimate.method and estimate.method.replace("images", unit.plural)
    return estimate.model_copy(update={"method": method})


def _validation_estimates(state: StudyState, predictions: Predictions, run_of: RunOf) -> list[Estimate]:
    found: list[Estimate] = []
    for scenario in state.scenarios:
        if scenario.finished:
            found += scenario_estimates(scenario, predictions, run_of("scenario", scenario.id))
    return found


def _chosen(workspace: Workspace, state: StudyState, predictions: Predictions, run_of: RunOf) -> list[OnResamples]:
    """What resamples say of each stage."""
    unit, dataset, found = predictions.unit, workspace.inputs.dataset, []
    for stage in state.stages:
        by_group = stage.stage.select is not None and is_worst_group(stage.stage.select.metric)
        groups = image_groups(workspace.groups_of(unit), dataset) if by_group else None
        found.append(chosen(stage, predictions, groups, run_of))
    return found


def _comparisons(state: StudyState, predictions: Predictions, chosen: Sequence[OnResamples]) -> list[Comparison]:
    """The comparisons within every stage, and on the test set of the selected scenario with the others; each once."""
    found: list[Comparison] = []
    for stage, resampled in zip(state.stages, chosen, strict=True):
        found += [c for c in map(resampled.compared, stage_comparisons(stage)) if c not in found]
    if winner := selected_test(state):
        others = [test for test in state.tests if test.finished and test is not winner]
        found += test_comparisons(winner, others, predictions)
    return found


class _Marked:
    """Adds the marks to estimates and comparisons."""

    def __init__(self, workspace: Workspace, state: StudyState, marks: Marks) -> None:
        self._every, dataset, ledger = marks.every, workspace.inputs.dataset, workspace.ledger
        self._validated = {s.name: marks.scenario(s.settings) for s in state.scenarios}
        self._tested = {s.name: marks.test(dataset, s.settings, ledger) for s in state.tests}
        self._further = set_marks(workspace, state, marks)

    def mark(self, subject: str, on: str) -> str | None:
        """The mark of a number of this subject on these images."""
        on = all_refits(on)
        if on in (TEST_SETS.mean, TEST_SETS.another):
            return together([self._tested[subject], *(m for (name, _), m in self._further.items() if name == subject)])
        if (subject, on) in self._further:
            return self._further[subject, on]
        marks = self._tested if on in ON_TEST else self._validated
        return marks.get(subject, self._every)

    def estimate(self, found: Estimate) -> Estimate:
        """The estimate with its mark."""
        return found.model_copy(update={"mark": self.mark(found.subject, found.on)})

    def comparison(self, found: Comparison) -> Comparison:
        """The comparison with the marks of both sides."""
        marks = self._tested if found.on == TEST else self._validated
        sides = [marks[name] for name in (found.first, found.second)]
        return found.model_copy(update={"mark": together([*sides, found.mark])})

    def finding(self, found: Finding, more: str | None = None) -> Finding:
        """The finding with the mark of the whole study, and one more."""
        return found.model_copy(update={"mark": together([self._every, more])})


def selected_test(state: StudyState) -> ScenarioState | None:
    """The scored scenario that the last selecting stage chose; None where that one is not scored."""
    chosen = [stage.best.id for stage in state.stages if stage.stage.select and stage.best]
    scored = {test.id: test for test in state.tests if test.finished}
    return next((scored[found] for found in reversed(chosen) if found in scored), None)


def majority_estimates(dataset: Dataset) -> list[Estimate]:
    """The accuracy of predicting the most frequent class of the training set for every image: the baseline to beat."""
    further = {on_set(name): dataset.rows(set_split(name)) for name in dataset.further_sets}
    rows = {OUT_OF_FOLD: dataset.rows("train"), TEST: dataset.rows("test"), **further}
    counts = dataset.counts(rows[OUT_OF_FOLD])
    commonest = max(counts, key=lambda name: counts[name])
    return [_majority(dataset.table.iloc[of_split], commonest, on) for on, of_split in rows.items() if len(of_split)]


def _majority(images: pd.DataFrame, commonest: str, on: str) -> Estimate:
    hits = (images["label"] == commonest).to_numpy()[None]
    e = rate(MAJORITY, on, "accuracy", int(hits.sum()), hits.size)
    return over_patients(e, hits, np.ones_like(hits), patients_of(images))
