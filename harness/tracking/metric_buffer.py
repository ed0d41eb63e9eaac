"""Metrics on their way to MLflow, many at a time."""

import math
import time
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric

from harness.store.failpoints import failpoint
from harness.store.results import Metrics

METRICS_A_REQUEST = 900  # MLflow takes at most 1,000 metrics at once
FLUSH_SECONDS = 1.0  # epochs that follow each other faster are written together


class MetricBuffer:
    """Writes the metrics of runs; short epochs several at a time."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._waiting: dict[str, list[tuple[int, Metrics]]] = {}  # run id -> epochs that are not written yet
        self._written: dict[str, float] = {}  # run id -> time of the last write

    def add(self, run_id: str, epoch: int, metrics: Metrics) -> None:
        """Add an epoch of a run."""
        self._waiting.setdefault(run_id, []).append((epoch, metrics))
        if time.monotonic() - self._written.get(run_id, -math.inf) > FLUSH_SECONDS:
            self.flush(run_id)

    def flush(self, run_id: str) -> None:
        """Write the buffered epochs of a run."""
        self.write(run_id, self._waiting.pop(run_id, []))
        self._written[run_id] = time.monotonic()

    def drop(self, run_id: str) -> None:
        """Discard the buffered epochs of a run."""
        self._waiting.pop(run_id, None)

    def write(self, run_id: str, steps: Sequence[tuple[int, Metrics]], later: int = 0) -> None:
        """Write values at their steps now.

        later: milliseconds added to the time; of two values at one step MLflow shows the later one.
        """
        now = int(time.time() * 1000) + later
        metrics = [Metric(name, value, now, step) for step, values in steps for name, value in values.items()]
        for start in range(0, len(metrics), METRICS_A_REQUEST):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_REQUEST])
            failpoint("tracking.metrics")
