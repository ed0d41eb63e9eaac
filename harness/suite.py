"""A suite from its file to its page: the same grid on many data sets, a study of each, all in one store."""

from dataclasses import dataclass
from functools import cached_property

from harness.data.sources import missing_images
from harness.errors import HarnessError, described, disk_is_full
from harness.execution.compute import AUTO, Compute
from harness.execution.planned import PlannedStudy, plan_study
from harness.execution.progress import Reporter
from harness.report.across.ranked_models import RankedModels, ranked_models
from harness.report.across.sides import StudySide, ranking_side
from harness.runner import Run, run_study
from harness.store import Store
from harness.study.number_words import is_are, number_of
from harness.study.suite_file import Suite, SuiteDataSet


@dataclass(frozen=True)
class DataSetRun:
    """How the run of one data set ended. error: why it has no results of this run."""

    of: SuiteDataSet
    run: Run | None = None
    error: str | None = None

    @property
    def problem(self) -> str | None:
        """What went wrong; None where all is done."""
        if self.run is None:
            return self.error
        missing = len({job.id for fit in self.run.state.fits for job in fit.missing})
        return (
            f"{number_of(missing, 'fit')} {is_are(missing)} not done, {self.run.failed} of them failed now"
            if missing
            else None
        )

    @property
    def side(self) -> StudySide | None:
        """Its results, to be ranked; None where no scenario is finished."""
        return ranking_side(self.of.name, self.run.workspace, self.run.state) if self.run else None


@dataclass(frozen=True)
class SuiteRun:
    """How the run of a suite ended."""

    suite: Suite
    data_sets: tuple[DataSetRun, ...]

    @property
    def failed(self) -> dict[str, str]:
        """The data sets on which something is not done -> why."""
        return {each.of.name: problem for each in self.data_sets if (problem := each.problem)}

    @cached_property
    def sides(self) -> list[StudySide]:
        """The results of the data sets that have some."""
        return [side for each in self.data_sets if (side := each.side) is not None]

    @cached_property
    def ranked(self) -> RankedModels | str:
        """The models by their ranks, or why they are not ranked."""
        if len(self.sides) < 2:
            return f"{len(self.sides)} of {len(self.data_sets)} data sets have results; two are needed for ranks"
        try:
            return ranked_models(self.sides)
        except HarnessError as error:
            return str(error)


def require_images(suite: Suite, store: Store) -> None:
    """Raise StudyError where the images of a data set are not there, before anything is run for another one."""
    for each in suite.data_sets:
        why = missing_images(each.study.data, store)
        if why is not None:
            others = ",".join(other.name for other in suite.data_sets if other is not each)
            get = f"; {each.get}" if each.get else ""
            raise suite.error(
                ("datasets", each.name, "data"),
                f"{why}{get}; then --data {each.name}=PATH, or leave it out: --only {others or 'NAME'}",
            )


def run_suite(suite: Suite, store: Store, device: str, reporter: Reporter, compute: Compute = AUTO) -> SuiteRun:
    """Run everything of a suite that is not done yet, data set after data set, each as `harness run` does.

    What fails on one data set does not stop the others. Raises HarnessError before anything is written where the
    images of one are not there.
    """
    require_images(suite, store)
    return SuiteRun(suite, tuple(_run(each, store, device, reporter, compute) for each in suite.data_sets))


def _run(each: SuiteDataSet, store: Store, device: str, reporter: Reporter, compute: Compute) -> DataSetRun:
    reporter.say(f"data set {each.name}")
    try:
        return DataSetRun(each, run_study(each.study, store, device, reporter, compute=compute))
    except Exception as error:
        if disk_is_full(error):
            raise
        reporter.say(f"data set {each.name}: {described(error)}")
        return DataSetRun(each, error=described(error))


def plan_suite(suite: Suite, store: Store) -> list[tuple[SuiteDataSet, PlannedStudy | str]]:
    """The plan of each data set, or why it has none. Trains nothing."""
    return [(each, _planned(each, store)) for each in suite.data_sets]


def _planned(each: SuiteDataSet, store: Store) -> PlannedStudy | str:
    try:
        return plan_study(each.study, store)
    except HarnessError as error:
        return str(error)
