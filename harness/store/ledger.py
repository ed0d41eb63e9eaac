"""Finished jobs as local files: `jobs/<job_id>/` is complete or absent. MLflow's runs can be rebuilt from them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from harness.errors import HarnessError, JobError, described
from harness.stats.own_metrics import NO_OWN, OwnScores
from harness.store.failpoints import failpoint
from harness.store.files import new_folder, sync_folder, write_atomic
from harness.store.looks import Looks
from harness.store.results import FoldRecord, FoldResult
from harness.store.seals import seal
from harness.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def set_file(name: str) -> str:
    """The file with the predictions of a test set that is not the leading one, in the folder of a job."""
    return f"predictions-{name}.parquet"


class Ledger:
    """The finished jobs of one store. own: the metrics of the user's own, which are no part of the files."""

    def __init__(self, store: Store, own: OwnScores = NO_OWN) -> None:
        self.own = own
        self.root = store.jobs
        self._states = store.states
        self._checkpoints = store.checkpoints
        self.set_aside_root = store.root / "set-aside"
        self.looks = Looks(store)

    def path(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.root / job_id

    def done(self, job_id: str) -> bool:
        """Whether this job is finished."""
        return (self.path(job_id) / "result.json").is_file()

    def record(self, job_id: str) -> FoldRecord:
        """The numbers of a finished job, with the own metrics of its predictions."""
        with self._readable(job_id):
            file = self.path(job_id) / "result.json"
            record = FoldRecord.from_json(json.loads(file.read_text(encoding="utf-8")))
        return self.scored(record, self.predictions(job_id)) if self.own.metrics else record

    def scored(self, record: FoldRecord, predictions: "pd.DataFrame") -> FoldRecord:
        """The record with the own metrics of these predictions, which are its own."""
        split = next(name.partition("/")[0] for name in record.metrics if not name.startswith("train/"))
        found = {f"{split}/{name}": value for name, value in self.own.of(predictions).items()}
        return replace(record, metrics=record.metrics | found)

    def predictions(self, job_id: str, test_set: str | None = None) -> "pd.DataFrame":
        """The predictions of a finished job, one row per image.

        test_set: the name of a test set that is not the leading one.
        """
        import pandas as pd

        name = "predictions.parquet" if test_set is None else set_file(test_set)
        with self._readable(job_id):
            return pd.read_parquet(self.path(job_id) / name)

    @contextmanager
    def _readable(self, job_id: str) -> Iterator[None]:
        """Turn the error of a damaged file of a job into one of one line."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
                raise  # the disk's, not the file's
            raise HarnessError(
                f"{self.path(job_id)} is damaged ({described(error)}); restore it from a copy, or move it away: the"
                " next run fits it again"
            ) from None

    def begin(self, job_id: str) -> None:
        """Record that a job is being fitted."""
        self._note(job_id, {"status": "running"})

    def fail(self, error: JobError) -> None:
        """Record why a job has failed."""
        self._note(error.job_id, {"status": "failed", "reason": error.reason})

    def note(self, job_id: str) -> dict[str, str] | None:
        """The `status` of an unfinished job, `running` or `failed`, with the `reason`; None where it never started."""
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
        """Move a finished job away, so that it is made again, and return its new folder; the looks say so too."""
        count = len(list(self.set_aside_root.glob(f"{job_id}-*"))) + 1
        target = self.set_aside_root / f"{job_id}-{count}"
        self.looks.record_again(job_id, count, time())
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path(job_id).rename(target)
        return target

    def save(self, result: FoldResult) -> FoldRecord:
        """Store a finished job in one step, and return its record. A job that is stored already stays as it is."""
        record = result.record
        if self.done(record.job_id) or not self._store(result) or self.own.metrics:
            record = self.record(record.job_id)
        (self._states / f"{result.record.job_id}.json").unlink(missing_ok=True)
        shutil.rmtree(self._checkpoints / result.record.job_id, ignore_errors=True)
        return record

    def _store(self, result: FoldResult) -> bool:
        """Write the folder of a job; False where another study that shares the job was first."""
        record = result.record
        with new_folder(self.root) as folder:
            (folder / "result.json").write_text(json.dumps(record.to_json(), indent=1), encoding="utf-8")
            (folder / "classes.json").write_text(json.dumps(record.class_counts, indent=1), encoding="utf-8")
            result.predictions.to_parquet(folder / "predictions.parquet", index=False)
            for name, frame in result.further.items():
                frame.to_parquet(folder / set_file(name), index=False)
            if result.model is not None:
                (folder / "model.safetensors").write_bytes(result.model)
            seal(folder)
            sync_folder(folder)
            failpoint("ledger.written")
            try:
                folder.rename(self.path(record.job_id))
            except OSError:
                if not self.done(record.job_id):
                    raise
                return False
        failpoint("ledger.saved")
        return True
