"""The plan of a study in its store: its images, networks and scenarios, what is done, and what the rest costs."""

from dataclasses import dataclass

import pandas as pd

from harness.data.cached_inputs import cache_inputs
from harness.data.inputs import Workspace
from harness.execution.costs import Costs, study_costs
from harness.prepare import nothing_left_if_refused, prepare
from harness.report.numbers.marks import study_marks
from harness.report.tables.tidy import html_table, plan_table
from harness.store import Store
from harness.study import Study
from harness.study.number_words import is_are, number_of
from harness.study.state import StudyState
from harness.training.preflight import Networks, check_networks, check_own_parts


@dataclass(frozen=True)
class PlannedStudy:
    """What a study will do, and how much of that is done."""

    workspace: Workspace
    state: StudyState
    networks: Networks

    @property
    def costs(self) -> Costs | None:
        """The cost of what is left, by the probes in the store; None if there are none."""
        return study_costs(self.workspace, self.state)

    @property
    def marks(self) -> list[str]:
        """Why every number of the study will be less than it seems."""
        return study_marks(self.workspace.study, self.workspace.inputs.dataset.synthetic)

    def scenarios(self) -> pd.DataFrame:
        """The scenarios that are known: stage, a column for each factor, the number of fits, and how many are done."""
        return plan_table(self.workspace.study, self.state)

    def __str__(self) -> str:
        missing = sum(len(fit.missing) for fit in self.state.fits)
        fits = sum(len(fit.jobs) for fit in self.state.fits)
        nested = sum(each.planned - each.done for each in self.state.nested)
        waits = [f"stage {s.stage.name} waits for stage {s.waits_for}" for s in self.state.stages if s.waits_for]
        left = f"at most {number_of(nested, 'fit')} of nested selections {is_are(nested)} left"
        waits += [left] if nested else []
        return "; ".join(
            [
                f"{self.workspace.study.study}: {number_of(fits, 'fit')} known, {fits - missing} done",
                *waits,
                *self.marks,
            ]
        )

    def _repr_html_(self) -> str:
        """The plan for a notebook."""
        return html_table(str(self), self.scenarios())


def plan_study(study: Study, store: Store) -> PlannedStudy:
    """Read the data of a study, check its networks and own parts, and see what is done. Trains nothing.

    Raises HarnessError where the study cannot be run; a refusal leaves nothing in the store.
    """
    with nothing_left_if_refused(study, store):
        workspace = prepare(study, store)
        networks = check_networks(study, workspace.inputs.digests, store)
        check_own_parts(workspace, networks, "cpu")
    if store.writable:
        cache_inputs(workspace)
        networks.save()
    return PlannedStudy(workspace, workspace.reader.read(), networks)
