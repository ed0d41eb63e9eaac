"""Finished jobs as local files: `jobs/<job_id>/` is whole or absent. MLflow is a view that can be rebuilt from them."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import JobError
from harness.failpoints import failpoint
from harness.results import FoldRecord, FoldResult
from harness.store import Store, new_folder, sync_folder, write_atomic

if TYPE_CHECKING:
    import pandas as pd


class Ledger:
    """The finished jobs of one store."""

    def __init__(self, store: Store) -> None:
        self.root = store.jobs
        self._states = store.states
        self._checkpoints = store.checkpoints
        self.set_aside_root = store.root / "set-aside"
        self.looks_root = store.root / "looks"

    def path(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.root / job_id

    def done(self, job_id: str) -> bool:
        """Whether this job is finished."""
        return (self.path(job_id) / "result.json").is_file()

    def record(self, job_id: str) -> FoldRecord:
        """The numbers of a finished job."""
        return FoldRecord(**json.loads((self.path(job_id) / "result.json").read_text(encoding="utf-8")))

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

    def begin(self, job_id: str) -> None:
        """Notes that a job is being fitted."""
        self._note(job_id, {"status": "running"})

    def fail(self, error: JobError) -> None:
        """Notes why a job has failed."""
        self._note(error.job_id, {"status": "failed", "reason": error.reason})

    def note(self, job_id: str) -> dict[str, str] | None:
        """What is noted of a job that is not done: its `status`, `running` or `failed`, and the `reason`."""
        try:
            found: dict[str, str] = json.loads((self._states / f"{job_id}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    def _note(self, job_id: str, note: dict[str, str]) -> None:
        write_atomic(self._states / f"{job_id}.json", json.dumps(note).encode())

    def checkpoint(self, job_id: str) -> int | None:
        """The epoch of the last checkpoint of a job that is not done."""
        files = sorted((self._checkpoints / job_id).glob("*.safetensors"))
        return int(files[-1].name.partition("-")[0]) if files else None

    def set_aside(self, job_id: str) -> Path:
        """Where the files of a finished job are now: it counts as not done any more."""
        before = len(list(self.set_aside_root.glob(f"{job_id}-*")))
        target = self.set_aside_root / f"{job_id}-{before + 1}"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path(job_id).rename(target)
        return target

    def save(self, result: FoldResult) -> None:
        """Stores a finished job in one step. A job that is stored already stays as it is."""
        if not self.done(result.record.job_id):
            self._store(result)
        (self._states / f"{result.record.job_id}.json").unlink(missing_ok=True)
        shutil.rmtree(self._checkpoints / result.record.job_id, ignore_errors=True)

    def _store(self, result: FoldResult) -> None:
        record = result.record
        with new_folder(self.root) as folder:
            (folder / "result.json").write_text(json.dumps(record.to_json(), indent=1), encoding="utf-8")
            (folder / "classes.json").write_text(json.dumps(record.class_counts, indent=1), encoding="utf-8")
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
