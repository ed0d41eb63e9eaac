"""Finished jobs as local files: `jobs/<job_id>/` is whole or absent. MLflow is a view that can be rebuilt from them."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.failpoints import failpoint
from harness.results import FoldRecord, FoldResult
from harness.store import Store, new_folder, sync_folder, write_atomic

if TYPE_CHECKING:
    import pandas as pd


class Ledger:
    """The finished jobs of one store."""

    def __init__(self, store: Store) -> None:
        self.root = store.jobs
        self.looks_root = store.root / "looks"

    def path(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.root / job_id

    def done(self, job_id: str) -> bool:
        """Whether this job is finished."""
        return (self.path(job_id) / "result.json").is_file()

    def record(self, job_id: str) -> FoldRecord:
        """The numbers of a finished job."""
        return FoldRecord(**json.loads((self.path(job_id) / "result.json").read_text()))

    def predictions(self, job_id: str) -> "pd.DataFrame":
        """The predictions of a finished job, a row for each image."""
        import pandas as pd

        return pd.read_parquet(self.path(job_id) / "predictions.parquet")

    def look(self, manifest: str, study: str, key: str) -> None:
        """Notes that `study` scores something (`key`: its scenario and jobs) on the test set of this manifest.

        To be called before the scoring, so that a look that is broken off counts too. The same look counts once:
        the numbers of a stored test do not change when they are read again.
        """
        path = self.looks_root / manifest / study / f"{key}.json"
        if not path.exists():
            write_atomic(path, json.dumps({"time": time.time()}).encode())

    def looks(self, manifest: str, study: str | None = None) -> int:
        """How often the test set of this manifest was scored in this store, by this study or by any."""
        return len(list((self.looks_root / manifest).glob(f"{study or '*'}/*.json")))

    def save(self, result: FoldResult) -> None:
        """Stores a finished job in one step. A job that is stored already stays as it is."""
        record = result.record
        if self.done(record.job_id):
            return
        with new_folder(self.root) as folder:
            (folder / "result.json").write_text(json.dumps(record.to_json(), indent=1))
            (folder / "classes.json").write_text(json.dumps(record.class_counts, indent=1))
            result.predictions.to_parquet(folder / "predictions.parquet", index=False)
            if result.model is not None:
                (folder / "model.safetensors").write_bytes(result.model)
            sync_folder(folder)
            failpoint("ledger.written")
            try:
                folder.rename(self.path(record.job_id))
            except OSError:  # another study that shares the job was first
                if not self.done(record.job_id):
                    raise
        failpoint("ledger.saved")
