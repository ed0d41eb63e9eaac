"""MLflow's model registry: the chosen model of a study is logged on its test run, registered, and found again."""

import io
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.pyfunc import save_model
from mlflow.types import ColSpec, Schema
from PIL import Image

import harness
from harness.data.inputs import Workspace
from harness.errors import HarnessError
from harness.serving.architecture import needed_packages
from harness.store import Store
from harness.study.state import final_test
from harness.tracking.connection import open_client

CHAMPION = "champion"  # the alias
STUDY_IDS = "harness.study_id"  # tag of a version: the ids of the studies whose model it is, separated by commas
JOB_ID = "harness.job_id"  # tag of a version: the refit that it came from
MAX_STUDY_IDS = 200  # MLflow stores 5,000 characters of a tag
# what harness/serving and its imports need; the code of the harness is stored with the model
REQUIREMENTS = ("mlflow", "torch", "timm", "numpy", "pandas", "pillow", "safetensors", "pydantic", "pyyaml", "filelock",
          "huggingface-hub", "scikit-learn", "imbalanced-learn")  # fmt: skip


class Registry:
    """The registered models of a store: one for each study, under its name."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def crown(self, name: str, study_id: str, job_id: str) -> Literal["newly", "still"] | None:
        """Make the model of this job the champion, and return whether it newly is; None if it is not registered.

        Studies of several ids (the file was edited) can end with one job: the model belongs to each of them.
        """
        found = _version(_versions(self._client, name), study_id, job_id)
        if found is None:
            return None
        ids = _study_ids(found)
        if study_id in ids and self._champion(name) == found.version:
            return "still"
        every = [*(other for other in ids if other != study_id), study_id][-MAX_STUDY_IDS:]
        self._client.set_model_version_tag(name, found.version, STUDY_IDS, ",".join(every))
        self._client.set_registered_model_alias(name, CHAMPION, found.version)
        return "newly"

    def _champion(self, name: str) -> str | None:
        try:
            return self._client.get_model_version_by_alias(name, CHAMPION).version
        except MlflowException:
            return None

    def log(
        self, run_id: str, name: str, folder: Path, classes: Iterable[str], description: str, tags: Mapping[str, str]
    ) -> None:
        """Log the classifier saved in `folder` as a model of a run, and make it the champion.

        folder: named `classifier`, which MLflow keeps. tags: STUDY_IDS and JOB_ID.
        """
        client = self._client
        experiment_id = client.get_run(run_id).info.experiment_id
        logged = client.create_logged_model(
            experiment_id, name="champion", source_run_id=run_id, model_type="classifier"
        )
        with TemporaryDirectory() as new:
            _save(Path(new, "model"), folder, classes, logged.model_id, run_id)
            client.log_model_artifacts(logged.model_id, str(Path(new, "model")))
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        try:
            client.create_registered_model(name, description=f"The chosen model of study {name}.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(
            name, logged.artifact_location, run_id, dict(tags), description=description, model_id=logged.model_id
        )
        client.set_registered_model_alias(name, CHAMPION, made.version)


def _save(path: Path, folder: Path, classes: Iterable[str], model_id: str, run_id: str) -> None:
    """Write the MLflow model: the classifier's folder, the code that runs it, and its requirements."""
    columns = [ColSpec("string", "class"), *(ColSpec("double", f"prob_{name}") for name in classes)]
    save_model(
        path,
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"classifier": folder.as_uri()},
        code_paths=[str(Path(harness.__file__).parent)],
        signature=ModelSignature(Schema([ColSpec("binary", "image")]), Schema([*columns])),
        input_example=pd.DataFrame({"image": [_example()]}),
        pip_requirements=[
            f"{name}=={version(name).partition('+')[0]}" for name in [*REQUIREMENTS, *needed_packages(folder)]
        ],
    )
    model = Model.load(path)
    flavor = model.flavors["python_function"]  # MLflow reads neither, and both name folders of this machine
    flavor["artifacts"]["classifier"]["uri"] = flavor["artifacts"]["classifier"]["path"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    model.save(path / MLMODEL_FILE_NAME)


def _example() -> bytes:
    """A gray PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64).view(np.uint8)[:, ::2].copy()).save(buffer, "png")
    return buffer.getvalue()


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model, the newest first."""
    found = client.search_model_versions(f"name='{name}'")
    return sorted(found, key=lambda one: int(one.version), reverse=True)


def _version(versions: Iterable[ModelVersion], study_id: str, job_id: str | None) -> ModelVersion | None:
    """The version of this job; without a job id, the newest version of this study id."""
    for found in versions:
        if found.tags.get(JOB_ID) == job_id if job_id else study_id in _study_ids(found):
            return found
    return None


def _study_ids(version: ModelVersion) -> list[str]:
    return [found for found in version.tags.get(STUDY_IDS, "").split(",") if found]


def study_model(workspace: Workspace) -> str:
    """The URI of the model that this study registered: with these settings, on these images.

    Raises HarnessError if there is none, even if the store has a model of another study of the same name.
    """
    study, store = workspace.study, workspace.store
    require_models(store)
    newest = f"models:/{study.study}@{CHAMPION}"
    chosen, identity = final_test(study, workspace.reader.read()), workspace.identity
    if isinstance(chosen, str):
        raise study.error(("test",), f"no model is registered: {chosen}")
    versions = _versions(open_client(store), study.study)
    found = _version(versions, identity, chosen.jobs[0].id if chosen else None)
    if found is not None:
        return f"models:/{study.study}/{found.version}"
    others = dict.fromkeys(other for one in versions for other in _study_ids(one))
    theirs = f"study id {', '.join(others)}" if others else "another study id"
    raise study.error(
        ("study",),
        f"no model of this study (id {identity}) is registered in {store.server or store.root}"
        + (f"; {newest} is of {theirs}" if versions else "")
        + "; a study with a test: block (model: refit) registers one when it is run: harness run STUDY",
    )


def require_models(store: Store) -> None:
    """Raise HarnessError where the store has no runs, and so no models."""
    if not store.has_runs:
        raise HarnessError(f"{store.root} holds no models; first run: harness run STUDY, or name the store by --store")


def champion_folder(store: Store, uri: str) -> Path:
    """The folder of the classifier in a model of this store's MLflow, such as models:/NAME@champion.

    Raises HarnessError if there is none.
    """
    require_models(store)
    named = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/([0-9]+))", uri)
    if named is None:
        raise HarnessError(f"{uri}: allowed: models:/NAME@{CHAMPION} and models:/NAME/VERSION")
    name, alias, number = named.groups()
    client = open_client(store)
    try:
        number = number or client.get_model_version_by_alias(name, alias).version
        source = client.get_model_version_download_uri(name, number)
        path = Path(download_artifacts(artifact_uri=source, tracking_uri=client.tracking_uri))
    except (MlflowException, OSError):
        raise HarnessError(
            f"{store.server or store.root} has no model {uri}; a study with a test: block (model: refit) registers one"
            " when it is run"
        ) from None
    return path / "artifacts" / "classifier"
