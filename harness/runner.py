"""A study from its file to its report. Start reading here.

study file -> prepare: images, folds, digests -> stages of scenarios -> jobs -> executor -> fit
           -> result file (ledger) -> MLflow (publisher) -> winner -> next stage -> test set -> report
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time

from harness.data.separation import Separation
from harness.execution.compute import AUTO, Compute
from harness.execution.durations import durations
from harness.execution.executor import Executor
from harness.execution.fitter import Fitter, make_context
from harness.execution.make import make_executor
from harness.execution.progress import Reporter
from harness.prepare import Inputs, keep_inputs, nothing_left_if_refused, prepare, require_audited
from harness.report.write import write_report
from harness.store import Ledger, Store
from harness.store.ledger import Look
from harness.store.reports import tell_of_other
from harness.study import Study
from harness.study.identity import study_id
from harness.study.mixed import every_state, require_one_version
from harness.study.provenance import code_digest, versions
from harness.study.settings import Settings
from harness.study.state import (
    ScenarioState,
    StageState,
    final_test,
    look_key,
    require_one_code,
    stage_state,
    study_state,
    test_states,
)
from harness.tracking.champion import publish_champion
from harness.tracking.publisher import Publisher
from harness.tracking.relay import StudyRelay
from harness.training.context import Context
from harness.training.device import choose_device
from harness.training.preflight import require_usable


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    states: list[StageState]
    tests: list[ScenarioState]
    failed: int  # jobs
    passes: Mapping[str, int]  # frozen backbone -> images that went through it in this run
    report: Path
    views: dict[str, str]  # of the study in the MLflow UI: words -> URL
    separation: Separation

    @property
    def url(self) -> str:
        """The leaderboard in the MLflow UI."""
        return self.views["leaderboard"]


def run_study(
    study: Study, store: Store, device: str, reporter: Reporter, tests_only: bool = False, compute: Compute = AUTO,
    only: Collection[str] | None = None,
) -> Run:  # fmt: skip
    """Everything that the study asks for and that is not done yet; then its report.

    tests_only: the stages must be finished, and only the test set is scored. compute: where the jobs are fitted.
    only: the ids of the jobs to be fitted.
    Raises HarnessError before anything is written where the request or the input is wrong.
    """
    if compute.executor != "ray":  # the devices of a cluster are not this machine's
        device = str(choose_device(device))
    ledger = Ledger(store)
    with nothing_left_if_refused(study, store):
        inputs = prepare(study, store)
        if tests_only:
            _require_finished(study, inputs, ledger)
        done = _is_done(study, inputs, ledger)
        require_same_versions(study, inputs, store, to_fit=not done)
        if not done:
            require_same_code(study, inputs, ledger)
            require_usable(study, inputs, store, "cpu" if compute.executor == "ray" else device, reporter.say)
        store.refuse_if_busy(study.study)  # before the images are decoded
        executor, device = make_executor(compute, device, durations(study_state(study, inputs.digests, ledger)))
        require_audited(study, inputs, store, reporter.say, reporter.counting)
    with closing(executor):
        context = make_context(study, inputs, store, device, reporter, compute)
        with store.locked(study.study, study_id(study, inputs.digests)):
            return _run(study, inputs, store, executor, context, reporter, only)


def _run(
    study: Study,
    inputs: Inputs,
    store: Store,
    executor: Executor,
    context: Context,
    reporter: Reporter,
    only: Collection[str] | None,
) -> Run:
    """The run itself, for the holder of the study's lock."""
    store.sweep()
    keep_inputs(study, inputs, store)
    ledger, identity = Ledger(store), study_id(study, inputs.digests)
    tell_of_other(store.reports / study.study, identity, reporter.say)
    with StudyRelay(partial(Publisher, study, inputs, store), ledger, reporter.say) as relay:
        fitter = Fitter(ledger, context, executor, relay, reporter, only)
        states = _run_stages(study, inputs, fitter, relay)
        tests = _run_tests(study, inputs, states, fitter, relay)
        publisher = relay.settled()
        chosen = final_test(study, states, tests)
        if isinstance(chosen, str):
            reporter.say(f"no model is registered: {chosen}")
        elif chosen is not None:
            publish_champion(study, inputs, store, chosen, publisher, context)
        report = write_report(study, inputs, identity, store, publisher.run_of, publisher.links(states))
        publisher.publish_report(report.parent)
        views = publisher.views(states)
    for backbone, images in fitter.passes.items():
        read = f"{images:,} images read, each once" if images else "no image read, their features were kept"
        reporter.say(f"frozen {backbone}: {read}")
    return Run(states, tests, fitter.failed, fitter.passes, report, views, inputs.separation)


