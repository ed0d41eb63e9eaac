"""Row 12 of the table of promises: something that decides the numbers changes between two runs, by one byte."""

import hashlib
import importlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import timm

from tests.faults.images import IMAGES, SMALL, first_image, with_images
from tests.faults.rig import RUN, Rig

WEIGHTS = "w.safetensors"
OPTIONS = (*IMAGES, "--set", f"base.weights={WEIGHTS}", *SMALL)


@dataclass(frozen=True)
class Change:
    """What is changed, and how the next run is refused; one that is not refused makes every fit anew."""

    make: Callable[[Path], object]
    refused: str = ""
    before: Callable[[], None] | None = None  # a change within the command


def flip(path: Path, place: int) -> None:
    """Changes one bit of the byte at this place."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _replace(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "study.yaml").read_text()
        assert old in text
        (folder / "study.yaml").write_text(text.replace(old, new))

    return change


def _append(folder: Path) -> None:
    with first_image(folder / "images").open("ab") as file:
        file.write(b"\0")


def _relabel(folder: Path) -> None:
    image = first_image(folder / "images")
    other = next(path for path in sorted(image.parent.parent.iterdir()) if path != image.parent)
    image.rename(other / image.name)


def _other_fold(folder: Path) -> None:
    """One digit of the fold that a stored fit names."""
    record = next((folder / "mlruns/jobs").iterdir()) / "result.json"
    stored = json.loads(record.read_text())
    found = stored["facts"]["fold_digest"]
    stored["facts"]["fold_digest"] = ("0" if found[0] != "0" else "1") + found[1:]
    record.write_text(json.dumps(stored))


def numerics() -> None:
    """Code that computes other numbers, and says so."""
    importlib.import_module("harness.study.identity").NUMERICS += 1  # type: ignore[attr-defined]


def _lose_a_fit(folder: Path) -> None:
    shutil.rmtree(next((folder / "mlruns/jobs").iterdir()))


def code() -> None:
    """One more byte in a file of the code that decides numbers."""
    environment: Any = importlib.import_module("harness.study.provenance")
    shutil.copytree(environment.PACKAGE, "harness", ignore=shutil.ignore_patterns("__pycache__"))
    with Path("harness/training/fit.py").open("a") as file:
        file.write("\n")
    environment.PACKAGE = Path("harness")


CHANGES = {
    "learning rate": Change(_replace("learning_rate: 1.0e-3", "learning_rate: 1.1e-3")),
    "batch size": Change(_replace("batch_size: 16", "batch_size: 15")),
    "seed of the study": Change(_replace("study: faults\n", "study: faults\nseed: 1\n")),
    "seed of the folds": Change(_replace("folds: {k: 2}", "folds: {k: 2, seed: 1}")),
    "byte behind an image": Change(_append),
    "byte in an image": Change(lambda folder: flip(first_image(folder / "images"), 30), "images cannot be read"),
    "image of another class": Change(_relabel),
    "image gone": Change(lambda folder: first_image(folder / "images").unlink()),
    "byte of the weights": Change(lambda folder: flip(folder / WEIGHTS, -1)),
    "byte of the weights' header": Change(lambda folder: flip(folder / WEIGHTS, 8), f"{WEIGHTS} "),
    "fold of a stored fit": Change(_other_fold, "one table never mixes fold assignments"),
    "byte of the code": Change(_lose_a_fit, "one table never mixes code", before=code),
    "numerics of the code": Change(lambda _: None, before=numerics),
}


def change(rig: Rig, name: str) -> int:
    """A finished study, a change, and the same command: new fits in a table of their own, or a refusal."""
    folder, _ = with_images(rig)
    model = timm.create_model("test_resnet")
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(model.state_dict()))
    rig.finish(folder, *RUN, *OPTIONS)
    old, what = _jobs(folder), CHANGES[name]
    assert len(old) == 2
    what.make(folder)
    old = _jobs(folder)
    ended = rig.run(folder, *RUN, *OPTIONS, before=what.before)
    if what.refused:
        assert ended.code == 2, ended
        assert what.refused in ended.err.splitlines()[-1]
        assert _jobs(folder).keys() == old.keys()
        return 1
    assert ended.code == 0, ended
    now = _jobs(folder)
    assert len(now) == 4
    assert {job: now[job] for job in old} == old
    _nothing_mixed(folder, new={*now} - {*old})
    return 1


def _jobs(folder: Path) -> dict[str, str]:
    """Every finished fit with the hash of its numbers."""
    jobs = (folder / "mlruns/jobs").iterdir()
    return {job.name: hashlib.sha256((job / "result.json").read_bytes()).hexdigest() for job in jobs}


def _nothing_mixed(folder: Path, new: set[str]) -> None:
    """In MLflow the fits of the two runs stand under two studies; the last one has the new fits alone."""
    with sqlite3.connect(folder / "mlruns/mlflow.db") as database:
        rows = database.execute(
            "SELECT study.run_uuid, study.start_time, job.value FROM tags job"
            " JOIN tags up ON up.run_uuid = job.run_uuid AND up.key = 'mlflow.parentRunId'"
            " JOIN tags upper ON upper.run_uuid = up.value AND upper.key = 'mlflow.parentRunId'"
            " JOIN runs study ON study.run_uuid = upper.value"
            " WHERE job.key = 'harness.job_id' ORDER BY study.start_time"
        ).fetchall()
    studies = {study: {job for other, _, job in rows if other == study} for study, _, _ in rows}
    assert len(studies) == 2, rows
    assert list(studies.values())[-1] == new
