"""The seeds with which the same training images were tried in this store, with the same settings."""

from collections.abc import Iterator

import pandas as pd

from harness.data.inputs import Workspace
from harness.data.record import MANIFEST_FILE, StudyRecord, records
from harness.errors import HarnessError
from harness.study import Study
from harness.study.history import read_commands
from harness.study.identity import Digests
from harness.study.plan import stage_scenarios
from harness.study.tried import TriedSeeds


def tried_seeds(workspace: Workspace) -> TriedSeeds:
    """The seeds of all studies of the store that fitted one of these scenarios to these images, in order of time.

    The study's own are the last where it was not run before. A scenario is known by its settings, and one of a later
    stage by those that it has without a winner before it.
    """
    study, inputs, table = workspace.study, workspace.inputs, workspace.inputs.dataset.table
    own = _scenarios(study, inputs.digests)
    images = frozenset(table.loc[table["split"] == "train", "sha256"])
    found = [(time, of.study) for time, of in _run(workspace) if _same(of, inputs.digests.manifest, images, own)]
    every = [*(of for _, of in sorted(found, key=lambda each: each[0])), study]
    drawn = [of.folds.seed for of in every if of.folds.is_drawn]
    return TriedSeeds(tuple(dict.fromkeys(of.seed for of in every)), tuple(dict.fromkeys(drawn)))


def _run(workspace: Workspace) -> Iterator[tuple[float, StudyRecord]]:
    """Yield the studies of the store that fitted something, with the time of their first command."""
    for record in records(workspace.store):
        if commands := read_commands(record.folder):
            yield commands[0].time, record


def _same(record: StudyRecord, manifest: str, images: frozenset[str], scenarios: frozenset[str]) -> bool:
    """Whether a study has one of these scenarios, on exactly these training images."""
    try:
        if not _scenarios(record.study, record.digests) & scenarios:
            return False
        if record.digests.manifest == manifest:
            return True
        table = pd.read_parquet(record.folder / MANIFEST_FILE, columns=["split", "sha256"])
    except (HarnessError, OSError, ValueError, KeyError):  # of an older version, or damaged: `harness doctor` says so
        return False
    return frozenset(table.loc[table["split"] == "train", "sha256"]) == images


def _scenarios(study: Study, digests: Digests) -> frozenset[str]:
    return frozenset(each.id for stage in study.stages for each in stage_scenarios(study, stage, None, digests))
