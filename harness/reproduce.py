"""Makes a fit again: `reproduce` compares it with the stored one, `rerun` replaces it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.data.backbone_sources import place_of_source
from harness.data.inputs import Workspace
from harness.data.moved_images import found_by_hash
from harness.data.record import records
from harness.data.sources import given_folder
from harness.errors import DataError, HarnessError, StudyError
from harness.execution.compute import Compute
from harness.execution.fitter import make_context
from harness.execution.progress import Reporter
from harness.models.repositories import SOURCE, require_source
from harness.prepare import READERS, prepare, stored_workspace
from harness.report.numbers.marks import Marks
from harness.runner import Run, run_study
from harness.store import Store
from harness.store.results import FoldRecord, Metrics
from harness.study import Study, load_study
from harness.study.mixed import require_one_code, require_one_version
from harness.study.origin import origin_of
from harness.study.plan import Job, fold_jobs, point_scenario
from harness.study.provenance import code_digest, versions
from harness.study.settings import Settings
from harness.study.state import StudyState, find_scenario
from harness.study.types import Switch
from harness.training.device import choose_device
from harness.training.run import run_jobs


@dataclass(frozen=True)
class Reproduction:
    """The metrics of a job, stored and fitted again."""

    job: Job
    stored: FoldRecord
    again: FoldRecord
    mark: str | None  # why its numbers are less than they seem

    @property
    def differences(self) -> Metrics:
        """The new value minus the stored one, for every metric."""
        return {name: self.again.metrics[name] - value for name, value in self.stored.metrics.items()}

    @property
    def identical(self) -> bool:
        return all(difference == 0 for difference in self.differences.values())


def reproduce(run_id: str, store: Store, device: str, reporter: Reporter, data: Path | None = None) -> Reproduction:
    """Fit the job of a fold or test run again, and store nothing.

    data: a folder with the images, which may have been moved and renamed; None: they are where they were.
    Raises StudyError if the run, its study file or its images have changed.
    """
    from harness.tracking.connection import reachable
    from harness.tracking.stored_run import stored_run

    with TemporaryDirectory() as folder:
        with reachable(store):
            run = stored_run(store, run_id, Path(folder, "run"))
        workspace = _workspace(run.study_file, store, data, Path(folder, "images"), reporter.say)
        jobs, stored = _stored_jobs(workspace, run_id, run.job_id, run.settings)
        _require_sources(workspace, run_id, jobs)
        mode: Switch = "on" if stored.facts.compile == "on" else "off"
        compute = Compute(threads=stored.facts.threads or 1, compile=mode)
        context = make_context(workspace, str(choose_device(device)), reporter.counting, compute)
        context = replace(context, checkpoints=None)  # from the start, and nothing is stored
        wanted = [job.id for job in jobs].index(run.job_id)
        result = run_jobs(jobs, context, lambda *_: None)[wanted]
    if isinstance(result, Exception):
        raise result
    again = workspace.ledger.scored(result.record, result.predictions)
    return Reproduction(jobs[wanted], stored, again, _mark(workspace, jobs[wanted]))


def _workspace(study_file: Path, store: Store, data: Path | None, links: Path, say: Callable[[str], None]) -> Workspace:
    """The study of a run, its images at hand. links: a folder for links to those that are found by their hashes.

    Raises DataError where the images are not at hand.
    """
    study = load_study(study_file).model_copy(update={"paper": None})  # which decides no fit
    if data is not None and not records(store, study.study):
        return prepare(load_study(study_file, data_path=str(data)), store)
    workspace = stored_workspace(study, store, say)
    inputs = workspace.inputs
    if data is not None:
        folder = given_folder(data, store)
        return replace(workspace, inputs=replace(inputs, dataset=found_by_hash(inputs.dataset, folder, links)))
    missing = [root for root in (inputs.dataset.root, *inputs.dataset.set_roots.values()) if not root.is_dir()]
    if missing:
        raise DataError(
            f"the images are not at hand: {missing[0]} is not a folder; name one that has them with --data"
            f" DIR: they are found by their hashes, wherever they lie in it. Without them, {READERS} work"
        )
    return workspace


def _stored_jobs(workspace: Workspace, run_id: str, job_id: str, settings: Settings) -> tuple[list[Job], FoldRecord]:
    """The jobs that were fitted together with this one, and its record.

    Raises StudyError where they cannot be fitted again.
    """
    digests, ledger = workspace.inputs.digests, workspace.ledger
    stored = ledger.record(job_id) if ledger.done(job_id) else None
    # the jobs of a stack decide each other's last digits
    together = list(stored.facts.stack or [job_id]) if stored else []
    jobs = _find(workspace, settings, together)
    if stored is None or len(jobs) < len(together):
        raise StudyError(
            f"run {run_id}: job {job_id} cannot be made from the study file, the images and the weights as they are"
            f" now (manifest {digests.manifest}, folds {digests.all_folds}); one of them has changed"
        )
    if stored.facts.threads is None:
        raise StudyError(
            f"run {run_id}: its result is older than the record of a fit's threads, which decide its last digits;"
            " fit it again: harness rerun STUDY --scenario NAME --fold N"
        )
    return jobs, stored


def _require_sources(workspace: Workspace, run_id: str, jobs: list[Job]) -> None:
    """Raise StudyError where the file of a backbone of the user's own is gone, or is not what was trained."""
    digests = workspace.inputs.digests.weights
    for settings in (job.scenario.settings for job in jobs):
        content = digests.get((settings.backbone, settings.weights), "")
        try:
            require_source(settings.backbone, content)
        except HarnessError:
            kept = workspace.folder / place_of_source(settings.backbone, content.partition(SOURCE)[2])
            where = f"; the source that was trained is {kept}: put it there" if kept.is_file() else ""
            file = getattr(origin_of(settings.backbone), "folder", None)
            raise StudyError(f"run {run_id}: {file} is not what was trained, or is gone{where}") from None


