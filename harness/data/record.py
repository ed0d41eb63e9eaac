"""The record of a study in its store: what it read, so that everything that only reads needs no images."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.audit import Audit
from harness.data.backbone_sources import read_backbone_sources
from harness.data.corrections import Correction
from harness.data.dataset import Dataset, Skipped
from harness.data.finding import AuditFinding
from harness.data.folds import Fold, folds_json
from harness.data.inputs import Inputs, Workspace
from harness.data.left_out import LeftOut
from harness.data.nested_folds import nested_json, nested_of
from harness.data.separation import separation
from harness.models.load_metrics import own_scores
from harness.store import Store
from harness.store.files import read_json, write_atomic
from harness.store.seals import broken, resealed
from harness.study import Study, load_study
from harness.study.history import ENVIRONMENT_FILE, read_commands
from harness.study.identity import Digests
from harness.study.own_file import file_name
from harness.study.preprocessing import NativeInputs
from harness.study.provenance import environment
from harness.study.strict_yaml import dump_yaml
from harness.study.tried import TriedSeeds

HEADS_FOLDER = "heads"  # the files of custom heads
ABOUT_FILE = "record.json"
STUDY_FILE = "study.yaml"
MANIFEST_FILE = "manifest.parquet"
PAPER_FILE = "paper.yaml"
NESTED_FILE = "nested.json"  # the folds of nested selections, where there are some
GIVEN_FILE = "given.yaml"  # the study file's own text, before `--set`


@dataclass(frozen=True)
class StudyRecord:
    """A study as it was run in a store: the folder `studies/NAME/STUDY_ID`."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.folder.parent.name

    @property
    def study_id(self) -> str:
        """The id of the study."""
        return self.folder.name

    @cached_property
    def about(self) -> dict[str, Any]:
        """The content of `record.json`: the digests, and what is known of the images besides the manifest."""
        found: dict[str, Any] = json.loads((self.folder / ABOUT_FILE).read_text(encoding="utf-8"))
        return found

    @cached_property
    def study(self) -> Study:
        """The study, every setting resolved."""
        return restored(self.folder, self.about)

    @property
    def root(self) -> Path:
        """The folder in which the images were."""
        return Path(self.folder.parents[2], self.about["data"]["root"])  # relative where they are in the store

    @cached_property
    def digests(self) -> Digests:
        """The hashes of everything that the study read."""
        found = self.about["digests"]
        folds = {(repeat, fold): value for repeat, fold, value in found["folds"]}
        weights = {(backbone, name): value for backbone, name, value in found["weights"]}
        return Digests(found["manifest"], folds, weights, found["heads"], found.get("metadata"), found.get("sets"))

    def audit(self) -> Audit:
        """The audit of the images."""
        found = json.loads((self.folder / "audit.json").read_text(encoding="utf-8"))
        return Audit(found["manifest"], [AuditFinding(**finding) for finding in found["findings"]])

    def workspace(self, store: Store) -> Workspace:
        """The study in its store, without its images."""
        dataset, folds = self._dataset(), self._folds()
        names = self.digests.heads
        heads = {name: (self.folder / HEADS_FOLDER / file_name(name)).read_text(encoding="utf-8") for name in names}
        found = separation(self.study, dataset, folds)
        nested = nested_of(read_json(self.folder / NESTED_FILE) or [], dataset)
        inputs = Inputs(dataset, folds, self.digests, heads, found, own_scores(self.study, heads), nested)
        return Workspace(self.study, inputs, store, self.audit())

    def _dataset(self) -> Dataset:
        about = self.about["data"]
        return Dataset(
            self.root, self._table, tuple(about["classes"]), about["positive"], about["synthetic"],
            Skipped(**about["skipped"]) if about["skipped"] else None, about["patient_rule"],
            tuple(LeftOut(**{**left, "first": tuple(left["first"]), "parts": tuple(left["parts"])})
                  for left in about["left_out"]),
            self.study.data.pixel_rules,
            tuple(about.get("metadata", self.study.data.metadata)), tuple(about.get("sets", ())),
            {name: Path(self.folder.parents[2], root) for name, root in about.get("set_roots", {}).items()},
            tuple(Correction(*each) for each in about.get("corrected", ())),
        )  # fmt: skip

    @cached_property
    def _table(self) -> Any:
        import pandas as pd

        return pd.read_parquet(self.folder / MANIFEST_FILE)

    def _folds(self) -> list[Fold]:
        rows = {image: row for row, image in enumerate(self._table["image"])}
        found = json.loads((self.folder / "folds.json").read_text(encoding="utf-8"))["folds"]
        sides = [[np.array([rows[i] for i in fold[side]]) for side in ("train", "validation")] for fold in found]
        return [Fold(fold["repeat"], fold["fold"], *side) for fold, side in zip(found, sides, strict=True)]


