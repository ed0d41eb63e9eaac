"""A study from its file to its report. Start reading here.

study file -> prepare: images, folds, digests -> stages of scenarios -> jobs -> executor -> fit
           -> result file (ledger) -> MLflow (publisher) -> winner -> next stage -> outer folds -> test set -> report
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.data.cached_inputs import cache_inputs
from harness.data.folds import Fold
from harness.data.inputs import Workspace
from harness.data.record import write_record
from harness.data.tried_seeds import tried_seeds
from harness.execution.compute import AUTO, Compute
from harness.execution.executor import Executor
from harness.execution.fitter import Fitter, make_context
from harness.execution.lasting_console import LOGS
from harness.execution.make import executor_for
from harness.execution.progress import Reporter
from harness.execution.run_nested import run_nested
from harness.prepare import nothing_left_if_refused, prepare, require_audited
from harness.report.current import update_report
from harness.report.numbers.look_history import LookHistory
from harness.report.numbers.marks import Marks, marks_of
from harness.report.registered import Registered, record_looks, registered
from harness.store import Store
from harness.store.reports import tell_of_other
from harness.study import Study
from harness.study.history import CommandLog
from harness.study.mixed import require_one_code, require_one_version
from harness.study.number_words import number_of
from harness.study.origin import short_name
from harness.study.plan import Job, Scenario
from harness.study.provenance import code_digest, versions
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState, StudyState, final_test
from harness.tracking.champion import publish_champion
from harness.tracking.publisher import Publisher
from harness.tracking.relay import StudyRelay
from harness.training.context import Context

Fit = Callable[[str, Collection[Job]], None]  # fits jobs, under a name for the terminal


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    state: StudyState
    failed: int  # jobs
    passes: Mapping[str, int]  # frozen backbone -> images that went through it in this run
    report: Path
    views: dict[str, str]  # of the study in the MLflow UI: words -> URL
    workspace: Workspace

    @property
    def marks(self) -> Marks:
        """The marks of the study's numbers."""
        return marks_of(self.workspace.study, self.state, self.workspace.inputs.dataset.synthetic)

    @property
    def registered(self) -> Registered | None:
        """The registration of the study, and the deviations from it; None where it was not registered."""
        return registered(self.workspace, self.state)

    @property
    def looks(self) -> str:
        """What is known of looks at the test set; empty where nothing was scored."""
        return LookHistory(self.workspace, self.state.scenarios, self.state.tests).line

    @property
    def url(self) -> str:
        """The leaderboard in the MLflow UI."""
        return self.views["leaderboard"]


def run_study(
    study: Study, store: Store, device: str, reporter: Reporter, tests_only: bool = False, compute: Compute = AUTO,
    only: Collection[str] | None = None,
) -> Run:  # fmt: skip
    """Fit everything that the study asks for and that is not done yet, and write its report.

    tests_only: the stages must be finished, and only the test set is scored. compute: where the jobs are fitted.
    only: the ids of the jobs to be fitted.
    Raises HarnessError before anything is written where the request or the input is wrong.
    """
    with nothing_left_if_refused(study, store):
        workspace = prepare(study, store)
        state = workspace.reader.read()
        if tests_only:
            _require_finished(workspace, state)
        require_one_version(state.fits, store.mixed_versions, None if state.finished else versions())
        if not state.finished:
            require_one_code(state.fits, code_digest())
        store.refuse_if_busy(study.study)  # before the images are decoded
        executor, device = executor_for(workspace, state, compute, device, reporter.say)
        require_audited(workspace, reporter.say, reporter.counting)
    with closing(executor):
        context = make_context(workspace, device, reporter.counting, compute)
        with store.locked(study.study, workspace.identity):
            return _run(workspace, executor, context, reporter, only)


def _run(
    workspace: Workspace, executor: Executor, context: Context, reporter: Reporter, only: Collection[str] | None
) -> Run:
    """Run the study; the caller holds its lock."""
    workspace.store.sweep()
    cache_inputs(workspace)
    workspace.study.note_tried(tried_seeds(workspace))  # as it is now, so that later studies change no report of it
    write_record(workspace)
    log = CommandLog(workspace.folder, context.device)
    reporter.log_to(workspace.store.root / LOGS / f"{workspace.study.study}-{workspace.identity}.log")
    tell_of_other(workspace.report_folder(), workspace.identity, reporter.say)
    with StudyRelay(workspace, reporter.say) as relay:
        fitter = Fitter(workspace.ledger, context, executor, [relay, reporter])
        fit = _Fit(fitter, log, reporter, only)
        stages = _run_stages(workspace, fit, relay, reporter.say)
        nested = run_nested(workspace, fit.on, reporter.say)
        state = StudyState(stages, _run_tests(workspace, stages, fit, relay), nested)
        publisher = relay.settled()
        _register(workspace, state, publisher, context, reporter.say)
        report = update_report(workspace, state, publisher.run_of, publisher.links(state.stages))
        publisher.publish_report(report.parent, state.stages)
        views = publisher.views(state.stages)
    for backbone, images in fitter.passes.items():
        read = (
            f"{number_of(images, 'image')} read, each once" if images else "no image read, their features were cached"
        )
        reporter.say(f"frozen {short_name(backbone)}: {read}")
    return Run(state, fitter.failed, fitter.passes, report, views, workspace)


