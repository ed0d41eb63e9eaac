"""The model that a study chose, in MLflow: logged on its test run, registered, found again."""

import io
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types import ColSpec, Schema
from PIL import Image

import harness
from harness.errors import HarnessError
from harness.store import Store
from harness.tracking.connection import open_client

CHAMPION = "champion"  # the alias
# what harness/serving and all that it imports need; the harness itself goes with the model as code
NEEDED = ("mlflow", "torch", "timm", "numpy", "pandas", "pillow", "safetensors", "pydantic", "pyyaml", "filelock",
          "huggingface-hub", "scikit-learn", "imbalanced-learn")  # fmt: skip


class Registry:
    """The registered models of a store: one for each study, called as it is."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def is_champion(self, name: str, run_id: str) -> bool:
        """Whether the champion of this study is the model of this run."""
        try:
            return self._client.get_model_version_by_alias(name, CHAMPION).run_id == run_id
        except MlflowException:
            return False

    def log(self, run_id: str, name: str, folder: Path, classes: Iterable[str], description: str) -> None:
        """Logs the classifier saved in `folder` as a model of a run, and makes it the champion.

        folder: is called `classifier`; MLflow keeps the name.
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
            name, logged.artifact_location, run_id, description=description, model_id=logged.model_id
        )
        client.set_registered_model_alias(name, CHAMPION, made.version)


def _save(path: Path, folder: Path, classes: Iterable[str], model_id: str, run_id: str) -> None:
    """Writes the MLflow model: the classifier's folder, the code that runs it, and what that needs."""
    columns = [ColSpec("string", "class"), *(ColSpec("double", f"prob_{name}") for name in classes)]
    save_model(
        path,
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"classifier": folder.as_uri()},
        code_paths=[str(Path(harness.__file__).parent)],
        signature=ModelSignature(Schema([ColSpec("binary", "image")]), Schema([*columns])),
        input_example=pd.DataFrame({"image": [_example()]}),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in NEEDED],
    )


def _example() -> bytes:
    """A gray PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64).view(np.uint8)[:, ::2].copy()).save(buffer, "png")
    return buffer.getvalue()


def champion_folder(store: Store, uri: str) -> Path:
    """The folder of the classifier in a model of this store's MLflow, such as models:/NAME@champion.

    Raises HarnessError where there is none.
    """
    if not store.has_runs:
        raise HarnessError(f"{store.root} holds no models; first run: harness run STUDY, or name the store by --store")
    named = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/([0-9]+))", uri)
    if named is None:
        raise HarnessError(f"{uri}: allowed: models:/NAME@{CHAMPION} and models:/NAME/VERSION")
    name, alias, number = named.groups()
    client = open_client(store)
    try:
        number = number or client.get_model_version_by_alias(name, alias).version
        source = client.get_model_version_download_uri(name, number)
        path = Path(download_artifacts(artifact_uri=source, tracking_uri=store.tracking_uri))
    except (MlflowException, OSError):
        raise HarnessError(
            f"{store.server or store.root} has no model {uri}; a study with a test: block (model: refit) registers one"
            " when it is run"
        ) from None
    return path / "artifacts" / "classifier"
