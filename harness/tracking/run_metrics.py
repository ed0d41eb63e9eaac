"""The metrics of runs in MLflow: epochs as they come, the record of a finished job, single values and curves."""

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import RunTag

from harness.store.results import FoldRecord, Metrics
from harness.tracking.metric_buffer import MetricBuffer
from harness.tracking.system_metrics import system_metrics


class RunMetrics:
    """Logs the metrics of runs."""

    def __init__(self, client: MlflowClient) -> None:
        self._client, self._buffer = client, MetricBuffer(client)

    def flush(self, run_id: str) -> None:
        """Write the epochs of a run that are not written yet."""
        self._buffer.flush(run_id)

    def drop(self, run_id: str) -> None:
        """Discard the epochs of a run that are not written yet."""
        self._buffer.drop(run_id)

    def log_epoch(self, run_id: str, epoch: int, metrics: Metrics) -> None:
        """Add one epoch (from 1) to the curves of a run; short epochs are written several at a time.

        The load of this machine is logged with it.
        """
        self._buffer.add(run_id, epoch, metrics | system_metrics())

    def log_record(self, run_id: str, record: FoldRecord, streamed: bool) -> None:
        """Log the record of a finished job: facts, selected epoch, and the curves unless they were `streamed`."""
        if streamed:
            self._buffer.flush(run_id)
        else:
            self._buffer.write(run_id, list(enumerate(record.history, start=1)))
        last = len(record.history)
        own = {name: value for name, value in record.metrics.items() if name not in record.history[-1]}
        if record.selected_epoch != last:  # the last value is that of the predictions
            self._buffer.write(run_id, [(last, record.metrics)], later=1)
        elif own:
            self._buffer.write(run_id, [(last, own)])
        facts = record.facts.to_json()
        numbers = {k: float(v) for k, v in facts.items() if isinstance(v, int | float)}
        words = {k: v for k, v in facts.items() if isinstance(v, str)}
        self._buffer.write(run_id, [(last, numbers | {"selected_epoch": float(record.selected_epoch)})])
        self._client.log_batch(run_id, tags=[RunTag(f"harness.{name}", word) for name, word in words.items()])

    def log_metrics(self, run_id: str, metrics: Metrics, step: int = 0) -> None:
        """Log single values; those that an earlier, killed start has logged are not logged twice."""
        there = self._client.get_run(run_id).data.metrics
        self._buffer.write(run_id, [(step, {k: v for k, v in metrics.items() if there.get(k) != v})])

    def log_curves(self, run_id: str, epochs: Sequence[Metrics]) -> None:
        """Log values by epoch, from 1; those that an earlier, killed start has logged are not logged twice."""
        names = set().union(*epochs) & set(self._client.get_run(run_id).data.metrics)
        there = {(name, m.step) for name in names for m in self._client.get_metric_history(run_id, name)}
        steps = [
            (step, {name: value for name, value in metrics.items() if (name, step) not in there})
            for step, metrics in enumerate(epochs, start=1)
        ]
        self._buffer.write(run_id, steps)
