"""What a run of an earlier start says of its job."""

import shutil
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from harness.errors import StudyError
from harness.store import Store
from harness.tracking.connection import search_runs

HEADS_FOLDER = "heads"  # of a study run's artifacts: the files of heads of the user's own


def stored_run(store: Store, run_id: str, folder: Path) -> tuple[str, Path]:
    """The job of a fold or test run, and its study file, copied into `folder` with the heads of the user's own.

    Raises StudyError where there is no such run.
    """
    if not store.has_runs:
        raise StudyError(f"{store.root} holds no runs; name the store with --store DIR")
    client = MlflowClient(tracking_uri=store.tracking_uri)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        where = store.server or store.root
        raise StudyError(f"{where} has no run {run_id}; take the id from the MLflow UI") from None
    level = run.data.tags.get("harness.level")
    if level not in ("fold", "test"):
        raise StudyError(f"run {run_id} is a {level or 'foreign'} run; name the run of a fold or of a test")
    query = f"tags.`harness.level` = 'study' AND tags.`harness.study_id` = '{run.data.tags['harness.study_id']}'"
    (study, *_) = search_runs(client, run.info.experiment_id, query)
    if client.list_artifacts(study.info.run_id, HEADS_FOLDER):
        heads = client.download_artifacts(study.info.run_id, HEADS_FOLDER, str(folder / "downloaded"))
        shutil.copytree(heads, folder, dirs_exist_ok=True)
    path = client.download_artifacts(study.info.run_id, "study.yaml", str(folder))
    return run.data.tags["harness.job_id"].partition(",")[0], Path(path)
