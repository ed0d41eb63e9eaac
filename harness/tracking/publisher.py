"""What of a study goes to MLflow, and when: jobs as they train, scenarios when they are whole, the study at the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import JobError
from harness.prepare import Inputs, Workspace
from harness.report.figures.study import confusion_figure, scenario_figures
from harness.report.numbers.marks import Marks, declared_looks, taken_looks
from harness.report.numbers.predictions import ensemble, pooled, scored, test_metrics
from harness.report.sections.grad_cam import explanation_figures
from harness.store.results import FoldRecord, Metrics
from harness.study.mixed import fit_marks
from harness.study.plan import Job
from harness.study.state import ScenarioState, StageState, all_scenarios
from harness.tracking.registry import JOB_ID, STUDY_IDS
from harness.tracking.root_run import RootRun


class Publisher(RootRun):
    """Keeps MLflow in step with the ledger."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, workspace.identity)
        self._stages: dict[str, list[str]] = {}  # scenario id -> stages that it stands in
        self._scenario_of: dict[str, ScenarioState] = {}  # job id -> its scenario, with the records so far
        self._run_of: dict[str, str] = {}  # job id -> run id, while it trains
        self._complete = True

    @property
    def run_id(self) -> str:
        return self._tracker.study_run()

    def close(self) -> None:
        if self._complete:
            self._tracker.finish(self.run_id)

    def enter_stage(self, state: StageState) -> None:
        """Takes over what the ledger has of a stage's scenarios already."""
        for scenario in state.scenarios:
            gone = [
                j.id for j in scenario.jobs if j.id not in scenario.records and self._tracker.is_finished("fold", j.id)
            ]
            if gone:  # the ledger is the truth: a result that was taken from it is no result in MLflow either
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
        """Opens the run of a job that begins to train."""
        if job.evaluate == "val":
            self._run_of[job.id] = self._tracker.start_fold(job, self._stages[job.scenario.id])

    def epoch(self, job_id: str, epoch: int, metrics: Metrics) -> None:
        """Adds an epoch to the curves of a job."""
        if job_id in self._run_of:
            self._tracker.log_epoch(self._run_of[job_id], epoch, metrics)

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
            run_id = self._run_of.get(job.id) or self._tracker.start_test(job.scenario, tested, [job])
            self._tracker.fail(run_id, outcome)

    def _publish_job(self, job: Job, record: FoldRecord, streamed: bool) -> None:
        if not self._tracker.is_finished("fold", job.id):
            run_id = self._tracker.start_fold(job, self._stages[job.scenario.id])
            self._publish_fold(run_id, record, streamed)

    def leave_stage(self, state: StageState) -> None:
        """Notes whether the stage is whole."""
        self._complete &= state.finished

    def _publish_scenario(self, state: ScenarioState) -> None:
        """Gives a finished scenario its means, its pooled predictions and its figures."""
        scenario = state.scenario
        run_id = self._tracker.scenario_run(scenario, self._stages[scenario.id])
        if self._tracker.is_whole(run_id):
            return
        frame = pooled(list(state.jobs), self._workspace.ledger)
        mark = self._marks(state).scenario(scenario.settings)
        with self._store.scratch() as folder:
            frame.to_parquet(folder / "predictions.parquet", index=False)
            self._tracker.log_files(run_id, [folder / "predictions.parquet"])
            figures = folder / "figures"
            figures.mkdir()
            scenario_figures(state, frame, self._inputs.dataset, figures, mark)
            self._attempt("figures", run_id, lambda: self._tracker.log_files(run_id, sorted(figures.iterdir())))
        self._tracker.log_metrics(run_id, state.summary)
        self._tracker.describe(run_id, _scenario_words(state, self._inputs, mark))
        self._tracker.finish(run_id)

    def _marks(self, state: ScenarioState) -> Marks:
        """The marks of what is said of one scenario as soon as it is whole."""
        return Marks(self._study, tuple(fit_marks([state])))

    def _test_mark(self, state: ScenarioState) -> str | None:
        return self._marks(state).test(self._inputs.dataset, state.settings, self._workspace.ledger)

    def publish_test(self, state: ScenarioState, stages: Iterable[str]) -> None:
        """Gives a finished test evaluation its run."""
        if not state.finished:
            self._complete = False
            return
        if self._tracker.is_finished("test", state.id):
            return
        run_id = self._tracker.start_test(state.scenario, stages, state.jobs)
        metrics = test_metrics(state, self._inputs.dataset.positive, self._workspace.ledger)
        frame = ensemble(pooled(list(state.jobs), self._workspace.ledger))
        if len(state.jobs) == 1:
            self._tracker.log_record(run_id, next(iter(state.records.values())), streamed=False)
        self._tracker.log_metrics(run_id, metrics, state.settings.epochs)
        looks = taken_looks(self._study, self._inputs.dataset, self._workspace.ledger)
        declared = declared_looks(self._study)
        self._tracker.log_metrics(run_id, {"test_looks": looks, "test_looks_declared": declared})
        with self._store.scratch() as folder:
            frame.to_parquet(folder / "predictions.parquet", index=False)
            self._tracker.log_files(run_id, [folder / "predictions.parquet"])
            figures = folder / "figures"
            figures.mkdir()
            confusion_figure(
                frame,
                f"test set, {scored(state)}{self._inputs.dataset.mark}",
                figures / "confusion_matrix.png",
                mark=self._test_mark(state),
            )
            self._attempt("figures", run_id, lambda: self._tracker.log_files(run_id, sorted(figures.iterdir())))
        self._tracker.describe(
            run_id,
            f"Test set, {scored(state)}, look {looks} of {declared} declared: accuracy"
            f" {metrics['test/accuracy']:.3f}, n = {len(frame)}.",
        )
        self._tracker.finish(run_id)

    def has_champion(self, state: ScenarioState) -> bool:
        """Whether the model of this test evaluation is registered, be it by another study; it is the champion then."""
        run_id = self._tracker.find("test", state.id)
        known = self._tracker.registry.crown(self._study.study, self._workspace.identity, state.jobs[0].id)
        if known == "newly" and run_id is not None:
            self._publish_explanations(run_id, state)
        return known is not None

    def publish_champion(self, state: ScenarioState, classifier: Path) -> None:
        """Logs the saved classifier of a published test evaluation, with its explanations, as the study's champion."""
        run_id = self._tracker.find("test", state.id)
        assert run_id is not None
        self._publish_explanations(run_id, state)
        dataset = self._inputs.dataset
        words = f"{state.name}, refitted on all training images{dataset.mark}; study id {self._workspace.identity}"
        tags = {STUDY_IDS: self._workspace.identity, JOB_ID: state.jobs[0].id}
        self._tracker.registry.log(run_id, self._study.study, classifier, dataset.classes, words, tags)

    def _publish_explanations(self, run_id: str, state: ScenarioState) -> None:
        """Adds the pictures of where the model looked to the run of its test."""
        with self._store.scratch() as folder:
            mark = self._test_mark(state)

            def publish() -> None:
                explanation_figures(state.jobs[0], self._workspace, folder, mark)
                self._tracker.log_files(run_id, sorted(folder.iterdir()), "grad-cam")

            self._attempt("Grad-CAM", run_id, publish)

    def publish_report(self, folder: Path) -> None:
        """Adds the report to the study's run, if there is one."""
        run_id = self._tracker.find("study", self._workspace.identity)
        if run_id is not None:
            self._attempt("report", run_id, lambda: self._tracker.log_files(run_id, sorted(folder.iterdir()), "report"))
            words = (folder / "summary.md").read_text(encoding="utf-8")
            self._tracker.describe(run_id, f"{words}\nThe whole report is the artifact `report/index.html`.")

    def run_of(self, level: str, key: str) -> str | None:
        """The MLflow run of a scenario, a fold, a test or the study, if there is one."""
        return self._tracker.find(level, key)

    def links(self, stages: Sequence[StageState]) -> dict[str, str]:
        """Where the MLflow UI shows what of this study: words -> URL."""
        runs = {"the study": self.run_of("study", self._workspace.identity)}
        for scenario, _ in all_scenarios(stages):
            runs[scenario.name] = self.run_of("scenario", scenario.id)
            runs[f"test: {scenario.name}"] = self.run_of("test", scenario.id)
        found = {words: self._tracker.links.run(run_id) for words, run_id in runs.items() if run_id}
        return self.views(stages) | found

    def views(self, stages: Sequence[StageState]) -> dict[str, str]:
        """The views of the study in the MLflow UI: leaderboard, curves by factor, all runs; words -> URL."""
        select = next((s.stage.select for s in reversed(stages) if s.stage.select), None)
        metric = select.metric if select else "val/accuracy"
        others = [name for name in ("val/accuracy", "val/balanced_accuracy", "val/roc_auc") if name != metric]
        columns = [
            *(f"params.`{factor}`" for factor in self._study.factors),
            *(f"metrics.`{name}`" for name in (f"{metric}_mean", f"{metric}_std", *(f"{o}_mean" for o in others))),
        ]
        ascending = select is not None and not select.maximize
        found = {"leaderboard": self._tracker.links.leaderboard(columns, f"metrics.`{metric}_mean`", ascending)}
        shown = list(dict.fromkeys([metric, "val/loss", "val/accuracy", "val/roc_auc", "train/loss"]))
        for factor in self._study.factors:
            levels = [str(level) for stage in self._study.stages for level in stage.grid.get(factor, ())]
            found[f"curves by {factor}"] = self._tracker.links.curves(factor, levels, shown)
        tree = [f"metrics.`{metric}`", f"metrics.`{metric}_mean`", *(f"params.`{f}`" for f in self._study.factors)]
        return found | {"all runs": self._tracker.links.tree(tree)}


_TRAINED = {"all": "whole network trained", "head": "frozen"}


def _scenario_words(state: ScenarioState, inputs: Inputs, mark: str | None) -> str:
    s, means = state.settings, state.summary
    augmented = "" if s.augment == "none" else f", {s.augment} augmentation"
    return (
        f"{'**SYNTHETIC DATA.** ' if inputs.dataset.synthetic else ''}{f'**{mark}.** ' if mark else ''}"
        f"{s.backbone} ({s.weights} weights,"
        f" {_TRAINED.get(s.trainable, f'{s.trainable} stages trained')}{augmented}), head {s.head}, oversampling"
        f" {s.oversampling}, {s.epochs} epochs. Over {len(state.jobs)} folds ({inputs.separation.of_folds}): accuracy"
        f" {means['val/accuracy_mean']:.3f} (SD {means['val/accuracy_std']:.3f}), ROC AUC"
        f" {means['val/roc_auc_mean']:.3f}. The numbers are of the"
        f" {'last epoch' if s.select_epoch == 'last' else 'best epoch on the validation images, which flatters them'}."
    )
