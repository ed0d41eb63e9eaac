"""A study's dataset and settings as MLflow stores them."""

import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Param
from pandas.api.types import is_numeric_dtype

from harness.data.dataset import Dataset
from harness.data.patient_counts import grouping
from harness.errors import redact
from harness.report.sections.conduct import git_words
from harness.store.clock import moment
from harness.study import Study
from harness.study.history import CommandEntry
from harness.study.plan import Scenario
from harness.study.settings import ResolvedSettings

MAX_TAG = 5000  # characters, in MLflow


def dataset_input(dataset: Dataset, study: Study) -> DatasetInput:
    """The entry of MLflow's dataset column: the manifest, with the digest of its content."""
    name = f"{study.data.source}{' (SYNTHETIC)' if dataset.synthetic else ''}"
    columns = ["image", "label", *(["patient"] if dataset.patient_rule is not None else []), *dataset.metadata]
    numbers = {name: float for name in dataset.metadata if is_numeric_dtype(dataset.table[name])}  # some are missing
    table = pd.DataFrame({name: dataset.table[name].astype(numbers.get(name, object)) for name in columns})
    with warnings.catch_warnings():  # that two names fit one kind of source
        warnings.simplefilter("ignore")
        entity: Any = from_pandas(table, source=str(dataset.root), name=name, targets="label", digest=dataset.digest)
    return DatasetInput(entity._to_mlflow_entity(), [InputTag("mlflow.data.context", "train and validation")])


def params(study: Study, scenario: Scenario | None) -> list[Param]:
    """Every resolved setting under its own name. Without a scenario: those that no scenario of the study varies."""
    values: dict[str, Any] = {
        "k": study.folds.k, "repeats": study.folds.repeats, "grouped": grouping(study),
        "folds_seed": study.folds.seed, "seed": study.seed, "positive": study.data.positive,
        "source": study.data.source, "limit": study.data.limit,
    }  # fmt: skip
    values |= _used(scenario.settings) if scenario else _constant_settings(study)
    return [Param(name, str(value)) for name, value in values.items() if value is not None]


def _used(settings: ResolvedSettings) -> dict[str, Any]:
    """The settings that decide something."""
    return {name: value for name, value in settings.model_dump().items() if settings.uses(name)}


def _constant_settings(study: Study) -> dict[str, Any]:
    """The settings that are the same in every scenario that the study can meet."""
    searched = study.search.space if study.search else {}
    every = [_used(study.resolved(settings)) for _, settings in study.settings()]
    return {
        name: value
        for name, value in every[0].items()
        if name not in searched and name not in study.factors and all(one.get(name) == value for one in every)
    }


def command_tags(commands: Sequence[CommandEntry]) -> dict[str, str]:
    """The tags of a study's run on the commands that fitted something: what they were, when, on what, by which code."""
    if not commands:
        return {}
    told = {
        "commands": "; ".join(dict.fromkeys(redact(c.command) for c in commands)),
        "first_command": moment(commands[0].time),
        "last_command": moment(commands[-1].time),
        "devices": ", ".join(dict.fromkeys(c.device for c in commands)),
        "git_commits": ", ".join(dict.fromkeys(git_words(c) for c in commands)),
        "clock_seconds": f"{sum(c.seconds or 0.0 for c in commands):.0f}",
    }
    return {f"harness.{name}": value[:MAX_TAG] for name, value in told.items()}
