"""The code of a logged model, as MLflow runs it when it loads one (models from code); not for import."""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from harness.errors import DataError
from harness.serving.classifier import Classifier


class ServedClassifier(PythonModel):
    """A column `image` -> class and probabilities.

    An image is the bytes of a file, their base64 (as in JSON), an array, or a Path. A string is never a path: a server
    must not read its own files for a client.
    """

    def load_context(self, context: PythonModelContext) -> None:
        self.classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        return self.classifier.predict([_image(image) for image in model_input["image"]])


def _image(image: Any) -> Any:
    try:
        return base64.b64decode(image, validate=True) if isinstance(image, str) else image
    except ValueError:
        raise DataError("an image given as a string is the base64 of an image file's bytes") from None


set_model(ServedClassifier())
