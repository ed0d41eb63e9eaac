"""Publishes a study in MLflow: jobs while they train, scenarios when they are complete, the study at the end."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.data.inputs import Workspace
from harness.errors import JobError
from harness.report.numbers.look_history import LookHistory
from harness.report.numbers.marks import Marks, declared_looks, taken_looks
from harness.report.numbers.nested_numbers import nested_metrics
from harness.report.numbers.predictions import scored
from harness.report.numbers.records import read_statistics
from harness.store.results import FoldRecord, Metrics
from harness.study.mixed import fit_marks
from harness.study.plan import Job
from harness.study.scenario_state import ScenarioState
from harness.study.state import StageState, all_scenarios
from harness.tracking.entities import command_tags
from harness.tracking.leaderboard_tags import leaderboard_tags
from harness.tracking.links import UI_PORT
from harness.tracking.registry import JOB_ID, STUDY_IDS
from harness.tracking.root_run import RootRun
from harness.tracking.run_words import bold_mark, scenario_words, with_links
from harness.tracking.scenario_curves import scenario_curves
from harness.tracking.unit_log import UnitLog

LOOKS_BELOW = "\n\nLooks at the test set: "


class Publisher(RootRun):
    """Keeps MLflow in step with the ledger. port: of the MLflow UI of this store, for links."""

    def __init__(self, workspace: Workspace, port: int = UI_PORT) -> None:
        super().__init__(workspace, workspace.identity, port)
        self._stages: dict[str, list[str]] = {}  # scenario id -> stages that it stands in
        self._scenario_of: dict[str, ScenarioState] = {}  # job id -> its scenario, with the records so far
        self._run_of: dict[str, str] = {}  # job id -> run id, while it trains
        self._complete = True
        self._log = UnitLog(workspace, self._tracker)

    @property
    def run_id(self) -> str:
        return self._tracker.study_run()

    def close(self) -> None:
        if self._complete:
            self._tracker.finish(self.run_id)

    def enter_stage(self, state: StageState) -> None:
        """Publish the results of this stage that are already in the ledger."""
        for scenario in state.scenarios:
            gone = [
                j.id for j in scenario.jobs if j.id not in scenario.records and self._tracker.is_finished("fold", j.id)
            ]
            if gone:  # the ledger is the truth: a result that was set aside does not stay in MLflow either
                self._tracker.retract(scenario.id, [job.id for job in scenario.jobs], self._workspace.identity)
            stages = self._stages.setdefault(scenario.id, [])
            stages.append(state.stage.name)
            for job in scenario.jobs:
                self._scenario_of[job.id] = scenario
                if job.id in scenario.records:
                    self._publish_job(job, scenario.records[job.id], streamed=False)
            if scenario.finished:
                self._publish_scenario(scenario)

    def job_started(self, job: Job) -> None:
        """Open the run of a job that starts to train."""
        if job.evaluate == "val":
            self._run_of[job.id] = self._tracker.start_fold(job, self._stages[job.scenario.id])

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """Add an epoch to the curves of a job."""
        if job_id in self._run_of:
            self._tracker.metrics.log_epoch(self._run_of[job_id], epoch, metrics)

    def job_ended(self, job: Job, outcome: FoldRecord | JobError) -> None:
        """Close the run of a job, and complete its scenario where it was the last of it."""
        if job.evaluate == "val" and not isinstance(outcome, JobError):
            self._publish_job(job, outcome, streamed=job.id in self._run_of)
            scenario = self._scenario_of[job.id].with_record(outcome)
            self._scenario_of.update(dict.fromkeys([each.id for each in scenario.jobs], scenario))
            if scenario.finished:
                self._publish_scenario(scenario)
        elif isinstance(outcome, JobError):
            tested = self._study.test.stages if self._study.test else []
            self._tracker.fail(self._run_of.get(job.id) or self._start_test(job, tested), outcome)

    def _start_test(self, job: Job, stages: Iterable[str]) -> str:
        """The run of a job that is scored on the test set: that of the test, or its own for a further refit."""
        if job.refit:
            return self._tracker.start_refit(job, stages)
        return self._tracker.start_test(job.scenario, stages, [job])

    def _publish_job(self, job: Job, record: FoldRecord, streamed: bool) -> None:
        if not self._tracker.is_finished("fold", job.id):
            run_id = self._tracker.start_fold(job, self._stages[job.scenario.id])
            self._publish_fold(run_id, record, streamed)

    def leave_stage(self, state: StageState) -> None:
        """Note whether the stage is complete."""
        self._complete &= state.finished

    def _publish_scenario(self, state: ScenarioState) -> None:
        """Log the means, the pooled predictions and the figures of a finished scenario."""
        scenario = state.scenario
        run_id = self._tracker.scenario_run(scenario, self._stages[scenario.id])
        if self._tracker.is_complete(run_id):
            return
        from harness.report.figures.scenario_figures import scenario_figures

        unit = self._workspace.unit
        state = self._workspace.reader.scenario(scenario, state.jobs)  # with its worst groups, from all its folds
        mark = self._marks(state).scenario(scenario.settings)
        frame = self._log.predictions(run_id, lambda of: of.out_of_fold(state))
        dataset, title = self._inputs.dataset, unit.titled(state.name)
        self._log_figures(run_id, lambda folder: scenario_figures(state, frame, dataset, folder, title, mark))
        chosen = [stage.select.metric for stage in self._study.stages if stage.select]
        self._tracker.metrics.log_curves(run_id, scenario_curves(list(state.records.values()), chosen))
        self._log.summary(run_id, state)
        self._tracker.descriptions.describe(run_id, scenario_words(state, self._inputs, unit, mark))
        self._tracker.finish(run_id)

    def _log_figures(self, run_id: str, draw: Callable[[Path], object]) -> None:
        """Log what `draw` draws in a folder; a report does not need that it arrives."""
        with self._store.scratch() as folder:
            draw(folder)
            self._attempt("figures", run_id, lambda: self._tracker.log_files(run_id, sorted(folder.iterdir())))

    def _marks(self, state: ScenarioState) -> Marks:
        """The marks of a scenario as soon as it is complete."""
        return Marks(self._study, tuple(fit_marks([state])), self._inputs.dataset.synthetic)

    def _test_mark(self, state: ScenarioState) -> str | None:
        return self._marks(state).test(self._inputs.dataset, state.settings, self._workspace.ledger)

    def publish_test(self, state: ScenarioState, stages: Iterable[str]) -> None:
        """Create the run of a finished test evaluation, and those of further refits."""
        self._complete &= all(each.finished for each in state.with_refits)
        if not state.finished:
            return
        stages = list(stages)
        self._publish_refits(state, stages)
        history = LookHistory(self._workspace, list(self._scenario_of.values()), [state]).line
        if self._tracker.is_finished("test", state.id):
            self._update_test(state, history)
            return
        from harness.report.figures.confusion import confusion_figure

        run_id = self._tracker.start_test(state.scenario, stages, state.jobs)
        unit = self._workspace.unit
        if len(state.jobs) == 1:
            self._tracker.metrics.log_record(run_id, next(iter(state.records.values())), streamed=False)
        metrics = self._log.test_metrics(run_id, state)
        looks = taken_looks(self._study, self._inputs.dataset, self._workspace.ledger)
        declared = declared_looks(self._study)
        self._tracker.metrics.log_metrics(run_id, {"test_looks": looks, "test_looks_declared": declared})
        self._log.further_sets(run_id, state)
        self._log.over_refits(run_id, state)
        frame = self._log.predictions(run_id, lambda of: of.on_test(state))
        mark, title = self._test_mark(state), unit.titled(f"test set, {scored(state)}")
        self._log_figures(
            run_id, lambda folder: confusion_figure(frame, title, folder / "confusion_matrix.png", mark=mark)
        )
        self._tracker.descriptions.describe(
            run_id,
            f"{bold_mark(mark)}Test set, {scored(state)}, look {looks} of {declared} declared:"
            f" accuracy{' of patients' * unit.patients}"
            f" {metrics['test/accuracy']:.3f}, n = {len(frame)}.{LOOKS_BELOW}{history}",
        )
        self._tracker.finish(run_id)

    def _publish_refits(self, state: ScenarioState, stages: Iterable[str]) -> None:
        """Create the runs of the further refits that are done."""
        further = state.refits.records if state.refits else {}
        for job in (job for job in state.scored_jobs if job.id in further):
            if not self._tracker.is_finished("refit", job.id):
                self._publish_fold(self._tracker.start_refit(job, stages), further[job.id], streamed=False)

    def _update_test(self, state: ScenarioState, history: str) -> None:
        """Bring the means over refits, and what the description says of looks, up to date in a finished test."""
        run_id = self._tracker.find("test", state.id)
        assert run_id is not None
        self._log.over_refits(run_id, state)
        words, _, before = self._tracker.descriptions.of_run(run_id).partition(LOOKS_BELOW)
        if before != history:
            self._tracker.descriptions.describe(run_id, f"{words}{LOOKS_BELOW}{history}")

    def has_champion(self, state: ScenarioState) -> bool:
        """Make the model of this test evaluation the champion if it is registered, and return whether it is."""
        run_id = self._tracker.find("test", state.id)
        known = self._tracker.registry.crown(self._study.study, self._workspace.identity, state.jobs[0].id)
        if known == "newly" and run_id is not None:
            self._publish_explanations(run_id, state)
        return known is not None

    def publish_champion(self, state: ScenarioState, classifier: Path) -> None:
        """Log the saved classifier of a published test evaluation, with its explanations, as the study's champion."""
        run_id = self._tracker.find("test", state.id)
        assert run_id is not None
        self._publish_explanations(run_id, state)
        mark = self._marks(state).every
        words = (
            f"{bold_mark(mark)}{scored(state)}, refitted on {state.settings.trained_on};"
            f" study id {self._workspace.identity}{'; selected by patient' * self._workspace.unit.patients}"
        )
        tags = {STUDY_IDS: self._workspace.identity, JOB_ID: state.jobs[0].id}
        self._tracker.registry.log(run_id, self._study.study, classifier, self._inputs.dataset.classes, words, tags)

    def _publish_explanations(self, run_id: str, state: ScenarioState) -> None:
        """Add the Grad-CAM figures to the run of the test."""
        from harness.report.sections.grad_cam import explanation_figures

        with self._store.scratch() as folder:
            mark = self._test_mark(state)

            def publish() -> None:
                explanation_figures(state.jobs[0], self._workspace, folder, mark)
                self._tracker.log_files(run_id, sorted(folder.iterdir()), "grad-cam")

            self._attempt("Grad-CAM", run_id, publish)

    def publish_report(self, folder: Path, stages: Sequence[StageState]) -> None:
        """Add the report to the study's run, if it exists, and the cells of the leaderboard to the scenarios' runs."""
        estimates = read_statistics(folder).estimates
        for scenario_id, tags in leaderboard_tags(stages, estimates).items():
            if scenario_run := self.run_of("scenario", scenario_id):
                for name, value in tags.items():
                    self._tracker.tag(scenario_run, name, value)
        run_id = self._tracker.find("study", self._workspace.identity)
        if run_id is not None:
            self._tracker.metrics.log_metrics(run_id, nested_metrics(estimates))
            record = sorted(self._workspace.folder.iterdir())
            self._attempt("record", run_id, lambda: self._tracker.log_files(run_id, record))
            self._attempt("report", run_id, lambda: self._tracker.log_files(run_id, sorted(folder.iterdir()), "report"))
            words = (folder / "summary.md").read_text(encoding="utf-8")
            self._tracker.descriptions.describe(
                run_id, f"{words}\nThe whole report is the artifact `report/index.html`."
            )
            views = self.views(stages) | {"the run with the report": self._tracker.links.run(run_id)}
            self._tracker.descriptions.describe_experiment(with_links(words, views))
            for name, value in command_tags(self._workspace.commands).items():
                self._tracker.tag(run_id, name, value)

    def run_of(self, level: str, key: str) -> str | None:
        """The id of the MLflow run of a scenario, a fold, a test or the study, if it exists."""
        return self._tracker.find(level, key)

    def links(self, stages: Sequence[StageState]) -> dict[str, str]:
        """Links into the MLflow UI: the views of the study and the run of each scenario; words -> URL."""
        runs = {"the study": self.run_of("study", self._workspace.identity)}
        for scenario, _ in all_scenarios(stages):
            runs[scenario.name] = self.run_of("scenario", scenario.id)
            runs[f"test: {scenario.name}"] = self.run_of("test", scenario.id)
        found = {words: self._tracker.links.run(run_id) for words, run_id in runs.items() if run_id}
        return self.views(stages) | found

    def views(self, stages: Sequence[StageState]) -> dict[str, str]:
        """The ready views of the study in the MLflow UI: words -> URL."""
        return self._tracker.links.study_views(self._study, stages)
