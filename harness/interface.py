"""The interface for Python and notebooks: what the commands do, with tables instead of text. Start at `load_study`.

What is heavy is imported where it is used, as in the commands.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import LOG
from harness.store import Store
from harness.study import Study
from harness.study import load_study as read_study
from harness.study_results import Results

if TYPE_CHECKING:
    from harness.execution.planned import PlannedStudy
    from harness.report.across.compared_studies import ComparedStudies
    from harness.search.run import SearchRun

_Overrides = Mapping[str, Any] | Sequence[str]  # {"base.epochs": 1}, or ["base.epochs=1"] as after --set


def load_study(
    path: str | Path, overrides: _Overrides = (), data: str | Path | None = None, store: str | Path | Store = "mlruns"
) -> "OpenStudy":
    """Read a study file, for the store in which its results are or will be.

    path: also the bare name of a study that comes with the harness, such as `quickstart`.
    overrides: other values of fields, as by `--set`. data: the images, instead of `data.path`.
    Raises StudyError (`file:line: field: what is wrong, what is allowed`).
    """
    given = [f"{key}={json.dumps(v)}" for key, v in overrides.items()] if isinstance(overrides, Mapping) else overrides
    study = read_study(Path(path), given, None if data is None else str(data))
    return OpenStudy(study, store if isinstance(store, Store) else Store(Path(store)))


def compare(
    *studies: "str | Path | OpenStudy", store: str | Path | Store = "mlruns",
    scenarios: Mapping[str, str] | None = None, metric: str | None = None,
) -> "ComparedStudies":  # fmt: skip
    """Compare two or more finished studies, as `harness compare` does: paired on the same images, else by ranks.

    studies: their files, or bare names of those that come with the harness, with results in `store`; or opened ones.
    scenarios: the name of a study -> that of the scenario to compare, in place of the selected one. metric: in place of
    the one that all select by. `.table()` of what is returned has the comparisons.
    Raises StudyError, saying why, where they cannot be compared.
    """
    from harness.report.across.compared_studies import compare_studies

    opened = [study if isinstance(study, OpenStudy) else load_study(study, store=store) for study in studies]
    results = [study.results() for study in opened]
    return compare_studies([(each.workspace, each.state) for each in results], scenarios, metric)


@dataclass(frozen=True)
class OpenStudy:
    """A study and the store of its results."""

    study: Study
    store: Store

    def __repr__(self) -> str:
        return f"<study {self.study.study} in {self.store.root}>"

    def plan(self) -> "PlannedStudy":
        """Show folds, networks, scenarios and what is done, as `harness plan` does. Trains nothing."""
        from harness.execution.planned import plan_study

        return plan_study(self.study, self.store)

    def run(
        self, scenario: str | None = None, executor: str = "auto", workers: int | None = None, device: str = "auto",
        threads: int = 1,
    ) -> "Results":  # fmt: skip
        """Run all that is not done yet, as `harness run` does: stages, test set, report.

        scenario: its name or id; only its fits on the folds are made. executor, workers, device, threads: the
        options of the command. Raises HarnessError before anything is written where the request or the input is wrong.
        """
        from harness.execution.compute import Compute
        from harness.execution.progress import Reporter
        from harness.runner import run_study

        self.store.require_open()
        compute, only = Compute(executor, workers, threads=threads), self._jobs(scenario)
        with Reporter() as reporter:
            done = run_study(self.study, self.store, device, reporter, compute=compute, only=only)
        return Results(done.workspace, done.state, done.failed)

    def _jobs(self, scenario: str | None) -> set[str] | None:
        """The ids of a scenario's jobs on the folds; None where all are wanted."""
        if scenario is None:
            return None
        from harness.prepare import prepare
        from harness.study.state import find_scenario

        state = prepare(self.study, self.store).reader.read(provisional=True)
        return {job.id for job in find_scenario(state, scenario).jobs}

    def search(
        self, trials: int | None = None, workers: int = 1, device: str = "auto", storage: str | None = None
    ) -> "SearchRun":
        """Run the trials of the search: block that have not ended, as `harness search` does.

        `.trials()` of what is returned is a table of them. trials: instead of `search.trials`. storage: the URL of
        Optuna's database, for a search on several machines.
        """
        from harness.execution.progress import Reporter
        from harness.search.run import run_search

        self.store.require_open()
        with Reporter() as reporter:
            return run_search(self.study, self.store, device, reporter, workers, trials, storage)

    def results(self) -> "Results":
        """The results that the store has. Raises StudyError where no fit is done."""
        from harness.prepare import stored_workspace
        from harness.tracking.stored_report import stored_state

        workspace = stored_workspace(self.study, self.store, LOG.warning)
        return Results(workspace, stored_state(workspace))

    def report(self) -> Path:
        """Write the report from stored results, as `harness report` does, and return the path of its page."""
        return self.results().report()