def restored(folder: Path, about: Mapping[str, Any]) -> Study:
    """The study of a record, with the text of its file and what the command line changed of it."""
    study = load_study(folder / STUDY_FILE)
    study._text = (folder / GIVEN_FILE).read_text(encoding="utf-8")
    study._written = about["written"]
    study._changed = {field: (old, new) for field, (old, new) in about["changed"].items()}
    study.resolve_native(NativeInputs.of(about))
    study.note_tried(TriedSeeds.of(about))
    return study


def records(store: Store, name: str = "*") -> list[StudyRecord]:
    """The records of the studies of this name, or of all, in the order in which they were last run."""
    found = [path.parent for path in store.studies.glob(f"{name}/*/{ABOUT_FILE}")]
    return [StudyRecord(folder) for folder in sorted(found, key=_last_run)]


def _last_run(folder: Path) -> tuple[float, float]:
    commands = read_commands(folder)
    return commands[-1].time if commands else 0.0, (folder / ABOUT_FILE).stat().st_mtime


def write_record(workspace: Workspace) -> StudyRecord:
    """Write the record of a study, or the files of it that have changed since it was written."""
    record = StudyRecord(workspace.folder)
    folder, damaged = record.folder, broken(record.folder)
    files = {folder / name: content for name, content in _files(workspace)}
    changed = {path: content for path, content in files.items() if not path.exists() or path.read_bytes() != content}
    if damaged == {} and not changed:
        return record
    with resealed(folder):
        manifest = folder / MANIFEST_FILE
        if not manifest.exists() or manifest.name in (damaged or {}):
            write_atomic(manifest, workspace.inputs.dataset.table.to_parquet(index=False))
        for path, content in changed.items():
            write_atomic(path, content)
    return record


def _files(workspace: Workspace) -> Iterator[tuple[str, bytes]]:
    """The files of a record but the manifest, `record.json` the last: where it is, the record is complete."""
    study, inputs = workspace.study, workspace.inputs
    content = study.model_dump(mode="json")
    if study.paper_file is not None:
        yield PAPER_FILE, study.paper_file.read_bytes()
        content["paper"] = PAPER_FILE
    yield STUDY_FILE, dump_yaml(content).encode()
    yield GIVEN_FILE, study.text.encode()
    if not (workspace.folder / ENVIRONMENT_FILE).exists():
        yield ENVIRONMENT_FILE, environment().encode()
    folds = folds_json(inputs.dataset, inputs.folds, inputs.digests.all_folds)
    yield "folds.json", json.dumps(folds, indent=1).encode()
    if inputs.nested:
        yield NESTED_FILE, json.dumps(nested_json(inputs.dataset, inputs.nested)).encode()
    yield "audit.json", workspace.audit.to_json().encode()
    for head, source in inputs.heads.items():
        yield f"{HEADS_FOLDER}/{file_name(head)}", source.encode()
    for place, source in dict(read_backbone_sources(inputs.digests)).items():
        yield place, source.encode()
    yield ABOUT_FILE, json.dumps(_about(workspace), indent=1).encode()


def _in_store(folder: Path, store: Store) -> Path:
    """The folder, relative to the store where it is in it: the record goes along when the store is moved."""
    return folder.relative_to(store.root) if folder.is_relative_to(store.root) else folder


def _about(workspace: Workspace) -> dict[str, Any]:
    """The content of `record.json`."""
    study, dataset, digests = workspace.study, workspace.inputs.dataset, workspace.inputs.digests
    return {
        "study_id": workspace.identity,
        "changed": {field: how for field, how in study.changed.items() if field.split(".")[0] != "search"},
        "written": study._written,
        **study.native.content,
        **study.tried.content,
        "digests": {
            "manifest": digests.manifest,
            "folds": [[*at, value] for at, value in digests.folds.items()],
            "weights": [[*at, value] for at, value in digests.weights.items()],
            "heads": dict(digests.heads),
            **({"metadata": digests.metadata} if digests.metadata else {}),
            **({"sets": digests.sets} if digests.sets else {}),
        },
        "data": {
            "root": str(_in_store(dataset.root, workspace.store)),
            "classes": dataset.classes,
            "positive": dataset.positive,
            "synthetic": dataset.synthetic,
            "patient_rule": dataset.patient_rule,
            "skipped": dataset.skipped and asdict(dataset.skipped),
            "left_out": [asdict(left) for left in dataset.left_out],
            **(_about_sets(workspace) if dataset.sets else {}),
            **({"corrected": dataset.corrected} if dataset.corrected else {}),
        },
    }


def _about_sets(workspace: Workspace) -> dict[str, Any]:
    """What is known of several test sets besides the manifest."""
    dataset = workspace.inputs.dataset
    roots = {name: str(_in_store(root, workspace.store)) for name, root in dataset.set_roots.items()}
    return {"sets": dataset.sets, "set_roots": roots, "metadata": dataset.metadata}
