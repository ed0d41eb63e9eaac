"""The record of a search in its store: its study file as it was searched, beside its commands."""

import json
from dataclasses import replace
from pathlib import Path

from harness.data.inputs import Workspace
from harness.data.record import GIVEN_FILE, STUDY_FILE, records, restored
from harness.store import Store
from harness.store.files import write_atomic
from harness.store.reports import SEARCH_FILE
from harness.store.seals import resealed
from harness.study.identity import search_id
from harness.study.strict_yaml import dump_yaml


def search_folder(workspace: Workspace) -> Path:
    """The folder of a search's record."""
    identity = search_id(workspace.study, workspace.inputs.digests)
    return workspace.store.studies / f"{workspace.study.study}-search" / identity


def write_search(workspace: Workspace) -> None:
    """Write the record of a search, or the files of it that have changed since it was written.

    What the search reads is in the record of its study, which several searches can share.
    """
    study, folder = workspace.study, search_folder(workspace)
    about = {"study_id": workspace.identity, "changed": study.changed, "written": study._written}
    files = {
        STUDY_FILE: dump_yaml(study.model_dump(mode="json") | {"paper": None}).encode(),
        GIVEN_FILE: study.text.encode(),
        SEARCH_FILE: json.dumps(about, indent=1).encode(),
    }
    changed = {folder / name: content for name, content in files.items() if _content(folder / name) != content}
    if changed:
        with resealed(folder):
            for path, content in changed.items():
                write_atomic(path, content)


def stored_search(store: Store, name: str, identity: str) -> Workspace | None:
    """The study of a search from its record; None where the store has none. name: that of the study's folder."""
    folder = store.studies / name / identity
    if not (folder / SEARCH_FILE).is_file():
        return None
    about = json.loads((folder / SEARCH_FILE).read_text(encoding="utf-8"))
    record = next((each for each in records(store) if each.study_id == about["study_id"]), None)
    return replace(record.workspace(store), study=restored(folder, about)) if record else None


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
