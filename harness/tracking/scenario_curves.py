"""The curves of a scenario in MLflow: mean and SD over its folds by epoch."""

from collections.abc import Sequence
from statistics import mean, stdev

from harness.store.results import FoldRecord, Metrics

# before the names: without it they are of one fold, with `_mean` of the epoch that counts; before `cost/` in the UI
EPOCHS = "by epoch/"
CURVES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/balanced_accuracy", "val/roc_auc")


def scenario_curves(records: Sequence[FoldRecord], further: Sequence[str] = ()) -> list[Metrics]:
    """The mean and the SD (n - 1) over the folds of each epoch that all of them have.

    Under `by epoch/<metric>` and `by epoch/<metric>_std`.
    further: metrics besides the usual ones, such as the one that selects. Of a single epoch there is no curve.
    """
    epochs = min((len(record.history) for record in records), default=0)
    return [
        _epoch([record.history[number] for record in records], further) for number in range(epochs if epochs > 1 else 0)
    ]


def _epoch(folds: Sequence[Metrics], further: Sequence[str]) -> Metrics:
    found: Metrics = {}
    for name in dict.fromkeys([*CURVES, *further]):
        values = [metrics[name] for metrics in folds if name in metrics]
        if len(values) == len(folds):
            found[f"{EPOCHS}{name}"] = mean(values)
            if len(values) > 1:
                found[f"{EPOCHS}{name}_std"] = stdev(values)
    return found