def _mark(workspace: Workspace, job: Job) -> str | None:
    marks = Marks(workspace.study, (), workspace.inputs.dataset.synthetic)
    return marks.scenario(job.scenario.settings)


def _find(workspace: Workspace, settings: Settings, ids: list[str]) -> list[Job]:
    """The jobs of the study with these ids, in their order; of its search those with these settings."""
    study, digests = workspace.study, workspace.inputs.digests
    jobs = [job for scenario in workspace.reader.read(provisional=True).fits for job in scenario.jobs]
    if study.search:
        point = {key: getattr(settings, key) for key in study.search.space}
        jobs += fold_jobs(study, point_scenario(study, point, digests), digests)
    known = {job.id: job for job in jobs}
    return [known[job_id] for job_id in ids if job_id in known]


def find_job(state: StudyState, scenario: str, fold: int, repeat: int) -> Job:
    """The job of a scenario (its name or id) at these coordinates. Raises StudyError, saying what there is."""
    named = find_scenario(state, scenario)
    for job in named.jobs:
        if (job.fold, job.repeat) == (fold, repeat):
            return job
    folds, repeats = (max(numbers) for numbers in zip(*[(j.fold or 0, j.repeat) for j in named.jobs], strict=True))
    raise StudyError(
        f"--fold {fold} --repeat {repeat}: the study has the folds 0 to {folds} and the repeats 0 to {repeats}"
    )


@dataclass(frozen=True)
class Rerun:
    """The run, and the old numbers next to the new ones, if there were old ones and the new fit succeeded."""

    job: Job
    run: Run
    compared: Reproduction | None


def rerun(study: Study, store: Store, device: str, reporter: Reporter, scenario: str, fold: int, repeat: int) -> Rerun:
    """Fit the job at these coordinates again, and publish it; other jobs are not touched."""
    workspace = prepare(study, store)
    state, ledger = workspace.reader.read(provisional=True), workspace.ledger
    job = find_job(state, scenario, fold, repeat)
    old = ledger.record(job.id) if ledger.done(job.id) else None
    if old is not None:
        require_one_code(state.fits, code_digest())
        require_one_version(state.fits, store.mixed_versions, versions())
        with store.locked(study.study):
            reporter.say(f"the old result is now in {ledger.set_aside(job.id)}")
    run = run_study(study, store, device, reporter, only={job.id})
    done = old is not None and ledger.done(job.id)
    compared = Reproduction(job, old, ledger.record(job.id), _mark(workspace, job)) if old and done else None
    return Rerun(job, run, compared)
