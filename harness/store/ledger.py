"""Finished jobs as local files: `jobs/<job_id>/` is complete or absent. MLflow's runs can be rebuilt from them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, JobError, described
from harness.store.failpoints import failpoint
from harness.store.files import new_folder, sync_folder, write_atomic
from harness.store.results import FoldRecord, FoldResult
from harness.store.seals import seal
from harness.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from harness.data.dataset import Dataset

TEST_IMAGES = "test-images.json"


@dataclass(frozen=True)
class Look:
    """One scoring of test images. Jobs that are scored together, after one selection, share one time."""

    study: str
    key: str  # the jobs that were scored
    study_id: str | None  # None: recorded by a version that did not store it
    time: float
    same: bool = True  # False: at a subset or a superset of the images


def _short(dataset: "Dataset") -> set[str]:
    """The hashes of the test images, shortened to 16 digits."""
    return {image[:16] for image in dataset.test_images}


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
        with self._readable(job_id):
            return FoldRecord.from_json(json.loads((self.path(job_id) / "result.json").read_text(encoding="utf-8")))

    def predictions(self, job_id: str) -> "pd.DataFrame":
        """The predictions of a finished job, one row per image."""
        import pandas as pd

        with self._readable(job_id):
            return pd.read_parquet(self.path(job_id) / "predictions.parquet")

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

    def look(self, dataset: "Dataset", look: "Look") -> None:
        """Record that a study scores something on the test set of this dataset.

        Call it before the scoring, so that an interrupted look counts too. The same look counts once: the numbers of a
        stored test do not change when they are read again.
        """
        folder = self.looks_root / dataset.digest
        if not (folder / TEST_IMAGES).exists():
            write_atomic(folder / TEST_IMAGES, json.dumps(sorted(_short(dataset))).encode())
        path = folder / look.study / f"{look.key}.json"
        if not path.exists():
            write_atomic(path, json.dumps({"time": look.time, "study_id": look.study_id}).encode())

    def looks(self, dataset: "Dataset") -> list["Look"]:
        """Every look at test images of this dataset in this store, by any study, in the order of time.

        Another manifest of the same images (another positive class, patient rule or limit) is the same test set.
        """
        mine, found = _short(dataset), []
        for folder in self.looks_root.glob("*"):
            there = folder / TEST_IMAGES
            images = set(json.loads(there.read_text(encoding="utf-8"))) if there.exists() else set()
            same = folder.name == dataset.digest or images == mine
            for path in folder.glob("*/*.json") if same or images & mine else ():
                noted = json.loads(path.read_text(encoding="utf-8"))
                found.append(Look(path.parent.name, path.stem, noted.get("study_id"), noted["time"], same))
        return sorted(found, key=lambda look: (look.time, look.key))

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
        """Move a finished job away, so that it counts as not done, and return its new folder."""
        before = len(list(self.set_aside_root.glob(f"{job_id}-*")))
        target = self.set_aside_root / f"{job_id}-{before + 1}"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path(job_id).rename(target)
        return target

    def save(self, result: FoldResult) -> FoldRecord:
        """Store a finished job in one step, and return its record. A job that is stored already stays as it is."""
        record = result.record
        if self.done(record.job_id) or not self._store(result):
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
