"""Checks of MLflow's database for the doctor. Reads only."""

from collections.abc import Collection, Iterator

from mlflow import MlflowClient
from mlflow.entities import Run

from harness.store import Ledger, Store
from harness.tracking.connection import open_client, search_runs
from harness.tracking.snapshot import database_to_read, require_whole


class Health:
    """The runs of a store in MLflow. Raises HarnessError where its database is damaged or cannot be opened."""

    def __init__(self, store: Store) -> None:
        self._store, self._client = store, open_client(store)
        require_whole(store, database_to_read(store))

    def orphaned_runs(self, held: Collection[str]) -> list[str]:
        """The names of runs that are RUNNING although no process runs their study. held: the studies that are run."""
        return [
            str(run.info.run_name)
            for name, runs in _by_study(self._client, "attributes.status = 'RUNNING'")
            for run in runs
            if name not in held
        ]

    def without_results(self) -> list[str]:
        """The names of finished fits that the ledger lacks."""
        ledger, query = Ledger(self._store), "tags.`harness.level` = 'fold' AND tags.`harness.complete` = 'true'"
        return [
            str(run.info.run_name)
            for _, runs in _by_study(self._client, query)
            for run in runs
            if not ledger.done(run.data.tags["harness.job_id"])
        ]


def _by_study(client: MlflowClient, query: str) -> Iterator[tuple[str, list[Run]]]:
    """The runs of every experiment that match."""
    for experiment in client.search_experiments():
        yield experiment.name, search_runs(client, experiment.experiment_id, query)