@dataclass(frozen=True)
class _Fit:
    """Fits jobs, those of `only` alone, and notes that in the log of commands."""

    fitter: Fitter
    log: CommandLog
    reporter: Reporter
    only: Collection[str] | None

    def __call__(self, name: str, jobs: Collection[Job]) -> None:
        self._run(name, jobs, self.fitter)

    def on(self, name: str, jobs: Collection[Job], folds: Sequence[Fold]) -> None:
        """Fit jobs of other folds than the study's, which have no runs in MLflow."""
        self._run(name, jobs, self.fitter.on(folds, [self.reporter]))

    def _run(self, name: str, jobs: Collection[Job], fitter: Fitter) -> None:
        wanted = [job for job in jobs if self.only is None or job.id in self.only]
        if wanted:
            self.log.begin()
            self.reporter.begin(name, wanted)
            try:
                fitter.run(wanted)
            finally:  # a command that is stopped has fitted something too
                self.fitter.add(fitter)
                self.log.end(self.fitter.fitted, self.fitter.failed)


def _require_finished(workspace: Workspace, state: StudyState) -> None:
    """Raise StudyError where the test set cannot be scored: none asked for, no images, or stages not finished."""
    study = workspace.study
    if study.test is None:
        raise study.error(("test",), "the study has no test: block; add `test: {stages: [NAME]}`")
    if not workspace.has_test:
        root = workspace.inputs.dataset.root
        raise study.error(("test",), f"there are no images to test on: {root} has no folder test/")
    for stage in state.stages:
        if not stage.finished:
            raise study.error(("test",), f"stage {stage.stage.name} is not finished; first run: harness run STUDY")
    for nested in (nested for nested in state.nested if not nested.finished):
        what = f"the nested selection of stage {nested.stage.name}"
        raise study.error(("test",), f"{what} is not finished; first run: harness run STUDY")


def _run_stages(
    workspace: Workspace, fit: Fit, relay: StudyRelay, say: Callable[[str], None]
) -> tuple[StageState, ...]:
    """Run the jobs of all stages, each stage on the settings of the last winner, and return the stages' states."""
    stages: list[StageState] = []
    start: Scenario | None = None
    waits_for: str | None = None
    for stage in workspace.study.stages:
        if waits_for:
            stages.append(StageState(stage, (), waits_for))
            continue
        state = workspace.reader.stage(stage, start)
        relay.enter_stage(state)
        fit(f"stage {stage.name}", state.missing)
        state = workspace.reader.stage(stage, start)
        relay.leave_stage(state)
        stages.append(state)
        if stage.select and state.best is None:  # no scenario could be finished: nothing to go on from
            waits_for = stage.name
        elif state.best:
            start = state.best.scenario
            say(f"stage {stage.name}: {state.best.name} goes on")
    return tuple(stages)


def _run_tests(
    workspace: Workspace, stages: tuple[StageState, ...], fit: Fit, relay: StudyRelay
) -> tuple[ScenarioState, ...]:
    """Score the winners on the test set, now that every selection is made. Without test images there is nothing."""
    study, tests = workspace.study, workspace.reader.tests(stages)
    record_looks(workspace, tests)
    fit("test set", [job for test in tests for state in test.with_refits for job in state.missing])
    tests = workspace.reader.tests(stages)
    for test in tests:
        relay.publish_test(test, study.test.stages if study.test else [])
    return tests


def _register(
    workspace: Workspace, state: StudyState, publisher: Publisher, context: Context, say: Callable[[str], None]
) -> None:
    """Register the model that the study ends with in MLflow, or say why it ends without one."""
    chosen = final_test(workspace.study, state)
    if isinstance(chosen, str):
        say(f"no model is registered: {chosen}")
    elif chosen is not None:
        publish_champion(workspace, chosen, publisher, context)
