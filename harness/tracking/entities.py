"""A study's dataset and settings as MLflow stores them."""

import warnings
from typing import Any

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Param

from harness.data.dataset import Dataset
from harness.data.patient_counts import grouping
from harness.study import Study
from harness.study.plan import Scenario


def dataset_input(dataset: Dataset, study: Study) -> DatasetInput:
    """The entry of MLflow's dataset column: the manifest, with the digest of its content."""
    name = f"{study.data.source}{' (SYNTHETIC)' if dataset.synthetic else ''}"
    columns = ["image", "label", *(["patient"] if dataset.patient_rule is not None else [])]
    table = pd.DataFrame({column: dataset.table[column].astype(object) for column in columns})
    with warnings.catch_warnings():  # that two names fit one kind of source
        warnings.simplefilter("ignore")
        entity: Any = from_pandas(table, source=str(dataset.root), name=name, targets="label", digest=dataset.digest)
    return DatasetInput(entity._to_mlflow_entity(), [InputTag("mlflow.data.context", "train and validation")])


def params(study: Study, scenario: Scenario | None) -> list[Param]:
    """Every resolved setting under its own name."""
    values: dict[str, Any] = {
        "k": study.folds.k, "repeats": study.folds.repeats, "grouped": grouping(study),
        "folds_seed": study.folds.seed, "seed": study.seed, "positive": study.data.positive,
        "source": study.data.source, "limit": study.data.limit,
    }  # fmt: skip
    if scenario:
        values |= scenario.settings.model_dump()
    return [Param(name, str(value)) for name, value in values.items() if value is not None]
