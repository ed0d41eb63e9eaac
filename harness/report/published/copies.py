"""Copy what a study is made of into a published folder."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from harness.data.inputs import Workspace
from harness.data.record import write_record
from harness.errors import failure
from harness.report.published.privacy import Anonymiser
from harness.store import Store
from harness.store.explanations import (
    GRAD_CAM_WARNING,
    Explanations,
    explanations_file,
    explanations_log,
    unregistered_log,
)
from harness.store.seals import FILE_SEAL, seal

LEDGERS = ("looks", "registrations", "store.json")  # copied whole: a part of a chain cannot be checked
MODEL_FILE = "model.safetensors"
PICTURED = ("*-hardest-*.csv", "odd-images.csv")  # the tables of a report that show each of their images


@dataclass(frozen=True)
class Publication:
    """What to publish. pictures: the small images of the report. models: the weights of the tested models."""

    workspace: Workspace
    pictures: bool = True
    models: bool = True


def copy_results(source: Workspace, store: Store) -> None:
    """Copy the finished fits of the study, its record and the ledgers."""
    for fit in source.reader.read(provisional=True).fits:
        for job_id in fit.records:
            if not (store.jobs / job_id).exists():
                shutil.copytree(source.ledger.path(job_id), store.jobs / job_id)
    target = replace(source, store=store, stored_audit=source.audit)
    if source.folder.exists():
        shutil.copytree(source.folder, target.folder)
    else:  # an older version ran the study
        write_record(target)
    for name in LEDGERS:
        if (source.store.root / name).is_dir():
            shutil.copytree(source.store.root / name, store.root / name)
        elif (source.store.root / name).exists():
            shutil.copy2(source.store.root / name, store.root / name)


def copy_explanations(publication: Publication, store: Store, anonymiser: Anonymiser) -> None:
    """Copy the Grad-CAM maps of the tested models and the pictures of the report, or say that they are left out."""
    source = publication.workspace
    for job in (job for test in source.reader.read(provisional=True).tests for job in test.jobs):
        maps, log = explanations_file(source.store, job.id), explanations_log(source.store, job.id)
        if maps.exists() and publication.pictures:
            for path in (maps, maps.with_name(maps.name + FILE_SEAL)):
                _copy(path, store.root / path.relative_to(source.store.root))
        elif maps.exists():
            write_line(
                explanations_log(store, job.id), f"{GRAD_CAM_WARNING}: pictures were left out when this was published"
            )
        for path in (log, unregistered_log(source.store, job.id)):
            if (words := failure(path)) is not None:
                write_line(store.root / path.relative_to(source.store.root), anonymiser.text(words))
    hashes = set(source.inputs.dataset.table["sha256"])
    for path in source.store.pictures.glob("*.png") if publication.pictures else ():
        if path.name.partition("-")[0] in hashes:
            _copy(path, store.pictures / path.name)


def _copy(path: Path, target: Path) -> None:
    if path.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def write_line(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")


def remove_models(store: Store) -> None:
    """Remove the weights of the tested models, and seal their folders again."""
    for path in store.jobs.glob(f"*/{MODEL_FILE}"):
        path.unlink()
        seal(path.parent)


def remove_unused_pictures(workspace: Workspace, report: Path) -> None:
    """Remove the pictures that the report does not show: they are of an older report."""
    table = workspace.inputs.dataset.table
    tables = [file for name in PICTURED for file in report.rglob(name)]
    shown = {image for file in tables for image in pd.read_csv(file).get("image", [])}
    used = set(table.loc[table["image"].isin(shown), "sha256"])
    for file in explanations_file(workspace.store, "*").parent.glob("*.npz"):
        found = Explanations.load(file)
        used |= set(table["sha256"].iloc[found.rows]) if found else set()
    for path in workspace.store.pictures.glob("*.png"):
        if path.name.partition("-")[0] not in used:
            path.unlink()
