"""Compute a search again for `verify`: the values of its trials from their fits, and its report from its trials."""

import json
import sqlite3
from collections.abc import Iterator
from math import isclose
from pathlib import Path

from harness.data.inputs import Workspace
from harness.data.record import records
from harness.data.variants import asks_for
from harness.errors import described, quiet
from harness.report.verified.compared import compared_items, page_item, tools_of
from harness.report.verified.differences import RELATIVE_TOLERANCE
from harness.report.verified.report_again import temporary_view
from harness.report.verified.verified_item import VerifiedItem
from harness.report.written import Written
from harness.search.confirm import Confirmed, confirmed, write_best_study
from harness.search.objective import value_of, values_of
from harness.search.queue import Queue
from harness.search.search_record import stored_search
from harness.search.search_report import trials_digest, write_search_report
from harness.search.trials import TrialResult, best_trial, trial_results
from harness.store import Store
from harness.store.reports import SEARCH_FILE
from harness.study import Study
from harness.study.identity import search_id
from harness.study.number_words import number_of, verb
from harness.tracking.snapshot import copy_database

TRIALS_FILE = "optuna.db"


def search_again_items(folder: Path, store: Store) -> Iterator[VerifiedItem]:
    """Compute the trials of the search whose report is in `folder` again, and compare every file of the report."""
    place = folder.relative_to(store.root).as_posix()
    try:
        found = _workspace(folder, store)
        if isinstance(found, str):
            yield VerifiedItem("reports", place, "cannot be checked", found)
        else:
            yield from _items(folder, place, found)
    except Exception as error:
        yield VerifiedItem("reports", place, "differs", f"cannot be written again: {described(error)}")


def _workspace(folder: Path, store: Store) -> Workspace | str:
    """The study whose search this is, from its record, or why it cannot be computed again."""
    identity = json.loads((folder / SEARCH_FILE).read_text(encoding="utf-8"))["search_id"]
    found = (stored_search(store, path.parent.name, identity) for path in store.studies.glob(f"*-search/{identity}"))
    workspace = next((each for each in found if each is not None), None)
    if workspace is None:
        return f"the store has no record of search {identity}: `harness search` writes it"
    if not (store.root / TRIALS_FILE).is_file():
        return f"the store has no {TRIALS_FILE}: the trials are in the database that the search was given"
    return workspace


def _items(folder: Path, place: str, workspace: Workspace) -> Iterator[VerifiedItem]:
    written = Written.load(folder)
    tools = tools_of(written)
    with temporary_view(workspace, written) as view:
        try:
            copy_database(workspace.store.root / TRIALS_FILE, view.store.root / TRIALS_FILE)
        except sqlite3.DatabaseError as error:
            yield VerifiedItem("reports", TRIALS_FILE, "differs", f"cannot be read: {error}")
            return
        identity = search_id(view.study, view.inputs.digests)
        queue = Queue(view.study.searched, f"{view.study.study}-{identity}", view.store, None)
        results = trial_results(view, queue)
        yield from _trial_items(f"{TRIALS_FILE}, search {identity}", view, results)
        if written and written.results != trials_digest(view, results):
            words = "trials were added or removed since it was written: `harness search` writes it again"
            yield VerifiedItem("reports", place, "cannot be checked", words)
            return
        best, confirmation = _best(view, results)
        with quiet():
            again = write_search_report(view, queue, results, best, confirmation).parent
        yield from compared_items(folder, again, place, tools)
    yield page_item(folder, place, written, tools)


def _trial_items(what: str, workspace: Workspace, results: list[TrialResult]) -> Iterator[VerifiedItem]:
    """Compare the values of the trials with those that their fits give, one item for all that hold."""
    whole = [r for r in results if r.folds and len(r.done) == r.folds and r.state != "failed"]
    for result in whole:
        differs = _difference(workspace, result)
        if differs:
            yield VerifiedItem("fits", f"{what}, trial {result.slot}", "differs", differs)
    elsewhere = sum(bool(r.folds) and r.state != "failed" for r in results) - len(whole)
    if elsewhere:
        words = f"{number_of(elsewhere, 'trial')} {verb(elsewhere, 'has', 'have')} fits that are not in this store"
        yield VerifiedItem("fits", what, "cannot be checked", words)
    if whole:
        words = f"the values of {number_of(len(whole), 'trial')} follow from their fits"
        yield VerifiedItem("fits", what, "holds", words)


def _difference(workspace: Workspace, result: TrialResult) -> str:
    """How the values of a trial differ from those of its fits; empty where they do not."""
    objective = workspace.study.searched.objective
    fits = [workspace.ledger.record(job.id) for job in result.done]
    means = [] if objective.cost else [value_of(objective, fits[: n + 1]) for n in range(len(fits))]
    values = values_of(objective, fits) if result.state == "complete" else []
    stored = [value for value in (result.value, result.cost) if value is not None]
    for old, new in ((list(result.means), means), (stored, values)):
        if len(old) != len(new) or not all(
            isclose(a, b, rel_tol=RELATIVE_TOLERANCE) for a, b in zip(old, new, strict=True)
        ):
            return f"{old} is stored, {new} is what follows from the fits"
    return ""


def _best(view: Workspace, results: list[TrialResult]) -> tuple[Path | None, Confirmed | None]:
    """Write the study of the best scenario; return its file and its score on fresh folds."""
    best = best_trial(view.study, results)
    if best is None:
        return None, None
    path, study = write_best_study(view, best)
    return path, _confirmed(study, view)


def _confirmed(study: Study, view: Workspace) -> Confirmed | None:
    """The score on fresh folds, from the record of that run; None where it was not run."""
    record = next((each for each in records(view.store, study.study) if asks_for(study, each)), None)
    return confirmed(record.workspace(view.store), view.study.searched.objective.metric) if record else None
