"""The runs of a study in MLflow: study run -> scenario runs -> fold runs, written by one process."""

import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow.tracking.context.registry import resolve_tags

from harness.data.inputs import Workspace
from harness.errors import JobError
from harness.store.failpoints import failpoint
from harness.study.identity import Digests
from harness.study.plan import Job, Scenario
from harness.study.provenance import code_and_machine
from harness.study.rehearsal import rehearsal
from harness.tracking.connection import open_experiment, search_runs
from harness.tracking.descriptions import Descriptions
from harness.tracking.entities import dataset_input, params
from harness.tracking.links import UI_PORT, Links
from harness.tracking.registry import Registry
from harness.tracking.run_metrics import RunMetrics


class Tracker:
    """The runs of one study or search, by its id, in one store. port: of the MLflow UI of this store, for links."""

    def __init__(self, workspace: Workspace, identity: str, port: int = UI_PORT) -> None:
        store, self._study, self._study_id = workspace.store, workspace.study, identity
        self._provenance = _provenance(workspace.inputs.digests)
        self._origin, self._server = f"{socket.gethostname()}:{store.root}", store.server
        self._client, self.experiment_id = open_experiment(store, self._study.study)
        self._dataset = dataset_input(workspace.inputs.dataset, self._study)
        self._synthetic = workspace.inputs.dataset.synthetic
        self.metrics = RunMetrics(self._client)
        self.descriptions = Descriptions(self._client, self.experiment_id)
        self.registry = Registry(self._client)
        self.links = Links(self._client, self.experiment_id, identity, store.server or f"http://127.0.0.1:{port}")
        self._context = resolve_tags()
        self._runs: dict[tuple[str, str], str] = {}  # (level, key) -> run id
        self._finished: set[str] = set()
        self._active: set[str] = set()
        self._leftovers: list[str] = []
        self._find_runs()

    def _find_runs(self) -> None:
        """Find the runs of earlier starts."""
        query = f"tags.`harness.study_id` = '{self._study_id}'"
        for run in search_runs(self._client, self.experiment_id, query):
            level, run_id = run.data.tags["harness.level"], run.info.run_id
            if "harness.complete" in run.data.tags:
                self._finished.add(run_id)
            elif level in ("fold", "test", "refit"):
                if self._is_own(run.data.tags.get("harness.store")):
                    self._leftovers.append(run_id)
                continue
            self._runs[level, run.data.tags["harness.key"]] = run_id

    def _is_own(self, origin: str | None) -> bool:
        """Whether a run belongs to this store. On a server, another store may be running its own."""
        return self._server is None or origin in (None, self._origin)

    def discard_leftovers(self) -> None:
        """Move the unfinished runs of earlier starts to MLflow's trash; their jobs are run again.

        Runs that a killed process left RUNNING under another study id (the file was changed since) become KILLED.
        Only for the holder of the study's lock: the jobs of another runner look the same.
        """
        for run_id in self._leftovers:
            self._client.delete_run(run_id)
            failpoint("tracking.discarded")
        for run in search_runs(self._client, self.experiment_id, "attributes.status = 'RUNNING'"):
            if run.data.tags.get("harness.study_id") != self._study_id:
                self._client.set_terminated(run.info.run_id, "KILLED")

    def find(self, level: str, key: str) -> str | None:
        """The id of an existing run; creates and changes nothing."""
        return self._runs.get((level, key))

    def study_run(self) -> str:
        """The id of the study's run, created at the first call."""
        return self.start("study", self._study_id, self._study.study, None, {})

    def scenario_run(self, scenario: Scenario, stages: Iterable[str]) -> str:
        """The id of a scenario's run, created at the first call."""
        tags = _tags(scenario, stages)
        run_id = self.start("scenario", scenario.id, scenario.name, self.study_run(), tags, scenario)
        self._client.set_tag(run_id, "harness.stage", tags["harness.stage"])
        return run_id

    def start_fold(self, job: Job, stages: Iterable[str], parent: str | None = None) -> str:
        """The id of a fold's run, created at the first call and RUNNING until it is finished or failed.

        parent: the run that it goes under; None: that of its scenario.
        """
        tags = _tags(job.scenario, stages) | {
            "harness.job_id": job.id,
            "harness.fold": str(job.fold),
            "harness.repeat": str(job.repeat),
            "harness.seed": str(job.seed),
        }
        parent = parent or self.scenario_run(job.scenario, stages)
        return self.start("fold", job.id, f"{job.scenario.name}, {job.name}", parent, tags, job.scenario)

    def start_test(self, scenario: Scenario, stages: Iterable[str], jobs: Iterable[Job]) -> str:
        """The id of the run of a scenario's test evaluation."""
        tags = _tags(scenario, stages) | {"harness.job_id": ",".join(job.id for job in jobs)}
        return self.start("test", scenario.id, f"test: {scenario.name}", self.study_run(), tags, scenario)

    def start_refit(self, job: Job, stages: Iterable[str]) -> str:
        """The id of the run of a further refit, beside that of the test, which is of the first one."""
        tags = _tags(job.scenario, stages) | {"harness.job_id": job.id, "harness.seed": str(job.seed)}
        name = f"test: {job.scenario.name}, {job.name}"
        return self.start("refit", job.id, name, self.study_run(), tags, job.scenario)

    def is_finished(self, level: str, key: str) -> bool:
        """Whether the run of this job or scenario is complete."""
        return self._runs.get((level, key)) in self._finished

    def unfinished(self, level: str) -> list[str]:
        """The ids of the runs of this level that are not complete."""
        return [run_id for (name, _), run_id in self._runs.items() if name == level and run_id not in self._finished]

    def is_complete(self, run_id: str) -> bool:
        """Whether this run is complete."""
        return run_id in self._finished

    def log_files(self, run_id: str, paths: Iterable[Path], folder: str | None = None) -> None:
        """Copy files to the artifacts of a run."""
        for path in paths:
            if path.is_dir():
                self.log_files(run_id, sorted(path.iterdir()), f"{folder}/{path.name}" if folder else path.name)
            else:
                self._client.log_artifact(run_id, str(path), folder)
                failpoint("tracking.artifact")

    def tag(self, run_id: str, name: str, value: str) -> None:
        """Set a tag of a run."""
        self._client.set_tag(run_id, name, value)

    def finish(self, run_id: str) -> None:
        """Mark a run complete; the completion tag comes last."""
        self.metrics.flush(run_id)
        self._client.set_terminated(run_id, "FINISHED")
        failpoint("tracking.terminated")
        self._client.set_tag(run_id, "harness.complete", "true")
        failpoint("tracking.complete")
        self._finished.add(run_id)
        self._active.discard(run_id)

    def fail(self, run_id: str, error: JobError) -> None:
        """Mark the run of a job failed, with the reason in its description."""
        self._client.set_tag(run_id, "harness.error", error.reason[:5000])
        self.descriptions.describe(run_id, f"**Failed:** {error.reason}\n\n```\n{error.details[-4000:]}\n```")
        self.close(run_id, "FAILED")

    def close(self, run_id: str, status: str) -> None:
        """End a run that is not complete, as FAILED or KILLED."""
        self.metrics.flush(run_id)
        self._client.set_terminated(run_id, status)
        self._active.discard(run_id)

    def discard(self, level: str, key: str) -> None:
        """Move the run of a job that will not be finished to MLflow's trash; the next call creates a new one."""
        run_id = self._runs.get((level, key))
        if run_id is not None and run_id not in self._finished:
            self.metrics.drop(run_id)
            self._client.delete_run(run_id)
            self._active.discard(run_id)
            del self._runs[level, key]

    def retract(self, scenario_id: str, job_ids: Iterable[str], study_id: str) -> None:
        """Move the run of a scenario and its fold runs to MLflow's trash, and mark the study incomplete.

        For a scenario of which a result was set aside: its other folds are published again from the ledger.
        """
        for level, key in [("scenario", scenario_id), *(("fold", job_id) for job_id in job_ids)]:
            run_id = self._runs.pop((level, key), None)
            if run_id is not None:
                self._finished.discard(run_id)
                self._active.discard(run_id)
                self._client.set_tag(run_id, "harness.superseded", "true")
                self._client.delete_run(run_id)
        study_run = self._runs.get(("study", study_id))
        if study_run in self._finished:
            self._client.delete_tag(study_run, "harness.complete")
            self._finished.discard(study_run)

    def close_all(self, status: str) -> None:
        """End every run that is still RUNNING, also one whose creation a signal interrupted."""
        query = f"tags.`harness.study_id` = '{self._study_id}' AND attributes.status = 'RUNNING'"
        for run in search_runs(self._client, self.experiment_id, query):
            self.close(run.info.run_id, status)

    def start(
        self, level: str, key: str, name: str, parent: str | None, tags: Mapping[str, str],
        scenario: Scenario | None = None,
    ) -> str:  # fmt: skip
        """The id of the run of this level and key, created at the first call below the run `parent`."""
        run_id, known = self._runs.get((level, key)), dict[str, str]()
        if run_id is None:
            common = {
                "harness.level": level,
                "harness.key": key,
                "harness.study_id": self._study_id,
                "harness.store": self._origin,
                **{f"harness.{name}": value for name, value in self._provenance.items()},
            }
            if less := rehearsal(self._study):
                common["harness.rehearsal"] = ", ".join(less)
            if self._study.unit == "patient":
                common["harness.unit"] = f"patient, {self._study.combine}"
            if self._synthetic:
                common["harness.data"] = "SYNTHETIC"
            lineage = {"mlflow.parentRunId": parent} if parent else {}
            every = {**self._context, **common, **lineage, **tags}
            run = self._client.create_run(self.experiment_id, tags=every, run_name=name)
            run_id = self._runs[level, key] = run.info.run_id
            failpoint("tracking.created")
        elif run_id not in self._active and run_id not in self._finished:
            self._client.update_run(run_id, status="RUNNING")
            known = self._client.get_run(run_id).data.params  # MLflow refuses another path to the same weights
        if run_id not in self._active and run_id not in self._finished:
            missing = [param for param in params(self._study, scenario) if param.key not in known]
            self._client.log_batch(run_id, params=missing)
            self._client.log_inputs(run_id, datasets=[self._dataset])
            self._active.add(run_id)
        return run_id


def _tags(scenario: Scenario, stages: Iterable[str]) -> dict[str, str]:
    """What the runs of a scenario, of its folds and of its tests have in common."""
    return {
        "harness.scenario_id": scenario.id,
        "harness.scenario": scenario.name,
        "harness.stage": ",".join(stages),
    }


def _provenance(digests: Digests) -> dict[str, str]:
    """The origin of every run: digests, code, versions, machine, command line."""
    return {
        "manifest_digest": digests.manifest,
        "folds_digest": digests.all_folds,
        "weights_digest": ", ".join(sorted(set(digests.weights.values()))),
        **code_and_machine(),
    }
