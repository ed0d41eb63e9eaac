"""Probes on frozen features: what choosing C costs, and what probes add to the extraction of the features."""

import json
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from harness.data.inner_split import inner_split
from harness.models.lbfgs import fit_models
from harness.models.linear_models import LOGISTIC, LinearModel, Vectors
from harness.models.probes import LOGISTIC_C, TOLERANCE
from harness.prepare import prepare
from harness.store import Ledger, Store
from harness.study import Study
from tests.bench.cached_features import feature_files
from tests.bench.figure import Bench, Goal, Row, in_turns, quiet_run, ratio, seconds

PROBES: list[dict[str, Any]] = [{"name": "probes", "grid": {"head": ["knn", "logistic", "linear"]}}]


def measure(bench: Bench) -> list[Row]:
    """All values of C one after the other by scikit-learn over all at once; a study of probes over its extraction."""
    images, folds, rounds = (300, 3, 1) if bench.quick else (5216, 5, 3)
    study, store = bench.study("probes", images, PROBES), bench.store("probes")
    study = study.model_copy(update={"folds": study.folds.model_copy(update={"k": folds})})
    whole = seconds(lambda: quiet_run(study, store, "inline"))
    extraction = json.loads((feature_files(store) / "about.json").read_text(encoding="utf-8"))["seconds"]
    fits = sum(Ledger(store).record(job.name).facts.seconds for job in store.jobs.iterdir())
    work = (
        f"{bench.backbone}, {images} images at 150 px, {folds} folds x (nearest neighbours, logistic regression with 45"
        " values of C, a linear layer for 15 epochs). Extraction: the seconds that it took of these."
    )
    run = " Study: run_study in a new store, checks of all images, MLflow and report included."
    return [
        _sweep(bench, study, store, rounds),
        ratio("extraction and probes / extraction", [extraction + fits], [extraction], Goal("<=", 1.3), work),
        ratio("study of probes / extraction", [whole], [extraction], None, work + run),
    ]


def _sweep(bench: Bench, study: Study, store: Store, rounds: int) -> Row:
    inputs = prepare(study, store).inputs
    inner = inner_split(inputs.dataset, inputs.folds[0].train, 0)
    kept = ~inner.held_out
    cached = np.load(feature_files(store) / "maps.npy").reshape(len(inputs.dataset.rows("train")), -1)
    features = cached[inner.rows[kept]].astype(np.float64)
    deviation = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    labels = inner.labels[kept]
    classes = len(inputs.dataset.classes)

    def ours() -> None:
        vectors = Vectors(torch.from_numpy(features), torch.from_numpy(labels), torch.ones(len(labels)))
        fit_models(LinearModel(classes, LOGISTIC), vectors, LOGISTIC_C, TOLERANCE)

    times = in_turns({"scikit-learn": lambda: _one_by_one(features, labels), "harness": ours}, rounds)
    work = (
        f"{bench.backbone}, {len(labels)} vectors of {features.shape[1]} values, standardised, in float64,"
        f" {classes} classes, 45 values of C from 1e-6 to 1e5, all cores. scikit-learn: LogisticRegression with its"
        " default tolerance, each started from the one before. Harness: all as the columns of one L-BFGS, each at"
        " least as near to the exact solution."
    )
    return ratio("scikit-learn, 45 values of C / probe", times["scikit-learn"], times["harness"], Goal(">=", 2), work)


def _one_by_one(features: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    model = LogisticRegression(warm_start=True, max_iter=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in LOGISTIC_C.tolist():
            model.set_params(C=strength).fit(features, labels)