def _require_finished(study: Study, inputs: Inputs, ledger: Ledger) -> None:
    if study.test is None:
        raise study.error(("test",), "the study has no test: block; add `test: {stages: [NAME]}`")
    if not len(inputs.dataset.rows("test")):
        raise study.error(("test",), f"there are no images to test on: {inputs.dataset.root} has no folder test/")
    for state in study_state(study, inputs.digests, ledger):
        if not state.finished:
            raise study.error(("test",), f"stage {state.stage.name} is not finished; first run: harness run STUDY")


def _is_done(study: Study, inputs: Inputs, ledger: Ledger) -> bool:
    """Whether there is nothing left to fit."""
    states = study_state(study, inputs.digests, ledger)
    tests = test_states(study, states, inputs.digests, ledger) if len(inputs.dataset.rows("test")) else []
    return all(state.finished for state in states) and all(test.finished for test in tests)


def require_same_code(study: Study, inputs: Inputs, ledger: Ledger) -> None:
    """Raises HarnessError where fits of the study were made by other code than would make the missing ones."""
    states = study_state(study, inputs.digests, ledger)
    tests = test_states(study, states, inputs.digests, ledger)
    require_one_code(every_state(states, tests), code_digest())


def require_same_versions(study: Study, inputs: Inputs, store: Store, to_fit: bool) -> None:
    """Raises HarnessError where different versions of packages made the study's fits; also those still `to_fit`."""
    ledger = Ledger(store)
    states = study_state(study, inputs.digests, ledger)
    found = every_state(states, test_states(study, states, inputs.digests, ledger))
    require_one_version(found, store.mixed_versions, versions() if to_fit else None)


def _run_stages(study: Study, inputs: Inputs, fitter: "Fitter", publisher: StudyRelay) -> list[StageState]:
    """The states of all stages after their jobs were run, each stage on the settings of the last winner."""
    states: list[StageState] = []
    start: Settings | None = None
    waits_for: str | None = None
    for stage in study.stages:
        if waits_for:
            states.append(StageState(stage, (), waits_for))
            continue
        state = stage_state(study, stage, start, inputs.digests, fitter.ledger)
        publisher.enter_stage(state)
        fitter.run(f"stage {stage.name}", state.missing)
        state = stage_state(study, stage, start, inputs.digests, fitter.ledger)
        publisher.leave_stage(state)
        states.append(state)
        if stage.select and state.best is None:  # no scenario could be finished: nothing to go on from
            waits_for = stage.name
        elif state.best:
            start = state.best.scenario.settings
            fitter.reporter.say(f"stage {stage.name}: {state.best.scenario.name} goes on")
    return states


def _run_tests(
    study: Study, inputs: Inputs, states: list[StageState], fitter: "Fitter", publisher: StudyRelay
) -> list[ScenarioState]:
    """The winners scored on the test set, now that every selection is made. Without test images there is nothing."""
    if not len(inputs.dataset.rows("test")):
        return []
    tests = test_states(study, states, inputs.digests, fitter.ledger)
    identity, opened = study_id(study, inputs.digests), time()  # one time: all were selected before any is scored
    for before in tests:
        fitter.ledger.look(inputs.dataset, Look(study.study, look_key(before), identity, opened))
    for before in tests:
        fitter.run("test set", [job for job in before.jobs if job.id not in before.records])
    tests = test_states(study, states, inputs.digests, fitter.ledger)
    for test in tests:
        publisher.publish_test(test, study.test.stages if study.test else [])
    return tests


def report_study(study: Study, store: Store, say: Callable[[str], None] = lambda _: None) -> Path:
    """The path of the report, written from stored results and added to the study's run.

    say: is told where a report of another study of this name is kept.
    """
    inputs = prepare(study, store)
    states = study_state(study, inputs.digests, Ledger(store), provisional=True)
    if not any(scenario.records for state in states for scenario in state.scenarios):
        raise study.error(("study",), f"no job of this study is done in {store.root}; first run: harness run STUDY")
    identity = study_id(study, inputs.digests)
    tell_of_other(store.reports / study.study, identity, say)
    if not store.has_runs:
        return write_report(study, inputs, identity, store)
    publisher = Publisher(study, inputs, store)
    path = write_report(study, inputs, identity, store, publisher.run_of, publisher.links(states))
    publisher.publish_report(path.parent)
    return path
