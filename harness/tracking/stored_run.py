"""A fold or test run, read back from MLflow."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from harness.data.record import HEADS_FOLDER
from harness.errors import StudyError
from harness.store import Store
from harness.study.settings import ResolvedSettings
from harness.tracking.connection import open_client


@dataclass(frozen=True)
class StoredRun:
    """A run's job, the file of its study, and the settings that it was fitted with."""

    job_id: str
    study_file: Path
    settings: ResolvedSettings


def stored_run(store: Store, run_id: str, folder: Path) -> StoredRun:
    """Read a fold or test run, and copy its study file and custom heads into `folder`.

    Raises StudyError if there is no such run, or another version wrote it.
    """
    if not store.has_runs:
        raise StudyError(f"{store.root} holds no runs; name the store with --store DIR")
    client = open_client(store)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        where = store.server or store.root
        raise StudyError(f"{where} has no run {run_id}; take the id from the MLflow UI") from None
    level = run.data.tags.get("harness.level")
    if level not in ("fold", "test", "refit"):
        raise StudyError(f"run {run_id} is a {level or 'foreign'} run; name the run of a fold or of a test")
    top = run
    while parent := top.data.tags.get("mlflow.parentRunId"):
        top = client.get_run(parent)
    if client.list_artifacts(top.info.run_id, HEADS_FOLDER):
        heads = client.download_artifacts(top.info.run_id, HEADS_FOLDER, str(folder / "downloaded"))
        shutil.copytree(heads, folder, dirs_exist_ok=True)
    path = client.download_artifacts(top.info.run_id, "study.yaml", str(folder))
    given = {key: value for key, value in run.data.params.items() if key in ResolvedSettings.model_fields}
    try:
        settings = ResolvedSettings.model_validate_strings(given)
    except ValueError:  # pydantic's own is one
        raise StudyError(f"run {run_id} has settings that this version does not read: another one wrote it") from None
    return StoredRun(run.data.tags["harness.job_id"].partition(",")[0], Path(path), settings)
